"""Files that are whole at any moment, and that several processes may write."""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from forecastlab.errors import ConfigError
from forecastlab.runs import locks

_PIECE = 1 << 20
"""Bytes that are read at once."""


@contextlib.contextmanager
def whole(path: Path, flush: bool = False) -> Iterator[BinaryIO]:
    """A file to write to, which takes its name at the end of the block, if there was no error.

    A process that is killed at any moment leaves the old file or the new one. A link is replaced by the file; the file
    that it leads to stays as it is.

    Args:
        path: the name; the folders above it are made.
        flush: whether the file is on the disk when the block has ended, so that a power cut does not lose it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with partial.open("wb") as file:
            yield file
            if flush:
                file.flush()
                os.fsync(file.fileno())
        locks.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    if flush and not locks.WINDOWS:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file as `whole` does."""
    with whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_output(content: str | bytes, path: Path) -> None:
    """Writes a file whole or not at all, with its folder.

    Raises:
        ConfigError: if it cannot be written.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}; choose another folder") from None


def write_newest(path: Path, content: BinaryIO, companions: tuple[Path, ...] = ()) -> Path | None:
    """Writes a file whole and keeps the former one, if that differs, under the next free number.

    `forecast.csv` becomes `forecast-1.csv`, the next one `forecast-2.csv`, and so on.

    Args:
        path: the file.
        content: its new content, from the beginning.
        companions: files that belong to the former one, and get its number.

    Returns:
        Where the former file is now; None if there was none, or if it was the same.
    """
    with locked(path):
        if _same(path, content):
            return None
        kept = None
        if path.stat().st_size:  # the lock makes an empty file where there is none
            kept = _numbered(path)
            number = kept.stem.removeprefix(path.stem)
            for companion in filter(Path.exists, companions):
                companion.replace(companion.with_stem(f"{companion.stem}{number}"))
        _copy(content, path)
        return kept


def _same(path: Path, content: BinaryIO) -> bool:
    """Whether a file has this content."""
    content.seek(0)
    with path.open("rb") as file:
        while (piece := content.read(_PIECE)) == file.read(_PIECE):
            if not piece:
                return True
    return False


def _copy(content: BinaryIO, path: Path) -> None:
    content.seek(0)
    with whole(path) as file:
        shutil.copyfileobj(content, file, _PIECE)


def _numbered(path: Path) -> Path:
    """Writes a copy under the next free number."""
    number = 1
    while (kept := path.with_stem(f"{path.stem}-{number}")).exists():
        number += 1
    with path.open("rb") as former:
        _copy(former, kept)
    return kept


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps other processes that ask for the same lock from writing a file within the block, for moments only.

    The lock is on the file itself, which is made if there is none. Within the block the file may be replaced. Windows
    replaces no open file, so there the lock is on a file beside it.
    """
    place = path
    if locks.WINDOWS:
        path.open("ab").close()
        place = path.with_name(f"{path.name}.lock")
    while True:
        file = os.open(place, os.O_RDONLY | os.O_CREAT, 0o666)
        with contextlib.suppress(OSError):  # a file system without locks
            locks.lock(file, wait=True)
        if locks.is_still(file, place):
            break
        os.close(file)  # whoever held the lock has replaced the file
    try:
        yield
    finally:
        if locks.WINDOWS:
            locks.close_and_delete(file, place)
        else:
            os.close(file)
