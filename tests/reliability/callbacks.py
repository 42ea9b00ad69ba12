"""Callbacks that make a training slow or spoil it; what `--allow_import tests` lets a command line name."""

import sys
import time

import torch
from lightning.pytorch import Callback

from forecastlab.training.callbacks.checkpoints import COPY_INTERVAL
from tests.reliability.processes import STEPS


class SlowEpochs(Callback):
    """Says where the training is, and waits after each batch.

    Args:
        seconds: how long; by default so long that each epoch's state is copied in memory.
    """

    def __init__(self, seconds: float = 1.1 * COPY_INTERVAL / STEPS) -> None:
        self.seconds = seconds

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        print(f"epoch {trainer.current_epoch} batch {batch_idx}", file=sys.stderr, flush=True)
        time.sleep(self.seconds)

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        print(f"test batch {batch_idx}", file=sys.stderr, flush=True)
        time.sleep(self.seconds)


class SpoiledBatch(Callback):
    """Puts a bad value into a batch, and says which rows it is of.

    Args:
        value: the value.
        stage: "train" or "val".
        epoch: number of the epoch.
        batch: number of the batch.
        rank: number of the device.
    """

    def __init__(
        self, value: float = float("nan"), stage: str = "train", epoch: int = 2, batch: int = 1, rank: int = 0
    ) -> None:
        self.value, self.stage, self.epoch, self.batch, self.rank = value, stage, epoch, batch, rank

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self._spoil(trainer, batch, batch_idx, "train")

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self._spoil(trainer, batch, batch_idx, "val")

    def _spoil(self, trainer, batch, batch_idx, stage):
        here = (stage, trainer.current_epoch, batch_idx, trainer.global_rank)
        if here == (self.stage, self.epoch, self.batch, self.rank):
            batch.target[0, 0, 0, 0] = self.value
            print("spoiled:", *sorted(batch.index.flatten().tolist()), file=sys.stderr, flush=True)


class SpoiledWeights(Callback):
    """Makes a weight infinite when the loss of an epoch's last batch has been computed.

    Args:
        epoch: number of the epoch.
    """

    def __init__(self, epoch: int = 2) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == self.epoch and trainer.is_last_batch:
            with torch.no_grad():
                next(pl_module.parameters()).view(-1)[0] = float("inf")
