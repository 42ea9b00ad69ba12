"""Writing files."""

import contextlib
import os
from pathlib import Path

from forecastlab.errors import DataError


def with_ending(path: str | Path, ending: str) -> Path:
    """The path, whose ending must be the given one.

    Raises:
        DataError: if it is not.
    """
    path = Path(path).expanduser()
    if path.suffix != ending:
        raise DataError(f"expected a file that ends in {ending}, got {path}")
    return path


def write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, and the folders above it.

    Raises:
        DataError: if it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
