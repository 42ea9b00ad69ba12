"""Cross-validation: every fold of an experiment from fresh weights and a fresh scaler."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch

from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.trained_on import records_of
from forecastlab.errors import ConfigError, DataError, ForecastlabError
from forecastlab.evaluation import baseline_names
from forecastlab.evaluation.comparison import Comparison
from forecastlab.evaluation.fold import Fold, fit_and_test, require_unchanged
from forecastlab.evaluation.gather import finished_folds, gather, read_result
from forecastlab.evaluation.results import CrossvalRun
from forecastlab.evaluation.scores import Evaluation, evaluate
from forecastlab.evaluation.tables import Table, fold_table
from forecastlab.evaluation.units import units_table
from forecastlab.experiment.config import Config
from forecastlab.network import factory
from forecastlab.runs.checkpoint import read_checkpoint
from forecastlab.runs.engines.engine import Engine
from forecastlab.runs.engines.named import engine_of
from forecastlab.runs.engines.process import end_if_imported
from forecastlab.runs.files import write_whole
from forecastlab.runs.jobs import Job, run_jobs
from forecastlab.runs.run import CONFIG, Run

PRELOAD = ("forecastlab.evaluation.fold",)
"""What the process of a fold needs, which is imported once for all of them."""


@dataclass(frozen=True)
class Crossval:
    """What a cross-validation came to.

    Attributes:
        folder: the run's folder.
        run: the results and the predictions of all folds that are finished; None if none is.
        failed: what went wrong, by the name of the fold; empty if nothing did.
    """

    folder: Path
    run: CrossvalRun | None
    failed: Mapping[str, str]

    def __repr__(self) -> str:
        lines = [] if self.run is None else [repr(self.table()), ""]
        lines += [f"{name}: {error}" for name, error in self.failed.items()]
        return "\n".join([*lines, f"run  {self.folder}"])

    def table(self) -> Table:
        """The errors of each fold and overall, beside those of the baselines on the same rows.

        Raises:
            DataError: if no fold is finished.
        """
        if self.run is None:
            raise DataError(f"no fold of {self.folder} is finished: {'; '.join(self.failed.values())}")
        return fold_table(Comparison.of([self.run]))


def crossval(
    config: Config | Mapping[str, Any] | str | Path,
    folds: Sequence[int] | None = None,
    seeds: Sequence[int] | None = None,
    baselines: Sequence[str] | None = None,
    jobs: int = 1,
    new: bool = False,
    allow_seen: bool = False,
    report: Callable[[str], object] = print,
    engine: str | Engine = "local",
) -> Crossval:
    """Fits and tests every fold and seed, and scores baselines on the same rows.

    Each fold is trained in a process of its own. A repeated call with the same config and data skips what is finished
    and resumes what is not. A script that calls this needs `if __name__ == "__main__":`, as all programs that begin
    processes.

    Args:
        config: the experiment: a config, its file, the name of a shipped one, or its keys and values.
        folds: numbers of the folds; None for all.
        seeds: None for the config's.
        baselines: names, with settings as in "ridge(lags=28)"; None for the config's, or else the usual ones.
        jobs: folds trained at once, with the config's threads each.
        new: begins a new run instead of going on with an equal one.
        allow_seen: scores test rows that trained the weights of `model.weights_from`; every table says so.
        report: told what is left out.
        engine: where the folds are trained: "local", "ray", "ray:ADDRESS", "slurm", or an engine.

    Raises:
        ConfigError: for a setting that cannot be used.
        DataError: for data, or files of an earlier call, that cannot be used.
    """
    end_if_imported()
    config, engine = Config.of(config), engine_of(engine)
    if jobs < 1:
        raise ConfigError(f"--jobs must be positive, got {jobs}")
    torch.set_num_threads(config.values["threads"])
    seeds = seeds or [int(config.values["seed_everything"])]
    module = config.data_module()
    named = config.baselines if baselines is None else baselines
    if named is None:
        named = baseline_names.usual(module.season_length, module.recipe.series is not None)
    baseline_names.build_all(named)  # before anything is trained
    folds = folds or list(range(1, module.splits + 1))
    require_folds(folds, module)
    module.prepare_data()
    if not allow_seen:
        require_unseen(config, module, folds, "test")
    run = Run.continued(config.root, config.experiment, config.settings(allow_seen), module.about, new)
    write_whole(run.folder / CONFIG, config.to_yaml())
    with run.alone():
        waiting = [
            fold_job(f"fold {fold}, seed {seed}", run.folder, config, fold, seed, module.fingerprint, allow_seen)
            for seed in seeds
            for fold in folds
            if not is_tested(run.folder, fold, seed)
        ]
        failed = run_jobs(waiting, jobs, PRELOAD, engine=engine, folder=run.folder)
        finished = finished_folds(run.folder)
        if finished:
            tested = sorted({fold for fold, _, _ in finished})
            scored = baselines_of(named, config, tested, module.fingerprint, report)
            gather(run.folder, run.experiment, scored, units_of(config, tested))
    return Crossval(run.folder, CrossvalRun.load(run.folder) if finished else None, failed)


def is_tested(folder: Path, fold: int, seed: int) -> bool:
    """Whether a fold of a run is finished."""
    return "test" in read_result(_place(folder, fold, seed))


def fold_job(
    name: str, folder: Path, config: Config, fold: int, seed: int, fingerprint: str, allow_seen: bool = False
) -> Job:
    """The training and the test of a fold.

    Args:
        name: what the job is called.
        folder: the folder of the whole run.
        config: the config of all folds.
        fold: number of the fold.
        seed: of the training.
        fingerprint: of the data that the run is about.
        allow_seen: whether test rows that trained the network are scored.
    """
    place = _place(folder.absolute(), fold, seed)
    own = config.with_values({"data.fold": fold, "seed_everything": seed, "trainer.devices": 1})
    argument = Fold(place, own, factory.allowed_imports(), fingerprint, allow_seen)
    return Job(name, fit_and_test, argument, place / "log", config.values["threads"])


def require_folds(folds: Sequence[int | str], module: ForecastDataModule) -> None:
    """Raises ConfigError if data have no fold of some number; "all" is no number."""
    if impossible := [fold for fold in folds if fold != "all" and fold not in range(1, module.splits + 1)]:
        raise ConfigError(f"--folds: expected numbers from 1 to {module.splits}, got {impossible[0]}")


def require_unseen(
    config: Config,
    module: ForecastDataModule,
    folds: Sequence[int | Literal["all"]],
    stage: Literal["validation", "test"],
) -> None:
    """Refuses, before anything is trained, to begin with weights that have seen rows that are to be scored.

    Args:
        config: what is to be trained.
        module: its data.
        folds: the folds that are to be trained.
        stage: which of their rows are scored.

    Raises:
        ConfigError: if `model.weights_from` was trained on such rows.
    """
    path = config.values["model"].get("weights_from")
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


def baselines_of(
    names: Sequence[str],
    config: Config,
    folds: Sequence[int],
    fingerprint: str,
    report: Callable[[str], object] = print,
) -> list[tuple[str, int, Evaluation]]:
    """Fits and scores baselines on the test rows of folds; one that cannot be fitted is left out.

    Args:
        names: baselines as `baseline_names.build` reads them.
        config: a config, whose data part is used.
        folds: numbers of the folds.
        fingerprint: of the data that the networks were trained on.
        report: told what is left out, and why.

    Raises:
        ConfigError: if the data have changed since.
    """
    scored: list[tuple[str, int, Evaluation]] = []
    for fold in folds:
        module = config.data_module(fold)
        require_unchanged(fingerprint, module)
        for name, baseline in zip(names, baseline_names.build_all(names), strict=True):
            try:
                evaluation = evaluate(baseline, module)
            except ForecastlabError as error:
                report(f"fold {fold}: no {name}: {error}")
                continue
            if baseline.name in (other for other, number, _ in scored if number == fold):
                report(f"fold {fold}: {name} is {baseline.name}, which is scored already")
                continue
            scored.append((baseline.name, fold, evaluation))
    return scored


def units_of(config: Config, folds: Sequence[int]) -> pd.DataFrame:
    """The units of scaled errors in some folds, as the rows of units.csv.

    Args:
        config: a config, whose data part is used.
        folds: numbers of the folds.
    """
    parts = []
    for fold in folds:
        module = config.data_module(fold)
        parts.append(units_table(fold, module.panel.names, module.targets, module.reference))
    return pd.concat(parts, ignore_index=True)


def _place(folder: Path, fold: int, seed: int) -> Path:
    return folder / f"fold_{fold}" / f"seed_{seed}"
