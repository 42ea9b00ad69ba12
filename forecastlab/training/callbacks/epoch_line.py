"""Progress of a training in one line."""

import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

INTERVAL = 0.2
"""Seconds between changes of the line."""


class EpochLine(ProgressBar):
    """Shows the epoch, its losses and the best one in a line that changes, on a terminal and in a notebook.

    Into a pipe or a file nothing is written. It needs no widgets in a notebook, as Lightning's bars do.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stream: Any = sys.stdout
        self._enabled = True
        self._last, self._length = 0.0, 0
        self._best = ""

    @property
    def shown(self) -> bool:
        """Whether somebody looks on."""
        notebook = type(self._stream).__module__.startswith("ipykernel")
        return self._enabled and (notebook or bool(self._stream.isatty()))

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if time.monotonic() - self._last > INTERVAL:
            batches = trainer.num_training_batches
            self._show(trainer, f"batch {trainer.fit_loop.batch_idx + 1} of {batches}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        losses = {name: float(trainer.callback_metrics.get(name, "nan")) for name in ("train/loss", "val/loss")}
        checkpoints = trainer.checkpoint_callback
        best, epoch = getattr(checkpoints, "best_score", None), getattr(checkpoints, "best_epoch", -1)
        self._best = "" if best is None or epoch < 0 else f"  best {best:.4f} in epoch {epoch}"
        if time.monotonic() - self._last > INTERVAL or trainer.should_stop or self._is_last(trainer):
            self._show(trainer, "  ".join(f"{name} {loss:.4f}" for name, loss in losses.items() if loss == loss))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the line as it is last."""
        self._end()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Begins a line for what went wrong."""
        self._end()

    def _is_last(self, trainer: Trainer) -> bool:
        return trainer.current_epoch + 1 == trainer.max_epochs

    def _show(self, trainer: Trainer, text: str) -> None:
        if not self.shown or not trainer.is_global_zero:
            return
        self._last = time.monotonic()
        of = f" of at most {trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
        line = f"epoch {trainer.current_epoch}{of}  {text}{self._best}"
        self._stream.write("\r" + line.ljust(self._length))
        self._stream.flush()
        self._length = len(line)

    def _end(self) -> None:
        if self._length:
            self._stream.write("\n")
            self._stream.flush()
            self._length = 0
