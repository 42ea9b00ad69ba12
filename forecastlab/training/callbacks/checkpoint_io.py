"""Checkpoints that are either whole or not there."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from forecastlab.runs.checkpoint import require_intact
from forecastlab.runs.files import whole


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its final name and renames it when it is safely on disk; loads it only if it is whole.

    A process killed at any moment, or a full disk, leaves the previous checkpoint as it was.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Saves to a hidden file in the same folder, flushes it to the disk and renames it."""
        with whole(Path(path), flush=True) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Loads a checkpoint as Lightning does.

        Raises:
            DataError: if the file is damaged.
        """
        require_intact(path)
        return super().load_checkpoint(path, *args, **kwargs)
