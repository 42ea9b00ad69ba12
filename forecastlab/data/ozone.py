"""The Ozone Level Detection file of the UCI archive (eight-hour set): where it is found and how it is read.

2534 rows x 74 columns: one row per day in Houston, Galveston and Brazoria (Texas) from 1998-01-01 to 2004-12-31. Rows
are not days: some days have no row. No header; "?" is a missing value.

Source: Zhang, Fan and Yuan, "Ozone Level Detection", UCI Machine Learning Repository, 2008, doi 10.24432/C5NG6W.
Licence: CC BY 4.0. Address, size and checksum of the original bytes are `URL`, `SIZE` and `SHA256`.
"""

import os
import re
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.cache import locate
from forecastlab.errors import DataError
from forecastlab.limits import require_file

URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/ozone/eighthr.data"
SIZE = 818_329
SHA256 = "9a24c3e5c43570148869fec02edcd44dd1cb06e97c2bbc0b6ab24ebdd21de37e"
RELATIVE = "ozone/eighthr.data"

HOURS = range(24)
SOUNDING = tuple(f"{quantity}{level}" for level in (85, 70, 50) for quantity in ("T", "RH", "U", "V", "HT"))
COLUMNS = (
    "Date",
    *(f"WSR{hour}" for hour in HOURS),
    "WSR_PK",
    "WSR_AV",
    *(f"T{hour}" for hour in HOURS),
    "T_PK",
    "T_AV",
    *SOUNDING,
    "KI",
    "TT",
    "SLP",
    "SLP_",
    "Precp",
    "class",
)
"""The 74 columns of the file, in order.

Date: month/day/year, local. WSR0..WSR23: resultant wind speed of each hour, m/s; WSR_PK, WSR_AV: their maximum and
mean. T0..T23: temperature of each hour, degrees Celsius; T_PK, T_AV: their maximum and mean. At 850, 700 and 500 hPa
(85, 70, 50): T temperature, degrees Celsius; RH relative humidity, 0 to 1; U, V wind from west and from south, m/s; HT
geopotential height, m. KI: K index. TT: totals-totals index. SLP: sea level pressure, hPa x10; SLP_: its change from
the day before, hPa x10. Precp: precipitation, in a unit that the source does not state. class: 1 on an ozone day.
"""

MISSING = "?"
_LARGEST = float(np.finfo(np.float32).max)
_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_IN_NUMBERS = re.compile(r"[^-+0-9.,eE/?]")
_ADVICE = f"Correct the file, or use the original one: {URL}"


def ozone_path(path: str | os.PathLike[str] | None = None) -> Path:
    """Where the file is: `path`, $FORECASTLAB_DATA/ozone/eighthr.data, the user's cache, or a download into it.

    Raises:
        DataError: as `forecastlab.data.cache.locate`.
    """
    hint = "or anywhere, and name it: --data.path FILE\nOr train on the built-in synthetic sample: --data.source sample"
    return locate(RELATIVE, URL, SHA256, SIZE, path, hint)


