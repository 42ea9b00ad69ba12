"""`forecastlab crossval`: every fold from fresh weights and a fresh scaler."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml

from forecastlab.cli import baselines as rivals
from forecastlab.cli.command_line import ForecastCLI
from forecastlab.cli.configs import experiment_name
from forecastlab.cli.data import data_module
from forecastlab.cli.fold import Fold, fit_and_test, require_unchanged
from forecastlab.cli.options import values_of
from forecastlab.cli.run_config import CONFIG_KEYS
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.trained_on import records_of
from forecastlab.errors import ConfigError, ForecastlabError
from forecastlab.evaluation.comparison import Comparison
from forecastlab.evaluation.gather import finished_folds, gather, read_result
from forecastlab.evaluation.results import CrossvalRun
from forecastlab.evaluation.scores import Evaluation, evaluate
from forecastlab.evaluation.tables import fold_table
from forecastlab.evaluation.units import units_table
from forecastlab.network import factory
from forecastlab.runs.checkpoint import read_checkpoint
from forecastlab.runs.files import write_whole
from forecastlab.runs.jobs import Job, run_jobs
from forecastlab.runs.run import CONFIG, LOGS, Run

PRELOAD = ("forecastlab.cli.fold",)


class ConfigReader(ForecastCLI):
    """Parses a command line of `fit` and builds nothing."""

    def instantiate_classes(self) -> None:
        """Builds nothing."""

    def after_instantiate_classes(self) -> None:
        """Has nothing to check."""

    def run_subcommand(self, subcommand: str) -> None:
        """Runs nothing."""

    @property
    def values(self) -> dict[str, Any]:
        """The parts of the config that belong to the experiment.

        Raises:
            ConfigError: if it asks for what only `fit` does.
        """
        if self.config["fit"].lr_find:
            raise ConfigError("--lr-find belongs to fit: leave it out")
        parser = self.parsers["fit"]
        values = yaml.safe_load(parser.dump(self.config["fit"], skip_unset=False))
        return {key: values[key] for key in CONFIG_KEYS if key in values}

    @property
    def baselines(self) -> list[str] | None:
        """The baselines that the config names; None if it names none."""
        named: list[str] | None = self.config["fit"].baselines
        return named


def crossval(args: Sequence[str]) -> int:
    """Fits and tests every fold and seed, and prints a table.

    Args:
        args: the command line after the sub-command: the options below and all of `fit`.

    Returns:
        0, or 1 if a fold failed.
    """
    options, rest = parser().parse_known_args(args)
    if options.jobs < 1:
        raise ConfigError(f"--jobs must be positive, got {options.jobs}")
    if values_of(rest, "--ckpt_path"):
        raise ConfigError("crossval trains from fresh weights: leave --ckpt_path out (run again, it resumes by itself)")
    reader = ConfigReader(["fit", *rest])
    values = reader.values
    seeds = options.seeds or [int(values["seed_everything"])]
    module = data_module([values["data"]])
    named = options.baselines if options.baselines is not None else reader.baselines
    named = rivals.usual(module.season_length, module.recipe.series is not None) if named is None else named
    rivals.build_all(named)  # before anything is trained
    folds = options.folds or list(range(1, module.splits + 1))
    if impossible := [fold for fold in folds if not 1 <= fold <= module.splits]:
        raise ConfigError(f"--folds: expected numbers from 1 to {module.splits}, got {impossible[0]}")
    module.prepare_data()
    if not options.allow_seen:
        require_unseen(values, module, folds, "test")
    run = _run(values, module, experiment_name(rest), options)
    with run.alone():
        config = run.folder / CONFIG
        jobs = [
            Job(
                f"fold {fold}, seed {seed}",
                fit_and_test,
                _fold(run, config, fold, seed, module.fingerprint, options.allow_seen),
                _folder(run, fold, seed) / "log",
            )
            for seed in seeds
            for fold in folds
            if "test" not in read_result(_folder(run, fold, seed))
        ]
        failed = run_jobs(jobs, min(options.jobs, len(jobs) or 1), PRELOAD)
        finished = finished_folds(run.folder)
        if finished:
            tested = sorted({fold for fold, _, _ in finished})
            scored = baselines_of(named, values, tested, module.fingerprint)
            gather(run.folder, run.experiment, scored, units_of(values, tested))
            print(fold_table(Comparison.of([CrossvalRun.load(run.folder)])).to_text())
    print(f"run        {os.path.relpath(run.folder)}")
    return 1 if failed else 0


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="forecastlab crossval",
        description="Fits and tests every walk-forward fold; takes all options of fit besides. Run again, it skips "
        "what is finished and resumes what is not.",
        allow_abbrev=False,
    )
    parser.add_argument("--folds", type=numbers, help="folds to run, such as 1,3 (default: all)")
    parser.add_argument("--seeds", type=numbers, help="seeds to run, such as 0,1,2 (default: the config's)")
    parser.add_argument("--jobs", type=int, default=1, help="folds trained at once, one thread each")
    parser.add_argument(
        "--baselines",
        type=rivals.split,
        help="scored on the same rows, with settings as in 'ridge(lags=28),seasonal_naive(season_length=364)' (else "
        "the config's `baselines`, or persistence, seasonal_naive if season_length is above 1, climatology, ridge, "
        "ridge(pooled=true) for a panel, and lasso); known: " + ", ".join(rivals.BASELINES),
    )
    parser.add_argument("--new", action="store_true", help="begin a new run instead of going on with an equal one")
    parser.add_argument(
        "--allow-seen",
        action="store_true",
        help="score test rows that trained the weights of model.weights_from; every table says so",
    )
    return parser


def require_unseen(
    values: dict[str, Any],
    module: ForecastDataModule,
    folds: Sequence[int | Literal["all"]],
    stage: Literal["validation", "test"],
) -> None:
    """Refuses, before anything is trained, to begin with weights that have seen rows that are to be scored.

    Args:
        values: a config.
        module: its data.
        folds: the folds that are to be trained.
        stage: which of their rows are scored.

    Raises:
        ConfigError: if `model.weights_from` was trained on such rows.
    """
    path = values["model"].get("weights_from")
    records = records_of(read_checkpoint(path)) if path else ()
    for fold in folds if records else ():
        try:
            found = module.seen(records, stage, fold)
        except ConfigError:  # there is no such fold, which its training will say
            continue
        try:
            found.require_none()
        except ConfigError as error:
            raise ConfigError(f"model.weights_from: {error}") from None


def numbers(text: str) -> list[int]:
    """Numbers separated by commas."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers such as 1,3, got {text!r}") from None


