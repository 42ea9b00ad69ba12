"""What a training on every row takes over from the one that found out for how many epochs."""

from collections.abc import Mapping
from typing import cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from forecastlab.adapters.lightning import set_metric
from forecastlab.network.network import Network


class Refit(Callback):
    """Gives a training without validation the intervals and the validation losses of an earlier one.

    The margins of the intervals are those of the earlier weights on rows that these had not seen, of all series
    together: those of one series come from few errors, for which its window may have had a tiny unit. They are kept in
    the unit of the target; where each series has a scaling of its own, in the mean of these units. A schedule that
    follows the validation loss (ReduceLROnPlateau) takes the same steps as in the earlier training.

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
        network = cast(Network, pl_module)
        assert network.intervals is not None
        before, now = self.weights["scaling.target_scale"].to(margin), cast(Tensor, network.scaling.target_scale)
        now = now.to(margin) if network.errors_follow_the_scaler else before
        network.intervals.margin.copy_(margin * (before.mean(0) / now.mean(0)))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loss = self.losses.get(trainer.current_epoch)
        if loss is not None:
            set_metric(trainer, "val/loss", torch.tensor(loss))
