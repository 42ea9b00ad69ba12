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

    The margins of the intervals, those of all series and those of each, are the ones of the earlier weights on rows
    that these had not seen. In the unit of the target they stay as they are, though the scaler sees more rows now.
    Where each series has a scaling of its own, the margins of all series are kept in the mean of these units. A
    schedule that follows the validation loss (ReduceLROnPlateau) takes the same steps as in the earlier training.

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
        own = self.weights.get("intervals.own")
        if own is not None:
            network.intervals.own.copy_(own * (before / now)[:, None, None])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loss = self.losses.get(trainer.current_epoch)
        if loss is not None:
            set_metric(trainer, "val/loss", torch.tensor(loss))
