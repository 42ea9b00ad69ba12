"""Ends a training that is not worth going on with."""

from collections.abc import Callable

from lightning.pytorch import Callback, LightningModule, Trainer


class Pruning(Callback):
    """Reports each epoch's validation loss to somebody who may end the training, and keeps the best.

    A training that is over anyway is not ended by it.

    Args:
        judge: told the epoch, from 0, and its validation loss; answers whether the training ends.
    """

    def __init__(self, judge: Callable[[int, float], bool]) -> None:
        self.judge = judge
        self.best = float("inf")
        self.pruned = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        loss = float(trainer.callback_metrics["val/loss"])
        self.best = min(self.best, loss)
        if self.judge(trainer.current_epoch, loss) and trainer.current_epoch + 1 != trainer.max_epochs:
            self.pruned = trainer.should_stop = True
