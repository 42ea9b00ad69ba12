"""`forecastlab reproduce van-diepen`: the paper's five models on its five splits, beside its tables."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from forecastlab import __version__
from forecastlab.cli.crossval import PRELOAD, baselines_of, numbers
from forecastlab.cli.data import data_module
from forecastlab.cli.fold import Fold, fit_and_test
from forecastlab.data.seen import OPTIMISTIC
from forecastlab.errors import ConfigError
from forecastlab.evaluation.comparison import Comparison
from forecastlab.evaluation.gather import finished_folds, gather, read_result
from forecastlab.evaluation.page import Section, render, write
from forecastlab.evaluation.report import pictures
from forecastlab.evaluation.results import RESULTS, CrossvalRun
from forecastlab.evaluation.tables import Table, fold_table
from forecastlab.papers.van_diepen.tables import PUBLISHED, SPLITS, paper_tables
from forecastlab.runs.files import write_whole
from forecastlab.runs.jobs import Job, run_jobs
from forecastlab.runs.run import CONFIG, LOGS, Run

EXPERIMENT = "van-diepen"
HONEST = "-honest"


def reproduce(args: Sequence[str]) -> int:
    """Trains the models, writes the paper's tables and figures and a report, and prints the tables.

    Args:
        args: the command line after the sub-command.

    Returns:
        0, or 1 if a model failed.
    """
    options = parser().parse_args(args)
    for name in ("epochs", "check_every", "jobs", "hidden_size", "heads"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} must be positive, got {getattr(options, name)}")
    if options.epochs % options.check_every:
        raise ConfigError(
            f"--epochs must be a multiple of --check-every, got {options.epochs} and {options.check_every}: the test "
            "loss is computed after the last epoch too"
        )
    if unknown := [model for model in options.models if model not in PUBLISHED]:
        raise ConfigError(f"--models: unknown model {unknown[0]!r}; the paper has {', '.join(PUBLISHED)}")
    if unknown := [split for split in options.splits if split not in SPLITS]:
        raise ConfigError(f"--splits: the paper has splits 1 to 5, got {unknown[0]}")
    settings = {key: value for key, value in vars(options).items() if key not in NOT_SETTINGS}
    settings["passes"] = options.check_every  # runs of earlier versions, which had other epochs, are not continued
    names = [name + suffix for suffix in ("", HONEST)[: 2 if options.honest else 1] for name in options.models]
    configs = {name: _config(name, options) for name in names}
    module = data_module([configs[names[0]]["data"]])
    module.prepare_data()
    run = Run.continued(Path(options.root, LOGS), EXPERIMENT, settings, module.about, options.new)
    with run.alone():
        for name, config in configs.items():
            (run.folder / name).mkdir(exist_ok=True)
            write_whole(run.folder / name / CONFIG, yaml.safe_dump(config, sort_keys=False))
        jobs = [
            job
            for name in names
            for seed in options.seeds
            for split in options.splits
            for job in _job(run, name, split, seed, module.fingerprint)
        ]
        failed = run_jobs(jobs, min(options.jobs, len(jobs) or 1), PRELOAD)
        every = [name + suffix for suffix in ("", HONEST) for name in PUBLISHED]
    finished = [name for name in every if finished_folds(run.folder / name)]  # earlier calls' too
    if finished:
        _report(run, finished, configs[names[0]], options, module.fingerprint)
    print(f"run        {os.path.relpath(run.folder)}")
    return 1 if failed else 0


NOT_SETTINGS = ("paper", "path", "models", "splits", "seeds", "jobs", "honest", "new", "root")
"""Options that say how much is run, not what: a later call may ask for more."""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="forecastlab reproduce",
        description="The paper's five models on its five splits. Run again, it skips what is finished.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("paper", choices=[EXPERIMENT])
    parser.add_argument("--epochs", type=int, default=3000, help="300 gives a quick look")
    parser.add_argument("--check-every", type=int, default=10, help="epochs between computations of the test loss")
    parser.add_argument("--models", type=lambda text: text.split(","), default=list(PUBLISHED), help="which models")
    parser.add_argument("--splits", type=numbers, default=list(SPLITS), help="which splits, such as 1,3")
    parser.add_argument("--seeds", type=numbers, default=[0], help="seeds, such as 0,1,2; the tables give their mean")
    parser.add_argument("--jobs", type=int, default=1, help="models trained at once, one thread each")
    parser.add_argument(
        "--honest", action="store_true", help="also choose the epoch on a validation tail, and score the test rows once"
    )
    parser.add_argument("--path", help="the ozone file; looked for or downloaded if not given")
    parser.add_argument("--root", default=".", help=f"folder that {LOGS} is in")
    parser.add_argument("--new", action="store_true", help="begin a new run instead of going on with an equal one")
    unsaid = parser.add_argument_group("what the paper leaves open")
    unsaid.add_argument("--hidden-size", type=int, default=64, help="units per layer; 64 reproduces the LSTM row")
    unsaid.add_argument("--heads", type=int, default=1, help="m', the ALSTM's heads")
    unsaid.add_argument("--key-size", type=int, default=None, help="d, the width of keys; the hidden size if not given")
    unsaid.add_argument("--activation", default="tanh", help="sigma_C of the ALSTM")
    unsaid.add_argument(
        "--layers", choices=["each", "all"], default="each", help="two layers in each part of a combination, or in all"
    )
    unsaid.add_argument(
        "--feed", choices=["hidden", "prediction"], default="hidden", help="what combinations 2 and 3 hand on"
    )
    unsaid.add_argument("--initialization", choices=["uniform", "orthogonal"], default="uniform", help="of the LSTM")
    unsaid.add_argument("--scaler", choices=["standard", "none"], default="standard", help="scaled or raw inputs")
    unsaid.add_argument(
        "--context", choices=["carried", "cold"], default="carried", help="whether the test range sees the past"
    )
    return parser


def _backbone(name: str, options: argparse.Namespace) -> dict[str, Any]:
    combined = name.startswith("combination")
    layers = 1 if combined and options.layers == "all" else 2
    sizes = {"hidden_size": options.hidden_size, "num_layers": layers}
    lstm = {"class_path": "LSTM", "init_args": {**sizes, "initialization": options.initialization}}
    attention = {"num_heads": options.heads, "key_size": options.key_size, "activation": options.activation}
    alstm = {"class_path": "ALSTM", "init_args": {**sizes, **attention}}
    if name == "combination1":
        return {"class_path": "Parallel", "init_args": {"branches": [lstm, alstm]}}
    if combined:
        branches = [lstm, alstm] if name == "combination2" else [alstm, lstm]
        return {"class_path": "Series", "init_args": {"branches": branches, "feed": options.feed}}
    return lstm if name == "lstm" else alstm


def _config(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The config of a model; the rate is that of the split and is given when a split is trained.

    The paper's epoch is one pass over the training sequence. The run's epochs are the passes between two computations
    of the test loss.
    """
    epochs = options.epochs // options.check_every
    return {
        "experiment": name,
        "data": {
            "class_path": "OzoneDataModule",
            "init_args": {
                "path": options.path,
                "lookback": "full",
                "passes": options.check_every,
                "rows": 1500,
                "splits": len(SPLITS),
                "scaler": options.scaler,
                "context": options.context,
                "validation": "tail" if name.endswith(HONEST) else "test",
            },
        },
        "model": {
            "backbone": _backbone(name.removesuffix(HONEST), options),
            "optimizer": {"class_path": "Adam", "init_args": {"lr": 2e-5}},
        },
        "early_stopping": {"patience": epochs},
        "trainer": {"max_epochs": epochs},
    }


