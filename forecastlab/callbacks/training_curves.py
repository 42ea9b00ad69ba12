"""Gradient norm and learning rate as curves."""

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

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
        self._norms.append(torch.nn.utils.get_total_norm(gradients))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        norm = torch.stack(self._norms).mean()
        pl_module.log_dict({"train/gradient_norm": norm, "train/learning_rate": rate})
        self._norms.clear()
