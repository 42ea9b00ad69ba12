"""Progress of a training that nobody watches directly."""

import time
from collections.abc import Callable

from lightning.pytorch import Callback, LightningModule, Trainer


class ProgressReport(Callback):
    """Reports how far the training is.

    Args:
        report: called with the share of the epochs that are done, 0 .. 1, and the epoch and the validation loss
            as text.
        interval: seconds between reports.
    """

    def __init__(self, report: Callable[[float, str], None], interval: float = 0.5) -> None:
        self.report = report
        self.interval = interval
        self._last = 0.0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        now = time.monotonic()
        if now - self._last < self.interval:
            return
        self._last = now
        loss = trainer.callback_metrics.get("val/loss")
        of = f" of at most {trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
        text = f"epoch {trainer.current_epoch}{of}" + ("" if loss is None else f", val/loss {float(loss):.4f}")
        self.report((trainer.current_epoch + 1) / (trainer.max_epochs or 1), text)
