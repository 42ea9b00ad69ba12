"""A sheet of an Excel workbook as a frame."""

import datetime
import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from forecastlab.data.reading.dialect import Dialect
from forecastlab.data.reading.numerals import in_numbers
from forecastlab.data.reading.places import PLACES, Places
from forecastlab.data.reading.sniff import names_of, without_nameless
from forecastlab.errors import DataError
from forecastlab.limits import require_memory

_CELL = 64
"""Bytes that a cell takes at least, which is an object."""


def read_excel(content: bytes, path: Path, dialect: Dialect, texts: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """A sheet as a frame, (rows, columns), and what was found out of it. Times stay times; formulas are their values.

    Args:
        content: the bytes of the workbook (.xlsx).
        path: where it is, for messages.
        dialect: its sheet, header, marks of numbers and missing values.
        texts: columns whose text is taken as it stands.

    Raises:
        DataError: if it is no workbook, has no such sheet, or if openpyxl is not installed.
    """
    try:
        openpyxl = importlib.import_module("openpyxl")  # an extra
    except ImportError:
        raise DataError(f"reading {path} needs openpyxl: pip install 'forecastlab[excel]'") from None
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(
            f"cannot read {path} as an Excel workbook: {str(error)[:200]}; save it as .xlsx again"
        ) from None
    try:
        sheet, notes = _sheet(book, path, dialect)
        rows = _rows(sheet, path)
    finally:
        book.close()
    what = f"{path}, sheet {sheet.title}"
    if not rows:
        raise DataError(f"{what} is empty: expected a table, with a line of names and a row per time")
    written = [[_text(cell) for cell in row] for _, row in rows[:500]]
    width = max(len(row) for _, row in rows)
    named = names_of([[*row, *[""] * (width - len(row))] for row in written], dialect, what)
    names = named.names
    if named.header:
        rows = rows[1:]
    padded = [[*row, *[None] * (width - len(row))] for _, row in rows]
    frame = pd.DataFrame(padded, columns=names, dtype=object)
    frame, left_out = without_nameless(frame, what)
    for name in texts:
        if name in frame:
            frame[name] = frame[name].map(lambda cell: None if cell is None else _text(cell))
    typed = frame.infer_objects()
    for name in frame.columns:
        if name not in texts and typed[name].dtype == object:
            typed[name] = _times(typed[name])
    lines = [line for line, _ in rows]
    typed.attrs[PLACES] = Places.of(what, len(typed), lambda row: f"{what}, line {lines[row]}")
    return in_numbers(lambda decimal: typed, dialect, what, lines.__getitem__, texts), notes + named.notes + left_out


def _sheet(book: Any, path: Path, dialect: Dialect) -> tuple[Any, list[str]]:
    """The sheet that the dialect names, and a note if others hold data as well."""
    sheets, wanted = book.worksheets, dialect.sheet_name
    names = [sheet.title for sheet in sheets]
    if isinstance(wanted, str) and wanted in names:
        return sheets[names.index(wanted)], []
    if isinstance(wanted, int) and 0 <= wanted < len(sheets):
        full = [sheet.title for sheet in sheets if any(cell is not None for row in _few(sheet) for cell in row)]
        if wanted or len(full) < 2:
            return sheets[wanted], []
        others = ", ".join(title for title in full if title != names[0])
        return sheets[0], [f"{path}: sheet {names[0]} is read; {others} hold data as well, see --data.sheet_name"]
    raise DataError(f"{path} has no sheet {wanted!r}; it has {', '.join(names)}: say --data.sheet_name")


def _few(sheet: Any) -> Any:
    return sheet.iter_rows(max_row=20, values_only=True)


def _rows(sheet: Any, path: Path) -> list[tuple[int, list[Any]]]:
    """The rows that are not empty, each with the number of its line, and without empty cells at its end."""
    rows, cells = [], 0
    sheet.reset_dimensions()  # which a file may claim to be anything
    for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
        kept = len(row)
        while kept and (row[kept - 1] is None or row[kept - 1] == ""):
            kept -= 1
        if kept:
            rows.append((number, [None if cell == "" else cell for cell in row[:kept]]))
        cells += kept
        if not number % 4096:
            require_memory(path, _CELL * cells, f"{number} rows of a sheet")
    return rows


def _text(cell: Any) -> str:
    """A cell as it is shown."""
    if cell is None:
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _times(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Cells of times as times; other cells that are no numbers as text."""
    kinds = {type(cell) for cell in column.dropna()}
    if kinds and kinds <= {datetime.datetime, datetime.date}:
        return pd.to_datetime(column)
    if str in kinds:
        return column.map(lambda cell: cell if cell is None else _text(cell)).astype("str")
    return column.astype("str") if datetime.time in kinds else column
