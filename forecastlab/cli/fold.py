"""One fold of a cross-validation: fit and test, as the commands of these names do it."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from forecastlab.callbacks import Checkpoints
from forecastlab.callbacks.progress_report import ProgressReport
from forecastlab.cli.command_line import ForecastCLI
from forecastlab.cli.environment import prepare
from forecastlab.cli.runs import CHECKPOINTS, Run, load_checkpoint
from forecastlab.errors import DataError
from forecastlab.evaluation.gather import read_result, write_result


@dataclass(frozen=True)
class Fold:
    """What a process needs to know.

    Attributes:
        folder: where the fold's files go.
        args: options of `fit`, with the fold and the seed.
        allow_import: packages that a class path may import from.
    """

    folder: Path
    args: tuple[str, ...]
    allow_import: tuple[str, ...] = ()


def fit_and_test(fold: Fold, report: Callable[[float, str], None]) -> None:
    """Trains and tests a fold; goes on where an earlier call was interrupted.

    Args:
        fold: what to train.
        report: told how far the training is.
    """
    prepare(fold.allow_import)
    run = Run(fold.folder.parent.parent, fold.folder.parent.name, fold.folder.name)
    with run.alone():  # a process of an earlier call may still be ending
        result = read_result(fold.folder)
        resume = () if "fit" in result else _resume(fold.folder)
    if "fit" not in result:
        begun = time.monotonic()
        cli = ForecastCLI(["fit", *fold.args, *resume], run, [ProgressReport(report)])
        checkpoints = cli.trainer.checkpoint_callback
        assert isinstance(checkpoints, Checkpoints)
        result["fit"] = {
            "best_epoch": checkpoints.best_epoch,
            "epochs": cli.trainer.current_epoch,
            "seconds": None if resume else time.monotonic() - begun,  # of a resumed fold only the end is known
            "val/loss": checkpoints.best_score,
        }
        write_result(fold.folder, result)
    if "test" not in result:
        best = fold.folder / CHECKPOINTS / "best.ckpt"
        cli = ForecastCLI(["test", *fold.args, "--ckpt_path", str(best)], run)
        metrics = {name: float(value) for name, value in cli.trainer.callback_metrics.items()}
        result["test"] = {name: value for name, value in metrics.items() if name.startswith("test/")}
        write_result(fold.folder, result)


def _resume(folder: Path) -> tuple[str, ...]:
    """The options that resume a fold; without a checkpoint that can be used it begins afresh, and its remains go."""
    last = folder / CHECKPOINTS / "last.ckpt"
    if last.exists():
        try:
            load_checkpoint(last)
        except DataError as error:
            print(f"{error}; begun afresh")
        else:
            return "--ckpt_path", str(last)
    for remains in folder.iterdir():
        if remains.is_dir():
            shutil.rmtree(remains)
        elif remains.name != "log":  # which this process writes
            remains.unlink()
    return ()
