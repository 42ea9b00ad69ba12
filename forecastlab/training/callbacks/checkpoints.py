"""The best weights and the last state of a run."""

import contextlib
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from forecastlab.adapters.lightning import begin_next_epoch, state_of
from forecastlab.errors import ConfigError, DataError, ForecastlabError, NotFiniteError
from forecastlab.runs.checkpoint import read_checkpoint
from forecastlab.training.callbacks.run_folder import folder_of
from forecastlab.training.callbacks.run_logger import RunLogger

COPY_INTERVAL = 1.0
"""Seconds between copies of the state in memory; a copy takes a millisecond, and so may an epoch."""
TO_RESUME = ("loops", "callbacks", "optimizer_states", "lr_schedulers", "random_state", "training_weights")
"""The parts of a checkpoint that only resuming needs."""


class Checkpoints(Checkpoint):
    """Writes `checkpoints/best.ckpt` (weights, to evaluate) and `checkpoints/last.ckpt` (everything, to resume).

    The best weights are kept in memory and written together with the last state: between epochs, at most every
    `write_interval` seconds, and at the end. A run that is killed repeats that much work when it is resumed; epochs
    that take milliseconds do not wait for the disk. A run that is interrupted, or that fails, writes what its last
    finished epoch led to (or one that ended in the second before), never half an epoch.

    Weights that are no longer finite are never written.

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
        self._first_epoch = 0
        self._last_write = 0.0
        self._last_copy = 0.0
        self._copy: dict[str, dict[str, Any]] | None = None

    @property
    def best_model_path(self) -> str:
        """Where the best weights are; empty before there are any."""
        return str(self.folder / "best.ckpt") if self.best_epoch >= 0 else ""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self.folder = folder_of(trainer) / "checkpoints"
            self._last_write = time.monotonic()
            if trainer.is_global_zero:
                for partial in self.folder.glob(".*.ckpt.*"):  # of a process that was killed while it wrote
                    partial.unlink(missing_ok=True)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A resumed run takes up the best weights so far, and goes on with the next epoch."""
        counts = trainer.fit_loop.epoch_progress.current.state_dict()
        if counts["ready"] == counts["processed"]:  # with max_steps, Lightning would go through an empty epoch first
            begin_next_epoch(trainer)
        self._first_epoch = trainer.current_epoch
        if self.best_epoch >= 0:
            self._take_up_best()

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
        if trainer.current_epoch == self._first_epoch:
            return  # nothing is new, and weights that are not trained must not be found by anyone
        now = time.monotonic()
        due = (now - self._last_write >= self.write_interval, now - self._last_copy >= COPY_INTERVAL)
        write, copy = trainer.strategy.broadcast(due)
        if write:
            self._write(trainer, self._checkpoints(trainer, pl_module))
        elif copy:
            checkpoints = self._checkpoints(trainer, pl_module)
            last = deepcopy(checkpoints["last.ckpt"])  # training goes on to change what it refers to
            self._copy = {**checkpoints, "last.ckpt": last}
            self._last_copy = now

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step:
            self._write(trainer, self._checkpoints(trainer, pl_module))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Brings what the last finished epoch led to onto the disk, if that can be done."""
        if self._copy is not None:
            with contextlib.suppress(OSError, ForecastlabError):
                self._save(trainer, self._copy)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Counts an epoch that is ready but not started as not ready: resumed, Lightning would take it for trained."""
        for counts in checkpoint.get("loops", {}).get("fit_loop", {}).get("epoch_progress", {}).values():
            if counts["ready"] == counts["started"] + 1:
                counts["ready"] = counts["started"]

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score, "best_epoch": self.best_epoch, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score = state_dict["best_score"]
        self.best_epoch = state_dict["best_epoch"]
        self.best_step = state_dict["best_step"]

    def _take_up_best(self) -> None:
        """Takes the best weights so far from best.ckpt, with their own score.

        The file may be newer than last.ckpt, if the process was killed between the two; then it is of an epoch that
        will be trained again. If it is lost, the best epoch is sought from here on.
        """
        self.best_weights, best = None, {}
        with contextlib.suppress(DataError):  # it is lost, damaged or not to be trusted
            best = read_checkpoint(self.best_model_path)
        if "best_score" in best:
            self.best_weights, self.best_score = best["state_dict"], best["best_score"]
            self.best_epoch, self.best_step = best["epoch"], best["global_step"]
        else:
            rank_zero_info(f"{self.best_model_path} cannot be used: the best epoch is sought from here on")
            self.best_score, self.best_epoch, self.best_step = float("inf"), -1, -1

    def _checkpoints(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, dict[str, Any]]:
        """What is to be written, by file name.

        Raises:
            NotFiniteError: if the weights are not finite.
        """
        weights = [parameter.detach() for parameter in pl_module.parameters()]
        if not all(bool(weight.isfinite().all()) for weight in weights):
            raise NotFiniteError(
                f"the weights are no longer finite after epoch {trainer.current_epoch}; the checkpoints keep what they "
                "were before. Lower the learning rate, or set --trainer.gradient_clip_val 1"
            )
        last = state_of(trainer)
        if self.best_weights is None or self._best_written:
            return {"last.ckpt": last}
        best = {name: part for name, part in last.items() if name not in TO_RESUME}
        best |= {"epoch": self.best_epoch, "global_step": self.best_step, "best_score": self.best_score}
        return {"best.ckpt": {**best, "state_dict": self.best_weights}, "last.ckpt": last}

    def _write(self, trainer: Trainer, checkpoints: dict[str, dict[str, Any]]) -> None:
        self._save(trainer, checkpoints)
        trainer.strategy.barrier("forecastlab.training.callbacks.Checkpoints")  # nobody goes on before they are there
        self._best_written = True
        self._copy = None
        self._last_write = time.monotonic()

    def _save(self, trainer: Trainer, checkpoints: dict[str, dict[str, Any]]) -> None:
        failed: OSError | None = None
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger):
                try:
                    logger.flush(before=trainer.global_step)  # so that the curves lack no step before the checkpoint
                except OSError as error:  # the checkpoint is worth more than the curves
                    failed = error
        for name, checkpoint in checkpoints.items():
            try:
                trainer.strategy.save_checkpoint(checkpoint, self.folder / name)
            except (OSError, RuntimeError) as error:  # torch raises the latter for a full disk
                raise DataError(f"cannot write {self.folder / name}: {error}; the one before it is kept") from error
        if failed is not None:
            raise DataError(f"cannot write the curves of the run: {failed}; its checkpoints are written") from failed
