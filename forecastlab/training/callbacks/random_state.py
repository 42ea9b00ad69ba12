"""The state of the random number generators in the checkpoint."""

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class RandomState(Callback):
    """Saves the generators of torch, NumPy and Python with a checkpoint, so that a resumed run goes on identically.

    Each device has its own, which part as soon as their batches differ in size. They are kept as plain lists and
    tensors, which load without running code.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        states: list[Any] = [_state()]
        if trainer.world_size > 1:
            states = [None] * trainer.world_size
            torch.distributed.all_gather_object(states, _state())
        checkpoint["random_state"] = states

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        states = checkpoint.get("random_state")
        if trainer.state.fn == "fit" and states:
            self._restored = states[trainer.global_rank % len(states)]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restores the generators after everything that draws numbers at the start."""
        if self._restored is None:
            return
        torch.set_rng_state(self._restored["torch"])
        if torch.cuda.is_available() and len(self._restored["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(self._restored["cuda"])
        kind, keys, position, has_gauss, cached = self._restored["numpy"]
        np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
        version, internal, gauss = self._restored["python"]
        random.setstate((version, tuple(internal), gauss))
        self._restored = None


def _state() -> dict[str, Any]:
    """The generators of this process."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [kind, [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
        "python": [version, list(internal), gauss],
    }
