"""`forecastlab crossval`: every fold from fresh weights and a fresh scaler."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from forecastlab import factory
from forecastlab.baselines import (
    ARIMA,
    Baseline,
    Climatology,
    GradientBoosting,
    Persistence,
    ResidualRegression,
    Ridge,
    SeasonalNaive,
)
from forecastlab.cli.command_line import CONFIG_KEYS, ForecastCLI
from forecastlab.cli.data import data_module
from forecastlab.cli.fold import Fold, fit_and_test
from forecastlab.cli.options import values_of
from forecastlab.cli.runs import CONFIG, LOGS, Run, experiment_name, write_whole
from forecastlab.errors import ConfigError, ForecastlabError
from forecastlab.evaluation.comparison import Comparison
from forecastlab.evaluation.gather import finished_folds, gather, read_result
from forecastlab.evaluation.jobs import Job, run_jobs
from forecastlab.evaluation.results import CrossvalRun
from forecastlab.evaluation.scores import Evaluation, evaluate
from forecastlab.evaluation.tables import fold_table
from forecastlab.evaluation.units import units_table

BASELINES: dict[str, type[Baseline]] = {
    "persistence": Persistence,
    "seasonal_naive": SeasonalNaive,
    "climatology": Climatology,
    "ridge": Ridge,
    "gradient_boosting": GradientBoosting,
    "arima": ARIMA,
    "arima_residuals": ResidualRegression,
}
PRELOAD = ("forecastlab.cli.fold",)


class ConfigReader(ForecastCLI):
    """Parses a command line of `fit` and builds nothing."""

    def instantiate_classes(self) -> None:
        """Builds nothing."""

    def after_instantiate_classes(self) -> None:
        """Has nothing to check."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Runs nothing."""

    @property
    def values(self) -> dict[str, Any]:
        """The parts of the config that belong to the experiment.

        Raises:
            ConfigError: if it asks for what only `fit` does.
        """
        if self.config["fit"].lr_find:
            raise ConfigError("--lr-find belongs to fit: leave it out")
        parser = self._subcommand_parsers["fit"]
        values = yaml.safe_load(parser.dump(self.config["fit"], skip_unset=False))
        return {key: values[key] for key in CONFIG_KEYS if key in values}


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
    values = ConfigReader(["fit", *rest]).values
    seeds = options.seeds or [int(values["seed_everything"])]
    module = data_module([values["data"]])
    folds = options.folds or list(range(1, module.splits + 1))
    if impossible := [fold for fold in folds if not 1 <= fold <= module.splits]:
        raise ConfigError(f"--folds: expected numbers from 1 to {module.splits}, got {impossible[0]}")
    module.prepare_data()
    run = _run(values, experiment_name(rest), options.new)
    with run.alone():
        config = run.folder / CONFIG
        jobs = [
            Job(
                f"fold {fold}, seed {seed}",
                fit_and_test,
                _fold(run, config, fold, seed),
                _folder(run, fold, seed) / "log",
            )
            for seed in seeds
            for fold in folds
            if "test" not in read_result(_folder(run, fold, seed))
        ]
        failed = run_jobs(jobs, min(options.jobs, len(jobs) or 1), PRELOAD)
        finished = finished_folds(run.folder)
        if finished:
            of_folds = sorted({fold for fold, _, _ in finished})
            scored = baselines_of(options.baselines, values, of_folds)
            gather(run.folder, run.experiment, scored, units_of(values, of_folds))
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
        type=_names,
        default=["persistence", "climatology", "ridge"],
        help="scored on the same rows (default: persistence,climatology,ridge); known: " + ", ".join(BASELINES),
    )
    parser.add_argument("--new", action="store_true", help="begin a new run instead of going on with an equal one")
    return parser


def numbers(text: str) -> list[int]:
    """Numbers separated by commas."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers such as 1,3, got {text!r}") from None


def _names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if unknown := [name for name in names if name not in BASELINES]:
        raise argparse.ArgumentTypeError(f"unknown baseline {unknown[0]!r}; there are {', '.join(BASELINES)}")
    return names


def baselines_of(
    names: Sequence[str], values: dict[str, Any], folds: Sequence[int]
) -> list[tuple[str, int, Evaluation]]:
    """Fits and scores baselines on the test rows of folds; one that cannot be fitted says why and is left out.

    Args:
        names: keys of `BASELINES`.
        values: a config, whose data part is used.
        folds: numbers of the folds.
    """
    scored = []
    for fold in folds:
        module = data_module([values["data"]], [f"--data.fold={fold}"])
        for name in names:
            baseline = BASELINES[name]()
            try:
                scored.append((baseline.name, fold, evaluate(baseline, module)))
            except ForecastlabError as error:
                print(f"fold {fold}: no {name}: {error}")
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


def _fold(run: Run, config: Path, fold: int, seed: int) -> Fold:
    settings = (f"--data.fold={fold}", f"--seed_everything={seed}", "--trainer.devices=1")
    return Fold(_folder(run, fold, seed), ("--config", str(config), *settings), factory.allowed_imports())


def _run(values: dict[str, Any], experiment: str | None, new: bool) -> Run:
    """The newest run of the experiment if its config is the same, so that it goes on; a new one otherwise."""
    settings = {**values, "seed_everything": None, "data": {**values["data"]}}
    settings["data"]["init_args"] = {**values["data"]["init_args"], "fold": None}
    settings["trainer"] = {
        **values["trainer"],
        "default_root_dir": None,
    }  # where it is does not make another experiment
    root = Path(values["trainer"]["default_root_dir"] or ".", LOGS)
    run = Run.continued(root, values["experiment"] or experiment or "default", settings, new)
    config = run.folder / CONFIG
    if not config.exists():
        write_whole(config, yaml.safe_dump(values, sort_keys=False))
    return run
