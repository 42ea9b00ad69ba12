"""Early stopping that can be resumed."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer, callbacks


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's early stopping, whose count goes on when a run is resumed.

    The patience is the one that is given now: Lightning takes that of the checkpoint, whatever is asked for. A run that
    had stopped stays as it is, unless it is given more.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if 0 < self.wait_count >= self.patience:
            trainer.should_stop = True

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "patience": self.patience})
