"""Progress of a training, a test or a forecast in one line."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

from forecastlab.batch import Batch
from forecastlab.runs.live_line import LiveLine
from forecastlab.training.time_left import time_left

EPOCHS = 20
"""How many of the last epochs the time of one is taken from."""


class EpochLine(ProgressBar):
    """Shows the epoch, the time that is left, the losses, the best one, the learning rate and the speed in one line.

    On a terminal and in a notebook the line changes in place, also within an epoch. Into a pipe or a file a line is
    written every half minute. It needs no widgets in a notebook, as Lightning's bars do.

    Rows per second are forecast origins that were trained on, over the whole time of an epoch, its validation included.

    Attributes:
        line: what it writes to, and whose clock it goes by.
    """

    def __init__(self) -> None:
        super().__init__()
        self.line = LiveLine()
        self._enabled = True
        self._begun = 0.0
        self._took: deque[float] = deque(maxlen=EPOCHS)
        self._rows = 0
        self._speed = 0.0
        self._rate: float | None = None

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begun, self._rows = self.line.clock(), 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        # at the end of an epoch, the schedule has chosen that of the next one
        rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
        self._rate = rates[0] if rates else None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self._rows += batch.index.numel() * trainer.world_size
        if self.line.due:
            batches = trainer.num_training_batches
            share = (batch_idx + 1) / batches
            took = self._took or ([(self.line.clock() - self._begun) / share] if share else [])  # none is endless
            self._show_training(trainer, share, took, f"batch {batch_idx + 1} of {batches}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seconds = self.line.clock() - self._begun
        self._took.append(seconds)
        self._speed = self._rows / max(seconds, 1e-9)
        if self.line.due:
            self._show_training(trainer, 1.0, self._took)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._show_batches(trainer, "validation", batch_idx, trainer.num_val_batches)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._show_batches(trainer, "test", batch_idx, trainer.num_test_batches)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._show_batches(trainer, "forecast", batch_idx, trainer.num_predict_batches)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the line as it is last."""
        if self.line.changes and trainer.current_epoch and self._took:  # the last epoch may not have been due
            self._show_training(trainer, 0.0, (), of_epoch=trainer.current_epoch - 1)
        self.line.end()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.line.end()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.line.end()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self.line.end()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Begins a line for what went wrong."""
        self.line.end()

    def _show_training(
        self, trainer: Trainer, share: float, took: Sequence[float], part: str = "", of_epoch: int | None = None
    ) -> None:
        """Shows how far a training is.

        Args:
            trainer: that trains.
            share: of the present epoch that is done.
            took: seconds that each of the last epochs took.
            part: of the epoch, in words.
            of_epoch: the epoch; None for the present one.
        """
        if not self._enabled:
            return
        epoch = trainer.current_epoch if of_epoch is None else of_epoch
        of = f" of at most {trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
        losses = {name: float(trainer.callback_metrics.get(name, "nan")) for name in ("train/loss", "val/loss")}
        checkpoints = trainer.checkpoint_callback
        best, in_epoch = getattr(checkpoints, "best_score", None), getattr(checkpoints, "best_epoch", -1)
        self.line.show(
            [
                f"epoch {epoch}{of}" + (f", {part}" if part else ""),
                time_left(trainer, epoch + share, took),
                *(f"{name} {loss:.4f}" for name, loss in losses.items() if loss == loss),
                "" if best is None or in_epoch < 0 else f"best {best:.4f} in epoch {in_epoch}",
                "" if self._rate is None else f"lr {self._rate:.3g}",
                f"{_short(self._speed)} rows/s" if self._speed else "",
            ]
        )

    def _show_batches(self, trainer: Trainer, what: str, batch_idx: int, batches: Sequence[float]) -> None:
        """Shows how far a validation, a test or a forecast is."""
        if not self._enabled or not self.line.due:
            return
        part = f"{what} batch {batch_idx + 1} of {sum(batches):.0f}"
        if trainer.state.fn == "fit":
            self._show_training(trainer, 1.0, self._took, part)
        else:
            self.line.show([part])


def _short(number: float) -> str:
    """A count in few letters: 950, 12k, 3.4M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"
