"""The best weights and the last state of a run."""

import time
from pathlib import Path
from typing import Any

import lightning.pytorch
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from forecastlab.callbacks.run_logger import RunLogger
from forecastlab.errors import ConfigError


class Checkpoints(Checkpoint):
    """Writes `checkpoints/best.ckpt` (weights, to evaluate) and `checkpoints/last.ckpt` (everything, to resume).

    The best weights are kept in memory and written together with the last state: between epochs, at most every
    `write_interval` seconds, and at the end. A run that is killed repeats that much work when it is resumed; epochs
    that take milliseconds do not wait for the disk.

    Args:
        monitor: the metric that the best weights have least of.
        write_interval: seconds between writes while training; 0 writes after every epoch.
    """

    def __init__(self, monitor: str = "val/loss", write_interval: float = 10.0) -> None:
        self.monitor = monitor
        self.write_interval = write_interval
        self.best_score = float("inf")
        self.best_epoch = -1
        self.best_step = -1
        self.best_weights: dict[str, Tensor] | None = None
        self.folder = Path()
        self._best_written = True
        self._last_write = 0.0

    @property
    def best_model_path(self) -> str:
        """Where the best weights are; empty before there are any."""
        return str(self.folder / "best.ckpt") if self.best_epoch >= 0 else ""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self.folder = Path(trainer.strategy.broadcast(trainer.log_dir or trainer.default_root_dir), "checkpoints")
            self._last_write = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A resumed run takes up the best weights so far."""
        if self.best_epoch >= 0 and Path(self.best_model_path).exists():
            self.best_weights = torch.load(self.best_model_path, map_location="cpu", weights_only=True)["state_dict"]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if self.monitor not in trainer.callback_metrics:
            known = ", ".join(sorted(trainer.callback_metrics))
            raise ConfigError(f"checkpoints.monitor: no metric {self.monitor!r}; after validation there are: {known}")
        score = float(trainer.callback_metrics[self.monitor])
        if score < self.best_score:
            self.best_score, self.best_epoch, self.best_step = score, trainer.current_epoch, trainer.global_step
            self.best_weights = {name: value.detach().clone() for name, value in pl_module.state_dict().items()}
            self._best_written = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes what the epochs before have led to, which is only now complete: logged, and the schedule stepped."""
        due = time.monotonic() - self._last_write >= self.write_interval
        if trainer.strategy.broadcast(due):
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score, "best_epoch": self.best_epoch, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score = state_dict["best_score"]
        self.best_epoch = state_dict["best_epoch"]
        self.best_step = state_dict["best_step"]

    def _write(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.flush()  # so that no step before the checkpoint is missing from the curves
        if self.best_weights is not None and not self._best_written:
            checkpoint: dict[str, Any] = {
                "epoch": self.best_epoch,
                "global_step": self.best_step,
                "pytorch-lightning_version": lightning.pytorch.__version__,
                "state_dict": self.best_weights,
                pl_module.CHECKPOINT_HYPER_PARAMS_KEY: dict(pl_module.hparams),
            }
            for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
                callback.on_save_checkpoint(trainer, pl_module, checkpoint)
            trainer.strategy.save_checkpoint(checkpoint, self.folder / "best.ckpt")
            self._best_written = True
        trainer.save_checkpoint(self.folder / "last.ckpt", weights_only=False)
        self._last_write = time.monotonic()