def baselines_of(
    names: Sequence[str], values: dict[str, Any], folds: Sequence[int], fingerprint: str
) -> list[tuple[str, int, Evaluation]]:
    """Fits and scores baselines on the test rows of folds; one that cannot be fitted says why and is left out.

    Args:
        names: baselines as `forecastlab.cli.baselines.build` reads them.
        values: a config, whose data part is used.
        folds: numbers of the folds.
        fingerprint: of the data that the networks were trained on.

    Raises:
        ConfigError: if the data have changed since.
    """
    scored: list[tuple[str, int, Evaluation]] = []
    for fold in folds:
        module = data_module([values["data"]], [f"--data.fold={fold}"])
        require_unchanged(fingerprint, module)
        for name, baseline in zip(names, rivals.build_all(names), strict=True):
            try:
                evaluation = evaluate(baseline, module)
            except ForecastlabError as error:
                print(f"fold {fold}: no {name}: {error}")
                continue
            if baseline.name in (other for other, number, _ in scored if number == fold):
                print(f"fold {fold}: {name} is {baseline.name}, which is scored already")
                continue
            scored.append((baseline.name, fold, evaluation))
    return scored


def units_of(values: dict[str, Any], folds: Sequence[int]) -> pd.DataFrame:
    """The units of scaled errors in some folds, as the rows of units.csv.

    Args:
        values: a config, whose data part is used.
        folds: numbers of the folds.
    """
    parts = []
    for fold in folds:
        module = data_module([values["data"]], [f"--data.fold={fold}"])
        parts.append(units_table(fold, module.panel.names, module.targets, module.reference))
    return pd.concat(parts, ignore_index=True)


def _folder(run: Run, fold: int, seed: int) -> Path:
    return run.folder / f"fold_{fold}" / f"seed_{seed}"


def _fold(run: Run, config: Path, fold: int, seed: int, fingerprint: str, allow_seen: bool) -> Fold:
    settings = (f"--data.fold={fold}", f"--seed_everything={seed}", "--trainer.devices=1")
    args = ("--config", str(config), *settings)
    return Fold(_folder(run, fold, seed), args, factory.allowed_imports(), fingerprint, allow_seen)


def _run(
    values: dict[str, Any], module: ForecastDataModule, experiment: str | None, options: argparse.Namespace
) -> Run:
    """The newest run of the experiment if its config and data are the same, so that it goes on; a new one otherwise."""
    settings = {**values, "seed_everything": None, "data": {**values["data"]}}
    settings["data"]["init_args"] = {**values["data"]["init_args"], "fold": None}
    settings["trainer"] = {
        **values["trainer"],
        "default_root_dir": None,
    }  # where it is does not make another experiment
    if options.allow_seen:
        settings["allow_seen"] = True
    root = Path(values["trainer"]["default_root_dir"] or ".", LOGS)
    run = Run.continued(root, values["experiment"] or experiment or "default", settings, module.about, options.new)
    write_whole(run.folder / CONFIG, yaml.safe_dump(values, sort_keys=False))
    return run
