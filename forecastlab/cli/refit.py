"""`fold: all`: when the number of epochs is found, fresh weights are trained on every row."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback

from forecastlab.cli.command_line import ForecastCLI
from forecastlab.cli.fold import resumed
from forecastlab.cli.refitted import REFIT, install
from forecastlab.runs.run import CHECKPOINTS, Run, load_checkpoint
from forecastlab.training.callbacks import Checkpoints, EarlyStopping, ForecastFigure, Refit
from forecastlab.training.callbacks.metrics_file import metrics_table
from forecastlab.training.callbacks.run_logger import METRICS


class RefitCLI(ForecastCLI):
    """`fit` on every row, without validation.

    Args:
        args: the command line, beginning with `fit`.
        run: the run whose folder is written to, that of the refit.
        taken: what is taken over from the training before.
    """

    def __init__(self, args: Sequence[str], run: Run, taken: Refit) -> None:
        super().__init__(args, run, [taken])

    def instantiate_classes(self) -> None:
        super().instantiate_classes()
        self.datamodule = self.datamodule.refit()

    def after_fit(self) -> None:
        """Leaves it to the caller to say what came out."""

    def _callbacks(self, config: Any) -> list[Callback]:
        needless = (EarlyStopping, ForecastFigure)  # both look at the validation
        return [callback for callback in super()._callbacks(config) if not isinstance(callback, needless)]

    def _how_to_go_on(self, command: str) -> str:
        assert self.given_run is not None
        last = self.given_run.root / self.given_run.experiment / CHECKPOINTS / "last.ckpt"
        return f"go on with: forecastlab fit --ckpt_path {os.path.relpath(last)}"


def refit(cli: ForecastCLI) -> None:
    """Trains fresh weights on every row, for as many epochs as were best, if a `fit` of `fold: all` has just ended.

    The weights take the place of the run's best and last. A call that is interrupted goes on with
    `fit --ckpt_path last` of the run.

    Args:
        cli: the command that has ended.
    """
    checkpoints = cli.trainer.checkpoint_callback if cli.subcommand == "fit" else None
    asked = cli.subcommand == "fit" and cli.datamodule.fold == "all" and not cli.value(cli.config, "lr_find")
    if not asked or not isinstance(checkpoints, Checkpoints) or checkpoints.best_epoch < 0:
        return
    folder = checkpoints.folder.parent
    if cli.run is None or cli.trainer.world_size > 1:
        if cli.trainer.is_global_zero:
            why = "on several devices" if cli.run is not None else "without a run folder"
            last = _relative(checkpoints.folder / "last.ckpt")
            print(
                f"forecastlab: note: {why} the validation tail does not train these weights; to train on every row, go "
                f"on with: forecastlab fit --ckpt_path {last} --trainer.devices 1",
                file=sys.stderr,
            )
        return
    run = Run(folder.parent.parent, folder.parent.name, folder.name)
    again = Run(run.root / run.experiment, run.version, REFIT)
    best = load_checkpoint(folder / CHECKPOINTS / "best.ckpt")
    epochs = checkpoints.best_epoch + 1
    print(f"refit      fresh weights are trained on every row for {epochs} epochs, which were best on the tail")
    with run.alone():
        again.folder.mkdir(exist_ok=True)
        whole = {
            "max_epochs": epochs,
            "limit_val_batches": 0,
            "max_steps": -1,
            "max_time": "null",
            "min_epochs": "null",
        }
        given = [f"--trainer.{name}={value}" for name, value in whole.items()]
        args = ["fit", "--config", best["config"], *given, *resumed(again.folder)]
        RefitCLI(args, again, Refit(best["state_dict"], _losses(folder / METRICS)))
        install(folder)
    intervals = "; intervals are as wide as on the tail" if "intervals.margin" in best["state_dict"] else ""
    print(
        f"done       {_relative(folder / CHECKPOINTS / 'best.ckpt')} and last.ckpt hold weights of every row, of which "
        f"none is left to score{intervals}"
    )


def _losses(path: Path) -> dict[int, float]:
    """The validation loss by epoch, as far as it was logged."""
    if not path.exists():
        return {}
    log = metrics_table(path)
    if "val/loss" not in log:
        return {}
    log = log.dropna(subset=["epoch", "val/loss"])
    return dict(zip(log["epoch"].astype(int).tolist(), log["val/loss"].tolist(), strict=True))


def _relative(path: Path) -> str:
    return os.path.relpath(path)
