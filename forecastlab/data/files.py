"""Reading a user's file of columns."""

import importlib
import re
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from forecastlab.errors import DataError
from forecastlab.limits import require_file, require_memory

CELL = 8
"""Bytes that a value of a table takes at least."""
_SAMPLE = 2**20
"""Bytes from which the number of cells is estimated."""
PARQUET = (".parquet", ".pq")


def read_frame(path: str | Path, series: str | None = None) -> pd.DataFrame:
    """Reads a CSV or Parquet file, (rows, columns).

    The file is Parquet if its name ends so, else text in UTF-8 whose first line holds the names, separated by commas,
    semicolons or tabs, whichever that line has most of. Empty cells are missing values.

    Args:
        path: the file.
        series: column that names the series; its text is taken as it stands, for one may be called NA or 007.

    Raises:
        DataError: if it is not there, or cannot be read as such a table.
    """
    path = Path(path).expanduser()
    try:
        if not path.is_file():  # nor is an address, a device or a pipe
            raise DataError(f"{path} is a folder, expected a file" if path.is_dir() else f"there is no file {path}")
        return _read_parquet(path) if path.suffix.lower() in PARQUET else _read_text(path, series)
    except ImportError:
        raise DataError(f"reading {path} needs pyarrow: pip install 'forecastlab[parquet]'") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8: {error}; save it as UTF-8") from None
    except pd.errors.ParserWarning:
        raise DataError(f"a row of {path} has more cells than its first line has names") from None
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise DataError(f"cannot read {path} as a table with one header line: {_short(error)}") from None
    except Exception as error:  # pyarrow has kinds of its own
        if not type(error).__module__.startswith("pyarrow"):
            raise
        raise DataError(f"cannot read {path} as Parquet: {_short(error)}") from None


def _read_parquet(path: Path) -> pd.DataFrame:
    require_file(path)
    _require_room_of_parquet(path)
    frame = pd.read_parquet(path)
    named = [name for name in frame.index.names if name is not None]
    return frame.reset_index(level=named) if named else frame  # times, often


def _require_room_of_parquet(path: Path) -> None:
    """Asks the end of a file, which says what its pages unpack to, whether that fits into memory."""
    about = importlib.import_module("pyarrow.parquet").read_metadata(path)  # which is an extra
    unpacked = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
    cells = about.num_rows * about.num_columns
    require_memory(path, max(unpacked, CELL * cells), f"{about.num_rows} rows of {about.num_columns} columns")


def _require_room_of_text(path: Path, separator: str) -> None:
    """Estimates from the beginning of a file how many cells it has, and asks whether they fit into memory."""
    size = require_file(path)
    with path.open("rb") as file:
        start = file.read(_SAMPLE)
    cells = start.count(separator.encode()) + start.count(b"\n")
    require_memory(path, size + CELL * cells * size // max(len(start), 1), f"{size} bytes of text")


def _read_text(path: Path, series: str | None) -> pd.DataFrame:
    require_file(path)
    with path.open(encoding="utf-8-sig") as file:
        header = next((line for line in file if line.strip()), "")
    separators = re.sub('"[^"]*"', "", header)
    separator = max(",;\t", key=separators.count)
    _require_room_of_text(path, separator)

    def read(**options: Any) -> pd.DataFrame:
        frame: pd.DataFrame = pd.read_csv(
            path, sep=separator, encoding="utf-8-sig", skipinitialspace=True, compression=None, **options
        )
        return frame

    with warnings.catch_warnings():
        # Without index_col=False a column that has no name would become the index, and every name move by one.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame = read(low_memory=False, index_col=False)
        names = read(header=None, nrows=1)
        if series in frame:
            texts = read(index_col=False, usecols=[series], dtype=str, keep_default_na=False)[series]
            frame[series] = texts.where(texts != "")
    given = names.iloc[0].dropna()
    if given.duplicated().any():  # pandas calls the second one y.1
        raise DataError(f"the names of columns must differ; {path} has {given[given.duplicated()].iloc[0]} twice")
    return frame


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
