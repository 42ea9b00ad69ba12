"""A text of separated cells as a frame."""

import codecs
import io
import re
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from forecastlab.data.reading.dialect import Dialect
from forecastlab.data.reading.numerals import in_numbers
from forecastlab.data.reading.packed import content_of
from forecastlab.data.reading.places import PLACES, Places
from forecastlab.data.reading.sniff import Layout, layout_of, line_behind, without_nameless
from forecastlab.errors import ConfigError, DataError
from forecastlab.limits import require_memory

CELL = 8
"""Bytes that a value of a table takes at least."""
_SAMPLE = 2**20
"""Bytes from which the number of cells is estimated, and how they are written is found out."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""How a text may begin that says its encoding itself."""


def read_text(content: bytes, path: Path, dialect: Dialect, texts: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """A text of separated cells as a frame, (rows, columns), and what was found out of it.

    Args:
        content: the bytes of the text.
        path: where it is, for messages.
        dialect: how it is written.
        texts: columns whose text is taken as it stands.

    Raises:
        DataError: if it is no table, or if its numbers can be read in two ways.
        ConfigError: for an encoding that does not exist.
    """
    content, notes = in_utf8(content, path, dialect.encoding)
    start = content[:_SAMPLE].decode(errors="ignore")
    lines = list(io.StringIO(start, newline=""))
    if len(content) > _SAMPLE and len(lines) > 1:
        lines.pop()  # which the sample cuts
    layout = layout_of(lines, dialect, str(path))
    if layout.names is None:
        raise DataError(f"{path} is empty: expected a table, with a line of names and a row per time")
    cells = content[:_SAMPLE].count(layout.sep.encode() if len(layout.sep) == 1 else b" ") + len(lines)
    require_memory(
        path, len(content) + CELL * cells * len(content) // max(len(start), 1), f"{len(content)} bytes of text"
    )
    offset = len("".join(lines[: layout.skipped]).encode())
    markers = [str(marker) for marker in dialect.na_values]

    def read(decimal: str, **options: Any) -> pd.DataFrame:
        buffer = io.BytesIO(content)
        buffer.seek(offset)
        frame: pd.DataFrame = pd.read_csv(
            buffer,
            sep=layout.sep,
            header=None,
            names=layout.names,
            index_col=False,
            decimal=decimal,
            comment=dialect.comment,
            skipinitialspace=True,
            compression=None,
            encoding="utf-8",
            low_memory=False,
            **options,
        )
        return frame

    def typed(decimal: str) -> pd.DataFrame:
        return read(decimal, na_values=markers)

    def line_of(row: int) -> int:
        return layout.skipped + line_behind(content[offset:].decode(errors="replace"), row, layout.sep, dialect)

    try:
        with warnings.catch_warnings():
            # Without index_col=False a column that has no name would become the index, and every name move by one.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = in_numbers(typed, dialect, str(path), line_of, [*texts])
            named = [name for name in texts if name in frame]
            if named:
                written = read(".", usecols=named, dtype=str, keep_default_na=False)
                for name in named:
                    frame[name] = written[name].where(written[name] != "")
    except pd.errors.ParserWarning:
        raise DataError(
            f"a row of {path} has more cells than its first line has names ({len(layout.names)}). If a comma is the "
            "decimal mark, say --data.decimal , and name what separates the cells with --data.sep"
        ) from None
    except pd.errors.ParserError as error:
        raise _uneven(error, path, layout.skipped) from None
    frame, left_out = without_nameless(frame, str(path))
    frame.attrs[PLACES] = Places.of(str(path), len(frame), partial(_line, path, dialect, layout))
    return frame, notes + layout.notes + left_out


def _line(path: Path, dialect: Dialect, layout: Layout, row: int) -> str:
    """What messages call a row, whose line is counted in the file only once it is asked for."""
    text = in_utf8(content_of(path), path, dialect.encoding)[0].decode(errors="replace")
    rows = "".join(list(io.StringIO(text, newline=""))[layout.skipped :])
    return f"{path}, line {layout.skipped + line_behind(rows, row, layout.sep, dialect)}"


def in_utf8(content: bytes, path: Path, encoding: str | None) -> tuple[bytes, list[str]]:
    """A text's bytes in UTF-8, without a mark of their order, and what was found out of them.

    Args:
        content: the bytes of the text.
        path: where it is, for messages.
        encoding: name of its encoding; None to find it out.

    Raises:
        DataError: if the bytes are no text in this encoding.
        ConfigError: for an encoding that does not exist.
    """
    notes: list[str] = []
    found = encoding or next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        if codecs.lookup(found).name == "utf-8":
            content.decode()
            return _plain(content.removeprefix(codecs.BOM_UTF8), path), notes
        return _plain(content.decode(found).removeprefix("\ufeff").encode(), path), notes
    except LookupError:
        raise ConfigError(
            f"encoding: expected the name of an encoding such as utf-8 or cp1252, got {encoding}"
        ) from None
    except UnicodeError as error:
        if encoding is not None or found != "utf-8":
            raise DataError(
                f"{path} is no text in {found}: {error}; name its encoding, such as --data.encoding cp1252"
            ) from None
    _plain(content, path)
    try:
        text, found = content.decode("cp1252"), "Windows-1252"
    except UnicodeDecodeError:
        text, found = content.decode("latin-1"), "Latin-1"
    notes.append(f"{path}: it is no text in UTF-8, and is read as {found}; --data.encoding names another encoding")
    return text.encode(), notes


def _plain(content: bytes, path: Path) -> bytes:
    if b"\0" in content:
        raise DataError(
            f"{path} is no text: it holds null bytes. Expected a CSV, Excel, Parquet, Arrow or tsf file; if it is a "
            "text in UTF-16, say --data.encoding utf-16-le"
        )
    return content


def _uneven(error: Exception, path: Path, skipped: int) -> DataError:
    """The error for a row that has more cells than the one before, by the number of its line."""
    said = " ".join(str(error).split())
    if found := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", said):
        expected, line, saw = map(int, found.groups())
        return DataError(
            f"{path}, line {line + skipped}: expected {expected} cells, got {saw}. Lines above the table have to go, "
            "or to begin with a mark that --data.comment names; --data.sep names what separates the cells"
        )
    return DataError(f"cannot read {path} as a table: {said[:200]}")
