"""Reading checkpoints: whole or not at all, without running code that they may hold, and within the memory there is."""

import pickletools
import zipfile
from pathlib import Path
from typing import Any

import torch

from forecastlab.errors import DataError, similar_file
from forecastlab.limits import require_file, require_plain
from forecastlab.runs.checkpoint_schema import require_structure


def require_intact(path: str | Path) -> None:
    """Compares the checksums in a checkpoint with its bytes, which torch.load does not: a flipped bit loads silently.

    It also compares the sizes that it claims with those that it has: torch writes nothing compressed, so what unpacks
    to more than the file is none of its. A file that is not there is left to whoever loads it.

    Raises:
        DataError: if the file is damaged, or larger than the memory.
    """
    if not Path(path).is_file():
        return
    size = require_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = _wrong_size(archive, size) or archive.testzip() or _foreign(archive)
    except Exception as error:  # zipfile and pickletools raise many kinds for a file that is none
        damaged = str(error)
    if damaged is not None:
        raise DataError(
            f"the checkpoint {path} is damaged or not a checkpoint at all ({damaged}); use another one of the run"
        )


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Loads a checkpoint on the CPU without running any code that it may hold.

    Raises:
        DataError: if it is not there, damaged, too large, holds no weights, or has a part of another form than its
            readers expect.
    """
    if not Path(path).is_file():  # an address, a folder, a pipe
        raise DataError(f"there is no checkpoint {path}{similar_file(path)}")
    require_intact(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        raise DataError(
            f"{path} is not a readable checkpoint ({type(error).__name__}): it is damaged or was written by another "
            "program; use another checkpoint of the run"
        ) from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise DataError(f"{path} was not written by forecastlab fit: it holds no weights; use a checkpoint of a run")
    with zipfile.ZipFile(path) as archive:
        written = sum(entry.file_size for entry in archive.infolist() if entry.filename.endswith("data.pkl"))
    require_plain(checkpoint, f"the checkpoint {path}", written)  # before anything walks through it
    require_structure(checkpoint, path)
    return checkpoint


def _wrong_size(archive: zipfile.ZipFile, size: int) -> str | None:
    """What is wrong with the sizes that an archive claims, None if nothing is."""
    entries = archive.infolist()
    if packed := [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]:
        return f"{packed[0]} is compressed, which no checkpoint is"
    claimed = sum(entry.file_size for entry in entries)
    return f"it claims to hold {claimed} bytes and has {size}" if claimed > size else None


def _foreign(archive: zipfile.ZipFile) -> str | None:
    """What the pickle of an archive asks for that no checkpoint of ours does, None if there is nothing.

    torch itself refuses what could run code, but takes a bytearray of any length, which would fill the memory.
    """
    for entry in archive.namelist():
        if entry.endswith("data.pkl"):
            for operation, argument, _ in pickletools.genops(archive.read(entry)):
                if operation.name == "GLOBAL" and str(argument).endswith(" bytearray"):
                    return "it asks for a bytearray, which no checkpoint holds"
    return None
