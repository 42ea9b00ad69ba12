"""Gradient norm and learning rate as curves."""

from statistics import fmean

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer


class TrainingCurves(Callback):
    """Logs the gradient norm and the learning rate of each epoch beside its losses.

    `train/gradient_norm` is the 2-norm of all gradients before clipping, averaged over the epoch's steps;
    `train/learning_rate` is the rate that the epoch was trained with (of the first parameter group).
    """

    def __init__(self) -> None:
        self._norms: list[Tensor] = []
        self._rate = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._norms.clear()  # of an epoch that was interrupted

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        self._norms.append(torch.nn.utils.get_total_norm(gradients))
        self._rate = optimizer.param_groups[0]["lr"]  # at the end of the epoch the schedule has stepped already

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        norm = fmean(torch.stack(self._norms).tolist())  # gradients, and so their norms, are the same on all devices
        # straight to the loggers: these two are only looked at, and `log` would cost more than a short step of training
        for logger in trainer.loggers:
            metrics = {"train/gradient_norm": norm, "train/learning_rate": self._rate}
            logger.log_metrics(metrics, trainer.global_step - 1)
        self._norms.clear()
