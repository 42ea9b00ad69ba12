"""One fold of a cross-validation: fit and test, as the commands of these names do it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError
from forecastlab.evaluation.gather import read_result, write_result
from forecastlab.experiment.config import Config
from forecastlab.experiment.environment import prepare
from forecastlab.experiment.experiment import Experiment
from forecastlab.runs.run import CHECKPOINTS, Run, resumable
from forecastlab.training.callbacks import Checkpoints
from forecastlab.training.callbacks.progress_report import ProgressReport


@dataclass(frozen=True)
class Fold:
    """What a process needs to know.

    Attributes:
        folder: where the fold's files go.
        config: the config, with the fold and the seed.
        allow_import: packages that a class path may import from.
        fingerprint: of the data that the whole run is about.
        allow_seen: whether test rows that trained the network are scored.
    """

    folder: Path
    config: Config
    allow_import: tuple[str, ...] = ()
    fingerprint: str | None = None
    allow_seen: bool = False


def fit_and_test(fold: Fold, report: Callable[[float, str], None]) -> None:
    """Trains and tests a fold; goes on where an earlier call was interrupted.

    Args:
        fold: what to train.
        report: told how far the training is.

    Raises:
        ConfigError: if the data are no longer those that the run is about.
    """
    prepare(fold.allow_import)
    run = Run(fold.folder.parent.parent, fold.folder.parent.name, fold.folder.name)
    with run.alone():  # a process of an earlier call may still be ending
        result = read_result(fold.folder)
        last = None if "fit" in result else resumable(fold.folder)
    if "fit" not in result:
        begun = time.monotonic()
        arguments = fold.config.arguments("fit", ckpt_path=last)
        fit = Experiment(arguments, run, [ProgressReport(report)], held=fold.config.held).execute()
        require_unchanged(fold.fingerprint, fit.datamodule)
        checkpoints = fit.trainer.checkpoint_callback
        assert isinstance(checkpoints, Checkpoints)
        result["fit"] = {
            "best_epoch": checkpoints.best_epoch,
            "epochs": fit.trainer.current_epoch,
            "seconds": None if last else time.monotonic() - begun,  # of a resumed fold only the end is known
            "val/loss": checkpoints.best_score,
        }
        write_result(fold.folder, result)
    if "test" not in result:
        best = str(fold.folder / CHECKPOINTS / "best.ckpt")
        arguments = fold.config.arguments("test", ckpt_path=best, allow_seen=fold.allow_seen)
        test = Experiment(arguments, run, held=fold.config.held).execute()
        require_unchanged(fold.fingerprint, test.datamodule)
        metrics = {name: float(value) for name, value in test.trainer.callback_metrics.items()}
        result["test"] = {name: value for name, value in metrics.items() if name.startswith("test/")}
        write_result(fold.folder, result)


def require_unchanged(expected: str | None, data: ForecastDataModule) -> None:
    """Finds out whether the data are still those that a run is about, so that its tables never mix two states of them.

    Args:
        expected: the fingerprint of the run's data; None for a run that is about one state by itself.
        data: what was read just now.

    Raises:
        ConfigError: if they have changed.
    """
    if expected not in (None, data.fingerprint):
        raise ConfigError("the data have changed since this run was begun: run the same command again, it begins anew")
