"""`fold: all`: when the number of epochs is found, fresh weights are trained on every row."""

import os
import sys
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.callbacks import Callback

from forecastlab.experiment.config import Config
from forecastlab.experiment.experiment import Experiment
from forecastlab.experiment.refitted import REFIT, install
from forecastlab.runs.metrics_file import METRICS, metrics_table
from forecastlab.runs.run import CHECKPOINTS, Run, load_checkpoint, resumable
from forecastlab.training.callbacks import Checkpoints, EarlyStopping, ForecastFigure, Refit

WHOLE = {
    "trainer.limit_val_batches": 0,
    "trainer.max_steps": -1,
    "trainer.max_time": None,
    "trainer.min_epochs": None,
}
"""The settings of a training that has no validation, and whose number of epochs is known."""


class Refitting(Experiment):
    """`fit` on every row, without validation."""

    def instantiate_classes(self) -> None:
        super().instantiate_classes()
        self.datamodule = self.datamodule.refit()

    def after_fit(self) -> None:
        """Leaves it to the caller to say what came out."""

    def _callbacks(self, config: Any) -> list[Callback]:
        needless = (EarlyStopping, ForecastFigure)  # both look at the validation
        return [callback for callback in super()._callbacks(config) if not isinstance(callback, needless)]

    def _how_to_go_on(self) -> str:
        assert self.given_run is not None
        last = self.given_run.root / self.given_run.experiment / CHECKPOINTS / "last.ckpt"
        return f"go on with: forecastlab fit --ckpt_path {os.path.relpath(last)}"


def refit(ended: Experiment) -> None:
    """Trains fresh weights on every row, for as many epochs as were best, if a `fit` of `fold: all` has just ended.

    The weights take the place of the run's best and last. A call that is interrupted goes on with
    `fit --ckpt_path last` of the run.

    Args:
        ended: the command that has ended.
    """
    checkpoints = ended.trainer.checkpoint_callback if ended.command == "fit" else None
    asked = ended.command == "fit" and ended.datamodule.fold == "all" and not ended.value(ended.config, "lr_find")
    if not asked or not isinstance(checkpoints, Checkpoints) or checkpoints.best_epoch < 0:
        return
    folder = checkpoints.folder.parent
    if ended.run is None or ended.trainer.world_size > 1:
        if ended.trainer.is_global_zero:
            why = "on several devices" if ended.run is not None else "without a run folder"
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
        config = Config.of(yaml.safe_load(best["config"])).with_values({**WHOLE, "trainer.max_epochs": epochs})
        arguments = config.arguments("fit", ckpt_path=resumable(again.folder))
        callbacks = [*ended.given_callbacks, Refit(best["state_dict"], _losses(folder / METRICS))]
        Refitting(arguments, again, callbacks, held=ended.held).execute()
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