def read_ozone(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Reads the file, strictly: what is not exactly as described above is an error that names the line.

    Windows line ends, a UTF-8 byte order mark and empty lines at the end are taken as they come.

    Args:
        path: a file of the form above, of any number of rows.

    Returns:
        (rows, 73), float64, the columns `COLUMNS[1:]`, indexed by date; NaN where a value is missing.

    Raises:
        DataError: if the file is missing, unreadable, empty or not text; if it has a header; if a line has another
            number of columns, or a cell that is not a finite number; if the dates are malformed, out of order or
            double.
    """
    path = Path(os.path.expanduser(path))
    lines = _lines(path)
    _refuse_header(path, lines[0])
    line_of: dict[date, int] = {}
    values = np.empty((len(lines), len(COLUMNS) - 1))
    previous: date | None = None
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        cells = line.split(",")
        if len(cells) != len(COLUMNS):
            shown = f" ({_shown(line)})" if len(cells) == 1 else ""
            raise DataError(
                f"{where}: expected {len(COLUMNS)} columns with commas between, got {len(cells)}{shown}.\n{_ADVICE}"
            )
        day = _date(cells[0])
        if day is None:
            raise DataError(
                f"{where}, column 1 (Date): expected a date as month/day/year, got {_shown(cells[0])}.\n{_ADVICE}"
            )
        if day in line_of:
            raise DataError(
                f"{where}: expected one row per date, but {cells[0]} is on line {line_of[day]} too.\n"
                f"Remove one of the two lines, or use the original file: {URL}"
            )
        if previous is not None and day < previous:
            raise DataError(
                f"{where}: expected dates in order, but {cells[0]} comes after {previous:%m/%d/%Y}.\n"
                f"Sort the lines by date, or use the original file: {URL}"
            )
        line_of[day] = number
        previous = day
        try:
            values[number - 1] = [np.nan if cell == MISSING else float(cell) for cell in cells[1:]]
        except ValueError:
            _refuse_cells(where, cells)
        if _NOT_IN_NUMBERS.search(line):  # what float() takes and a table should not hold: nan, inf, 1_000, spaces
            _refuse_cells(where, cells)
    _refuse_infinite(path, lines, values)
    index = pd.DatetimeIndex(np.array(list(line_of), dtype="datetime64[D]").astype("datetime64[us]"), name=COLUMNS[0])
    return pd.DataFrame(values, index=index, columns=list(COLUMNS[1:]))


def _lines(path: Path) -> list[str]:
    """The lines of a text file without the empty ones at its end; at least one."""
    try:
        if path.exists() and not path.is_file():
            kind = "folder" if path.is_dir() else "device or pipe"
            raise DataError(
                f"{path}: expected a file, but this is a {kind}.\nName the file itself, e.g. {path / 'eighthr.data'}"
            )
        if path.exists():
            require_file(path)
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"{path}: there is no such file.\n"
            f"Correct the path, or leave it out: {RELATIVE} is found or downloaded then."
        ) from None
    except PermissionError:
        raise DataError(
            f"{path}: no permission to read this file.\nAllow it (chmod u+r), or name a copy that you may read."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise DataError(f"{path}: cannot be read: {error}.\nName another file.") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_text(path, content, error.start) from None
    if "\0" in text:
        raise _not_text(path, content, content.index(0))
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataError(
            f"{path}: the file is empty: expected one line per day with {len(COLUMNS)} columns, got none in "
            f"{len(content)} bytes.\nUse the original file: {URL}"
        )
    return lines


def _not_text(path: Path, content: bytes, position: int) -> DataError:
    line = content.count(b"\n", 0, position) + 1
    return DataError(
        f"{path}: expected text with numbers and commas, got something else: byte 0x{content[position]:02x} at "
        f"position {position} (line {line}).\n"
        f"Unpack the file if it is compressed, save it as plain text (UTF-8), or use the original one: {URL}"
    )


def _refuse_header(path: Path, line: str) -> None:
    names = {cell.strip(" \t\"'") for cell in re.split(r"[,;\t]", line)}
    if names & set(COLUMNS):
        raise DataError(
            f"{path}, line 1: expected data, got a header row ({_shown(line)}).\n"
            "Remove the first line: the columns are known by their order."
        )


def _refuse_cells(where: str, cells: list[str]) -> None:
    """Raises for the first cell that is no number."""
    for column, (name, cell) in enumerate(zip(COLUMNS, cells, strict=True), start=1):
        if column > 1 and cell != MISSING and not _NUMBER.fullmatch(cell):
            raise DataError(
                f"{where}, column {column} ({name}): expected a number or {MISSING} (missing), got "
                f"{_shown(cell) if cell else 'nothing'}.\n{_ADVICE}"
            )
    raise AssertionError(f"{where}: every cell is a number")


def _refuse_infinite(path: Path, lines: list[str], values: NDArray[np.float64]) -> None:
    rows, columns = np.nonzero(np.abs(values) > _LARGEST)
    if rows.size:
        row, column = int(rows[0]), int(columns[0]) + 1
        raise DataError(
            f"{path}, line {row + 1}, column {column + 1} ({COLUMNS[column]}): expected a finite number (at most "
            f"{_LARGEST:.1e} in size), got {_shown(lines[row].split(',')[column])}.\n{_ADVICE}"
        )


def _date(text: str) -> date | None:
    parts = _DATE.fullmatch(text)
    if parts is None:
        return None
    month, day, year = map(int, parts.groups())
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _shown(text: str, most: int = 40) -> str:
    """Text from a file, quoted, in one line of ASCII."""
    return ascii(text if len(text) <= most else text[: most - 3] + "...")


def unit_of(column: str) -> str:
    """Unit of a column of the ozone file, "" for one without."""
    units = {
        r"T(\d+|_PK|_AV)": "°C",
        r"WSR.*|[UV]\d+": "m/s",
        r"HT\d+": "m",
        r"SLP_?": "hPa x10",
    }
    return next((unit for pattern, unit in units.items() if re.fullmatch(pattern, column)), "")
