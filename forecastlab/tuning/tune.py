"""Tuning: which values of a config give the lowest validation loss."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from optuna.exceptions import StorageInternalError
from optuna.study import Study

from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.folds import Fold
from forecastlab.errors import ConfigError
from forecastlab.evaluation.crossval import require_folds, require_unseen
from forecastlab.experiment.config import Config
from forecastlab.experiment.config_reading import read_config
from forecastlab.experiment.shipped import path_of
from forecastlab.runs.engines.engine import Engine
from forecastlab.runs.engines.named import engine_of
from forecastlab.runs.engines.process import end_if_imported
from forecastlab.runs.files import write_whole
from forecastlab.runs.run import CONFIG, Run
from forecastlab.tuning.results import best_of
from forecastlab.tuning.search import Search, require_configs
from forecastlab.tuning.space import Space
from forecastlab.tuning.study import Address, Pruner, Sampler, Worker

SUFFIX = "-tune"
SPACE = "space.yaml"


@dataclass(frozen=True)
class Tuned:
    """What a call of `tune` came to.

    Attributes:
        folder: the run's folder, with trials.csv, best.yaml and figures.
        study: the study, with all trials.
        wanted: trials that the study is to get.
        finished: trials that it has, pruned ones among them.
        given_up: whether so many trials failed in a row that no further one was begun.
    """

    folder: Path
    study: Study
    wanted: int
    finished: int
    given_up: bool

    def __repr__(self) -> str:
        lines = [f"trials  {self.finished} of {self.wanted} finished"]
        best = best_of(self.study)
        if best is not None:
            values = ", ".join(f"{name}={value}" for name, value in best.params.items())
            lines.append(f"best    val/loss {best.value:.4f} in trial {best.number}: {values}")
        return "\n".join([*lines, f"run     {self.folder}"])


def tune(
    config: Config | Mapping[str, Any] | str | Path,
    space: str | Path | Mapping[str, Any],
    trials: int = 30,
    folds: Sequence[int | Literal["all"]] | None = None,
    jobs: int = 1,
    storage: str | None = None,
    sampler: Sampler = "tpe",
    pruner: Pruner = "median",
    seed: int = 0,
    keep_weights: bool = False,
    new: bool = False,
    report: Callable[[str], object] = print,
    engine: str | Engine = "local",
) -> Tuned:
    """Runs the trials of a study, in processes of their own, and writes what came out.

    A repeated call goes on up to `trials` in total. The test rows are never touched.

    Args:
        config: the experiment: a config, its file, the name of a shipped one, or its keys and values.
        space: what is searched: a file, the name of a shipped one, or its content.
        trials: trials in total, those of earlier calls among them.
        folds: folds whose mean loss counts; None for the config's.
        jobs: trials at once, with the config's threads each.
        storage: address of a database; None for a journal in the run folder.
        sampler: how values are chosen.
        pruner: what ends trials that lag behind.
        seed: of the sampler; the training's is the config's.
        keep_weights: keeps checkpoints and curves of every trial.
        new: begins a new study instead of going on with an equal one.
        report: told what goes wrong.
        engine: where the trials run: "local", "ray", "ray:ADDRESS", "slurm", or an engine.

    Raises:
        ConfigError: for a setting that cannot be used.
        DataError: for data, or files of an earlier call, that cannot be used.
    """
    end_if_imported()
    for name, value in (("trials", trials), ("jobs", jobs)):
        if value < 1:
            raise ConfigError(f"--{name} must be positive, got {value}")
    if seed < 0:
        raise ConfigError(f"--sampler_seed must be 0 or more, got {seed}")
    if storage and new:
        raise ConfigError("--new: the study is in the database; to begin another there, give another --experiment")
    config, engine = Config.of(config), engine_of(engine)
    module = config.data_module()
    _require_honest(module)
    folds = list(folds or [module.fold])
    require_folds(folds, module)
    content = dict(space) if isinstance(space, Mapping) else read_config(path_of(str(space)))
    try:
        entries = Space.of(content, config.values)
        require_configs(config, entries)
    except ConfigError as error:
        where = "" if isinstance(space, Mapping) else f" {space}"
        raise ConfigError(f"the space{where}: {error}") from None
    module.prepare_data()
    require_unseen(config, module, folds, "validation")
    settings = {**config.anywhere(), "space": content, "folds": folds}
    run = Run.continued(config.root, config.experiment + SUFFIX, settings, module.about, new)
    write_whole(run.folder / CONFIG, config.to_yaml())
    write_whole(run.folder / SPACE, yaml.safe_dump(content, sort_keys=False))
    digest = hashlib.sha256(
        json.dumps({**settings, "rows": module.about}, sort_keys=True, default=str).encode()
    ).hexdigest()
    address = Address(f"{config.experiment}-{digest[:8]}", run.folder.absolute(), storage, pruner)
    try:
        study, kept = address.open()
        worker = Worker(study, kept, run.folder, entries, trials, sampler, seed)
        ranges: dict[int | str, Fold] = {fold: module.ranges_of(fold) for fold in folds}
        search = Search(worker, address, config, run, ranges, keep_weights, module.fingerprint, report)
        search.run(jobs, engine)
    except StorageInternalError as error:
        raise ConfigError(f"--storage: the database cannot be used any more: {error.__cause__ or error}") from error
    return Tuned(run.folder, study, trials, worker.finished, search.given_up)


def _require_honest(module: ForecastDataModule) -> None:
    if module.validation == "test":
        raise ConfigError(
            "data.validation is test, so that the validation loss is that of the test rows: values chosen by it would "
            "be chosen on the test rows, and no test of them would mean anything. Set --data.validation tail"
        )
