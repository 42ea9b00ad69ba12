"""What a training on every row takes over from the one that found out for how many epochs."""

from collections.abc import Mapping

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from forecastlab.adapters.lightning import set_metric


class Refit(Callback):
    """Gives a training without validation the intervals and the validation losses of an earlier one.

    The margins of the intervals are those of the earlier weights on rows that these had not seen. They are kept in the
    unit of the target; where each series has a scaling of its own, in the mean of these units. A schedule that follows
    the validation loss (ReduceLROnPlateau) takes the same steps as in the earlier training.

    Args:
        weights: `state_dict` of the earlier network at its best epoch.
        losses: validation loss by epoch.
    """

    def __init__(self, weights: Mapping[str, Tensor], losses: Mapping[int, float] | None = None) -> None:
        self.weights = weights
        self.losses = losses or {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        margin = self.weights.get("intervals.margin")
        if margin is None:
            return
        before, now = self.weights["scaling.target_scale"], pl_module.scaling.target_scale  # type: ignore[union-attr]
        unit = before.to(margin).mean(0) / now.to(margin).mean(0)  # type: ignore[operator]
        pl_module.intervals.margin.copy_(margin * unit)  # type: ignore[union-attr,operator]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loss = self.losses.get(trainer.current_epoch)
        if loss is not None:
            set_metric(trainer, "val/loss", torch.tensor(loss))
