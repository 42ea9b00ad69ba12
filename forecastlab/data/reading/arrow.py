"""Parquet, Arrow and Feather files, Arrow streams, and tables of Arrow, as frames."""

import importlib
import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from forecastlab.errors import DataError
from forecastlab.limits import require_memory

CELL = 8
"""Bytes that a value of a table takes at least."""
_FILE, _STREAM = b"ARROW1", b"\xff\xff\xff\xff"
"""How an Arrow file and an Arrow stream begin."""


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


class ParquetRows:
    """The rows of a Parquet file, some after others.

    Args:
        path: where it is.

    Raises:
        DataError: if it is none, if one of its groups of rows unpacks to more than the memory holds, or if pyarrow is
            not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pyarrow = _module("pyarrow", path)
        self._parquet = _module("pyarrow.parquet", path)
        try:
            names: list[str] = self._parquet.read_schema(path).names
            about = self._parquet.read_metadata(path)
            groups = [about.row_group(number).total_byte_size for number in range(about.num_row_groups)]
            require_memory(path, max(groups, default=0), "the largest group of its rows")
        except Exception as error:
            raise _refused(error, path, "Parquet") from None
        self.columns = [name for name in names if not name.startswith("__index_level_")]  # pandas' index without a name

    def frames(self, columns: Collection[str], rows: int) -> Iterator[pd.DataFrame]:
        """Frames of some columns, of at most so many rows each.

        Raises:
            DataError: if the file is damaged.
        """
        try:
            with self._parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(rows, columns=[name for name in self.columns if name in columns]):
                    table = self._pyarrow.Table.from_batches([batch])
                    frame = to_frame(table.replace_schema_metadata(None))  # with which an index would be made
                    yield frame if len(frame.columns) else pd.DataFrame(index=pd.RangeIndex(batch.num_rows))
        except Exception as error:
            raise _refused(error, self.path, "Parquet") from None


def is_arrow(content: bytes) -> bool:
    """Whether bytes are an Arrow file, which Feather is since its version 2, or an Arrow stream.

    A stream begins with a mark and the length of its first message; before Arrow 0.15 it had no mark.

    Args:
        content: the bytes of the file.
    """
    length = int.from_bytes(content[:4], "little")
    without_mark = content[4:8] == b"\x10\0\0\0" and 0 < length < len(content) and not length % 4
    return content.startswith((_FILE, _STREAM)) or without_mark


def read_arrow(content: bytes, path: Path) -> pd.DataFrame:
    """The columns of an Arrow file or stream, (rows, columns); a named index becomes columns.

    Args:
        content: the bytes of the file.
        path: where it is, for messages.

    Raises:
        DataError: if it is none, if it unpacks to more than the memory holds, or if pyarrow is not installed.
    """
    pyarrow = _module("pyarrow", path)
    try:
        ipc = _module("pyarrow.ipc", path)
        if content.startswith(_FILE):
            reader = ipc.open_file(io.BytesIO(content))
            found = map(reader.get_batch, range(reader.num_record_batches))
        else:
            found = reader = ipc.open_stream(io.BytesIO(content))
        batches, needed = [], 0
        for batch in found:
            batches.append(batch)
            needed += batch.nbytes
            require_memory(path, needed, "what it unpacks to")
        table = pyarrow.Table.from_batches(batches, reader.schema)
        table.validate(full=True)  # of a damaged one, offsets may point out of the memory
        return named_index_as_columns(to_frame(table))
    except Exception as error:
        raise _refused(error, path, "an Arrow file") from None


def refuse_feather_1(path: Path) -> NoReturn:
    """Raises DataError for a file of Feather's version 1, whose damaged ones end the process in pyarrow.

    Args:
        path: where it is.
    """
    raise DataError(
        f"{path} is a Feather file of version 1, a form that is given up: expected version 2, or Parquet.\n"
        f"If you trust the file, write it again: pandas.read_feather({str(path)!r}).to_parquet('new.parquet')"
    )


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
