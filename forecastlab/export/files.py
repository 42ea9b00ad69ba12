"""Writing files."""

from pathlib import Path

from forecastlab.errors import DataError
from forecastlab.runs.files import write_whole


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
    try:
        write_whole(path, content)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from None
