"""From a file, several files or a frame to a pandas frame of raw columns."""

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecastlab.data.reading.arrays import from_array
from forecastlab.data.reading.arrow import is_arrow, read_arrow, read_parquet, refuse_feather_1
from forecastlab.data.reading.dialect import Dialect
from forecastlab.data.reading.excel import read_excel
from forecastlab.data.reading.frames import from_frame
from forecastlab.data.reading.numerals import without
from forecastlab.data.reading.packed import content_of
from forecastlab.data.reading.partitions import FileColumn, files_of, partitions_of
from forecastlab.data.reading.places import PLACES, Places
from forecastlab.data.reading.records import from_records
from forecastlab.data.reading.text import in_utf8, read_text
from forecastlab.data.reading.tsf import read_tsf
from forecastlab.errors import DataError, similar_file

FRAME = "<frame>"
"""What a config holds in the place of the path of data that were a frame."""
FILE = "file"
"""Name of the column that tells the files of a panel apart."""


def read_source(
    source: Any, dialect: Dialect | None = None, texts: Sequence[str] = (), start: Any = None, frequency: str = ""
) -> tuple[pd.DataFrame, list[str]]:
    """The raw columns of whatever a user has, (rows, columns), and sentences on what was found out.

    The kind of a file is told by its content, so its name may be any.

    Args:
        source: a file (text, Excel, Parquet, Arrow or Feather, tsf; also packed), a folder, also one of folders such
            as store=7 whose names hold values, a pattern such as "data/*.csv" or a list of files, which are one panel;
            a frame or series of pandas, polars or pyarrow; an array of NumPy; or records of GluonTS or Hugging Face
            `datasets`.
        dialect: how the files are written; None to find out everything.
        texts: columns whose text is taken as it stands, such as the names of series: one may be called NA or 007.
        start: time of the first row of an array; None for rows that are counted.
        frequency: step of the calendar of an array, or of records that do not tell it, as a pandas offset.

    Raises:
        DataError: if it cannot be read, or can be read in two ways.
        ConfigError: for an encoding that does not exist.
    """
    dialect = Dialect() if dialect is None else dialect
    if isinstance(source, str) and source == FRAME:
        raise DataError(
            "the data of this config were a frame in Python, which a file cannot hold: give --data.path a file with "
            "the same columns, or in Python the frame"
        )
    if isinstance(source, str | os.PathLike):
        path = Path(source).expanduser()
        if _is_file(path):
            return _read_file(path, dialect, texts)
        return _read_panel(found_files(path), dialect, texts, path)
    if isinstance(source, list | tuple) and source and all(isinstance(path, str | os.PathLike) for path in source):
        return _read_panel([Path(path).expanduser() for path in source], dialect, texts)
    frame, notes = _in_memory(source, start, frequency)
    return without(frame, dialect.na_values, texts), notes


def _in_memory(source: Any, start: Any, frequency: str) -> tuple[pd.DataFrame, list[str]]:
    if isinstance(source, np.ndarray):
        return from_array(source, start, frequency)
    frame = from_frame(source)
    if frame is not None:
        return frame
    if not isinstance(source, Iterable):
        raise DataError(
            f"got {type(source).__name__}: expected a path, a list of paths, a frame of pandas, polars or pyarrow, an "
            "array of NumPy, or records with start and target"
        )
    return from_records([source] if isinstance(source, Mapping) else source, frequency)


def _read_file(path: Path, dialect: Dialect, texts: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    if not _is_file(path):  # nor is an address, a device or a pipe
        raise DataError(f"there is no file {path}{similar_file(path)}")
    try:
        content = content_of(path)
        if content.startswith(b"PAR1"):
            return without(_placed(read_parquet(content, path), path), dialect.na_values, texts), []
        if content.startswith(b"FEA1"):
            refuse_feather_1(path)
        if is_arrow(content):
            return without(_placed(read_arrow(content, path), path), dialect.na_values, texts), []
        if content.startswith(b"PK\x03\x04"):
            return read_excel(content, path, dialect, texts)
        if content.startswith(b"\xd0\xcf\x11\xe0"):
            raise DataError(f"{path} is an Excel workbook of before 2007: save it as .xlsx")
        if b"@relation" in content[:_TOP].lower() and b"@attribute" in content[:_TOP].lower():
            content, notes = in_utf8(content, path, dialect.encoding)
            frame, said = read_tsf(content.decode(), path)
            return without(frame, dialect.na_values, texts), notes + said
        if content[:_TOP].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"<", b"{"):
            raise DataError(f"{path} is a page or an object (HTML, XML, JSON): expected a table; save it as CSV")
        return read_text(content, path, dialect, texts)
    except (OSError, OverflowError, MemoryError) as error:
        raise DataError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from None


