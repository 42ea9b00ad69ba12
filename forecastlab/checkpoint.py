"""Reading checkpoints: whole or not at all, and without running code that they may hold."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from forecastlab.checkpoint_schema import require_structure
from forecastlab.errors import DataError


def require_intact(path: str | Path) -> None:
    """Compares the checksums in a checkpoint with its bytes, which torch.load does not: a flipped bit loads silently.

    A file that is not there is left to whoever loads it.

    Raises:
        DataError: if the file is damaged.
    """
    if not Path(path).is_file():
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # zipfile raises many kinds for a file that is none
        damaged = str(error)
    if damaged is not None:
        raise DataError(
            f"the checkpoint {path} is damaged or not a checkpoint at all ({damaged}); use another one of the run"
        )


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Loads a checkpoint on the CPU without running any code that it may hold.

    Raises:
        DataError: if it is not there, damaged, holds no weights, or has a part of another form than its readers expect.
    """
    require_intact(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"there is no checkpoint {path}") from None
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        raise DataError(
            f"{path} is not a readable checkpoint ({type(error).__name__}): it is damaged or was written by another "
            "program; use another checkpoint of the run"
        ) from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise DataError(f"{path} was not written by forecastlab fit: it holds no weights; use a checkpoint of a run")
    require_structure(checkpoint, path)
    return checkpoint