def _job(run: Run, name: str, split: int, seed: int, fingerprint: str) -> list[Job]:
    """The training of a model on a split; nothing if it is finished."""
    folder = run.folder / name / f"fold_{split}" / f"seed_{seed}"
    if "test" in read_result(folder):
        return []
    rate = PUBLISHED[name.removesuffix(HONEST)].rates[split - 1]
    given = {"data.fold": split, "seed_everything": seed, "model.optimizer.lr": rate, "trainer.devices": 1}
    args = ("--config", str(run.folder / name / CONFIG), *(f"--{key}={value}" for key, value in given.items()))
    return [
        Job(
            f"{name}, split {split}, seed {seed}",
            fit_and_test,
            Fold(folder, args, fingerprint=fingerprint),
            folder / "log",
        )
    ]


def _report(
    run: Run, names: Sequence[str], config: dict[str, Any], options: argparse.Namespace, fingerprint: str
) -> None:
    splits = sorted({split for name in names for split, _, _ in finished_folds(run.folder / name)})
    scored = baselines_of(["persistence", "ridge"], config, splits, fingerprint)
    for name in names:
        gather(run.folder / name, name, scored)
    results = pd.concat([pd.read_csv(run.folder / name / RESULTS) for name in names])
    tables = paper_tables(results[results["seed"].notna()], options.epochs, options.check_every)
    runs = {name: CrossvalRun.load(run.folder / name) for name in names}
    tables.append(fold_table(Comparison.of(list(runs.values()))))
    as_in_the_paper = [run for name, run in runs.items() if not name.endswith(HONEST)]
    for number, table in enumerate(tables, 1):
        _write_table(run.folder / "tables" / f"table_{number}", table)
    drawn = pictures(Comparison.of(as_in_the_paper or list(runs.values())), "mse_scaled")
    for picture in drawn:
        write(picture.png(), run.folder / "figures" / f"{picture.name}.png")
    unsaid = [f"{key.replace('_', ' ')}: {value}" for key, value in vars(options).items() if key not in NOT_SETTINGS]
    page = render(
        title="Van Diepen: LSTM, attention LSTM and their combinations",
        lead=["The paper's models on the ozone data, trained here, beside what the paper publishes."],
        warnings=[f"The paper's protocol: {OPTIMISTIC}. Rows marked honest choose the epoch on training rows."],
        sections=[
            Section("The paper's tables", tables=tables[:4]),
            Section("Beside the baselines, on the same rows", tables=tables[4:]),
            Section("Figures", pictures=drawn),
            Section("What the paper leaves open, as chosen here", points=unsaid),
        ],
        made_by=f"Made by forecastlab {__version__}.",
    )
    write(page, run.folder / "report.html")
    for table in tables:
        print(table.to_text())
    print(f"report     {os.path.relpath(run.folder / 'report.html')}")


def _write_table(path: Path, table: Table) -> None:
    write(table.to_text(), path.with_suffix(".txt"))
    write(table.to_csv(), path.with_suffix(".csv"))
    write(table.to_markdown(), path.with_suffix(".md"))
    write(table.to_latex(), path.with_suffix(".tex"))