def _placed(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The frame of a file that has rows and no lines."""
    frame.attrs[PLACES] = Places.of(str(path), len(frame), lambda row: f"{path}, row {row + 1}")
    return frame


_TOP = 2**16
"""Bytes in which a text says what it is."""


def found_files(path: Path) -> list[Path]:
    """The files of a folder, or those that a pattern finds, in the order of their names.

    Raises:
        DataError: if there are none.
    """
    if path.is_dir():
        found = [inner for inner in path.iterdir() if not inner.name.startswith(".") and inner.is_file()]
        found = files_of(path) or sorted(found)
        if not found:
            raise DataError(f"{path} is a folder without files: expected a file, or a folder of files of one panel")
        return found
    if not any(mark in str(path) for mark in "*?["):
        raise DataError(f"there is no file {path}{similar_file(path)}")
    found = [Path(inner) for inner in glob.glob(str(path), recursive=True) if Path(inner).is_file()]
    if not found:
        raise DataError(f"no file is called {path}: expected a pattern such as data/*.csv that finds some")
    return sorted(found)


def _read_panel(
    paths: Sequence[Path], dialect: Dialect, texts: Sequence[str], source: Path | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Several files below each other; a column names the file of each row if no other one names its series.

    Args:
        paths: the files.
        dialect: how they are written.
        texts: columns whose text is taken as it stands.
        source: the folder or pattern that they were found by.
    """
    frames: list[pd.DataFrame] = []
    notes: list[str] = []
    for path in paths:
        frame, said = _read_file(path, dialect, texts)
        notes += said
        if frames:
            require_same_columns(paths[0], list(frames[0].columns), path, list(frame.columns))
        frames.append(frame[frames[0].columns] if frames else frame)
    beside, note = columns_of_files(paths, source, list(frames[0].columns), texts)
    notes = [*_once(notes, paths), note]
    for number, frame in enumerate(frames):
        for place, column in enumerate(beside):
            column.put_into(frame, place, number)
    timed = all(isinstance(frame.index, pd.DatetimeIndex) for frame in frames)
    together = pd.concat(frames, ignore_index=not timed)
    together.attrs[PLACES] = Places.below([frame.attrs[PLACES] for frame in frames])
    return together, notes


def require_same_columns(path: Path, columns: Sequence[str], other: Path, others: Sequence[str]) -> None:
    """Raises DataError if two files of a panel differ in their columns."""
    if alone := sorted(map(str, set(columns) ^ set(others))):
        raise DataError(
            f"{path} and {other} are to be one panel, but only one of them has {', '.join(alone[:5])}: expected the "
            "same columns in all files"
        )


def columns_of_files(
    paths: Sequence[Path], source: Path | None, columns: Sequence[str], texts: Sequence[str]
) -> tuple[list[FileColumn], str]:
    """The columns that tell the files of a panel apart, and a sentence about them.

    Args:
        paths: the files.
        source: the folder or pattern that they were found by; None for neither.
        columns: names of the columns of the files.
        texts: columns whose text is taken as it stands, such as those that name the series.

    Raises:
        DataError: as `partitions_of`, or if a file is given twice.
    """
    names = _names(paths)
    panel = f"{len(paths)} {'files are' if len(paths) > 1 else 'file is'} one panel"
    partitioned = [] if source is None or not source.is_dir() else partitions_of(paths, source, columns, texts)
    if partitioned:
        return partitioned, f"{panel}: {', '.join(each.name for each in partitioned)} from the names of their folders"
    if FILE not in columns and not any(name in columns for name in texts):
        return [FileColumn(FILE, names)], f"{panel}: column {FILE} names the file of each row"
    return [], panel


def _once(notes: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """What was found out of several files, each sentence with its first file and the number of the others."""
    first: dict[str, str] = {}
    count: dict[str, int] = {}
    for note in notes:
        path = next((str(path) for path in paths if note.startswith(f"{path}")), "")
        first.setdefault(note.removeprefix(path), note)
        count[note.removeprefix(path)] = count.get(note.removeprefix(path), 0) + 1
    return [
        note if count[key] == 1 else f"{note} (the same in {count[key] - 1} other files)" for key, note in first.items()
    ]


def _names(paths: Sequence[Path]) -> list[str]:
    """What tells files apart: their names without endings, with their folders where those alone do not."""
    short = [path.name.split(".")[0] or path.name for path in paths]
    if len(set(short)) == len(short):
        return short
    if len({path.resolve() for path in paths}) < len(paths):
        raise DataError("a file is given twice: expected each file of a panel once")
    return [os.path.relpath(path, os.path.commonpath([path.parent for path in paths])) for path in paths]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from None
    except ValueError:  # a name with a null byte
        raise DataError(f"there is no file {str(path)!r}") from None
