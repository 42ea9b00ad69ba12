"""Parquet, Arrow and Feather files, and tables of Arrow, as frames."""

import importlib
import io
from pathlib import Path
from typing import Any

import pandas as pd

from forecastlab.errors import DataError
from forecastlab.limits import require_memory

CELL = 8
"""Bytes that a value of a table takes at least."""


def read_parquet(content: bytes, path: Path) -> pd.DataFrame:
    """The columns of a Parquet file, (rows, columns); a named index becomes columns.

    Args:
        content: the bytes of the file.
        path: where it is, for messages.

    Raises:
        DataError: if it is none, if it unpacks to more than the memory holds, or if pyarrow is not installed.
    """
    parquet = _module("pyarrow.parquet", path)
    try:
        about = parquet.read_metadata(io.BytesIO(content))  # which stands at its end
        unpacked = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
        needed = max(unpacked, CELL * about.num_rows * about.num_columns)
        require_memory(path, needed, f"{about.num_rows} rows of {about.num_columns} columns")
        return named_index_as_columns(to_frame(parquet.read_table(io.BytesIO(content))))
    except Exception as error:
        raise _refused(error, path, "Parquet") from None


def read_arrow(content: bytes, path: Path) -> pd.DataFrame:
    """The columns of an Arrow file, which Feather is as well, (rows, columns); a named index becomes columns.

    Args:
        content: the bytes of the file.
        path: where it is, for messages.

    Raises:
        DataError: if it is none, if it unpacks to more than the memory holds, or if pyarrow is not installed.
    """
    pyarrow = _module("pyarrow", path)
    try:
        file = _module("pyarrow.ipc", path).open_file(io.BytesIO(content))
        batches, needed = [], 0
        for number in range(file.num_record_batches):
            batches.append(file.get_batch(number))
            needed += batches[-1].nbytes
            require_memory(path, needed, "what it unpacks to")
        return named_index_as_columns(to_frame(pyarrow.Table.from_batches(batches, file.schema)))
    except Exception as error:
        raise _refused(error, path, "an Arrow file") from None


def to_frame(table: Any) -> pd.DataFrame:
    """A table of Arrow as a frame, (rows, columns): decimal numbers become float64, and days become times.

    Args:
        table: a `pyarrow.Table`.
    """
    pyarrow = importlib.import_module("pyarrow")
    for place, field in enumerate(table.schema):
        if pyarrow.types.is_decimal(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pyarrow.float64()))
    frame: pd.DataFrame = table.to_pandas(date_as_object=False)
    return frame


def named_index_as_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the named levels of its index as columns, (rows, columns)."""
    named = [name for name in frame.index.names if name is not None]
    return frame.reset_index(level=named) if named else frame  # times, often


def _module(name: str, path: Path) -> Any:
    try:
        return importlib.import_module(name)  # an extra
    except ImportError:
        raise DataError(f"reading {path} needs pyarrow: pip install 'forecastlab[parquet]'") from None


def _refused(error: Exception, path: Path, what: str) -> Exception:
    """The error for what pyarrow, which has kinds of its own, does not read."""
    if isinstance(error, OSError | ValueError | MemoryError) or type(error).__module__.startswith("pyarrow"):
        return DataError(f"cannot read {path} as {what}: {' '.join(str(error).split())[:200]}")
    return error
