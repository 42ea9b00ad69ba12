"""The content of a file, unpacked if it is packed, and never more of it than fits into the memory."""

import bz2
import gzip
import importlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from forecastlab.errors import DataError
from forecastlab.limits import require_file, require_memory

_CHUNK = 2**20
"""Bytes that are unpacked before the memory is asked again."""
_EXCEL = "xl/workbook.xml"
"""A member that the archive of every Excel workbook has."""


def content_of(path: Path) -> bytes:
    """The bytes of a file; of a packed one (gzip, zip of one file, bzip2, xz, Zstandard), what it unpacks to.

    Whether a file is packed is told from its first bytes, so its name may be any. An Excel workbook is a zip as well,
    but stays as it is.

    Args:
        path: the file.

    Raises:
        DataError: if it cannot be unpacked, or if it unpacks to more than the memory holds.
    """
    require_file(path)
    with path.open("rb") as file:
        start = file.read(8)
        file.seek(0)
        opened = next((opener for magic, opener in _PACKED.items() if start.startswith(magic)), None)
        if opened is None:
            return file.read()
        try:
            with opened(file, path) as unpacked:
                return _bounded(unpacked, path)
        except (EOFError, OSError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
            raise DataError(f"cannot unpack {path}: {str(error) or 'it is damaged'}; pack it again") from None


def _bounded(unpacked: IO[bytes], path: Path) -> bytes:
    """Reads piece by piece, and stops before the whole takes more than there is."""
    content = io.BytesIO()
    while piece := unpacked.read(_CHUNK):
        content.write(piece)
        require_memory(path, content.tell(), "what it unpacks to")
    return content.getvalue()


def _zip(file: IO[bytes], path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(file)
    members = [member for member in archive.infolist() if not _by_the_way(member)]
    if any(member.filename == _EXCEL for member in members):
        require_memory(path, sum(member.file_size for member in members), "what it unpacks to")
        file.seek(0)
        return file
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:5]) or "none"
        raise DataError(
            f"{path} holds {len(members)} files ({names}), expected one: unpack it into a folder, and give the folder "
            "if its files are one panel"
        )
    return archive.open(members[0])


def _by_the_way(member: zipfile.ZipInfo) -> bool:
    """Whether a member is a folder, or what macOS adds."""
    return member.is_dir() or member.filename.startswith("__MACOSX/") or member.filename.endswith(".DS_Store")


def _zstd(file: IO[bytes], path: Path) -> IO[bytes]:
    try:
        zstandard = importlib.import_module("zstandard")  # which few files need
    except ImportError:
        raise DataError(f"reading {path} needs zstandard: pip install zstandard") from None
    reader: IO[bytes] = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    return reader


_PACKED: dict[bytes, Callable[[IO[bytes], Path], Any]] = {
    b"\x1f\x8b": lambda file, path: gzip.GzipFile(fileobj=file),
    b"PK\x03\x04": _zip,
    b"PK\x05\x06": _zip,  # of no file
    b"BZh": lambda file, path: bz2.BZ2File(file),
    b"\xfd7zXZ\x00": lambda file, path: lzma.open(file),  # noqa: SIM115 - the caller closes it
    b"\x28\xb5\x2f\xfd": _zstd,
}
"""How a packed file begins, and what opens it."""
