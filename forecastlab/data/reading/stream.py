"""`Stream`: Parquet files as frames of raw columns, some rows after others."""

import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from forecastlab.data.reading.arrow import ParquetRows
from forecastlab.data.reading.numerals import without
from forecastlab.data.reading.partitions import FileColumn
from forecastlab.data.reading.places import PLACES, Places
from forecastlab.data.reading.source import columns_of_files, found_files, require_same_columns
from forecastlab.errors import DataError, similar_file

_ROWS = 1 << 18
"""Rows of a frame."""
_TAIL = 1 << 16
"""Bytes at the end of a Parquet file, where the sizes and the extremes of its columns stand."""


class Stream:
    """The rows of a Parquet file, or of several that are one panel, in the order in which `read_source` has them.

    Args:
        source: a file, a folder, also one of folders such as store=7 whose names hold values, a pattern or a list.
        texts: columns whose text is taken as it stands, such as the names of series.
        na_values: texts and numbers that stand for a missing value.

    Attributes:
        paths: the files.
        notes: what was found out about the files, in sentences.

    Raises:
        DataError: if a file is none of Parquet, or has other columns than the others.
    """

    def __init__(self, source: Any, texts: Sequence[str], na_values: Sequence[str | float] = ()) -> None:
        if isinstance(source, str | os.PathLike):
            path = Path(source).expanduser()
            self.paths = [path] if path.is_file() else found_files(path)
        elif isinstance(source, list | tuple) and source and all(isinstance(one, str | os.PathLike) for one in source):
            path, self.paths = None, [Path(each).expanduser() for each in source]
        else:
            raise DataError(
                f"storage: mapped reads Parquet files, got {type(source).__name__}: write it to one, "
                "frame.to_parquet('rows.parquet'), or set --data.storage memory"
            )
        self._texts, self._na_values = texts, na_values
        for each in self.paths:
            _require_parquet(each)
        self._files = [ParquetRows(each) for each in self.paths]
        columns = self._files[0].columns
        for file in self._files[1:]:
            require_same_columns(self.paths[0], columns, file.path, file.columns)
        self._beside: list[FileColumn] = []
        self.notes: list[str] = []
        if [path] != self.paths:
            self._beside, note = columns_of_files(self.paths, path, columns, texts)
            self.notes.append(note)

    @property
    def columns(self) -> list[str]:
        """Names of the columns, those that tell the files apart before those of the files."""
        return [*(column.name for column in self._beside), *self._files[0].columns]

    def fingerprint(self) -> str:
        """A digest of the files: of their sizes, times of change and last bytes, and of what their folders tell."""
        digest = hashlib.blake2b(digest_size=16)
        for path in self.paths:
            about = path.stat()
            with path.open("rb") as file:
                file.seek(max(0, about.st_size - _TAIL))
                digest.update(file.read())
            digest.update(repr([about.st_size, about.st_mtime_ns]).encode())
        digest.update(repr(self._beside).encode())
        return digest.hexdigest()

    def frames(self, columns: Collection[str]) -> Iterator[pd.DataFrame]:
        """Frames of some columns, (rows, columns); together they are all rows.

        Raises:
            DataError: if a file is damaged.
        """
        for number, file in enumerate(self._files):
            begin = 0
            for frame in file.frames(columns, _ROWS):
                places = Places.of(str(file.path), len(frame), partial(_row_name, file.path, begin))
                begin += len(frame)
                frame = without(frame, self._na_values, self._texts)
                for column in reversed([column for column in self._beside if column.name in columns]):
                    column.put_into(frame, 0, number)
                frame.attrs[PLACES] = places
                yield frame


def _row_name(path: Path, begin: int, row: int) -> str:
    return f"{path}, row {begin + row + 1}"


def _require_parquet(path: Path) -> None:
    try:
        with path.open("rb") as file:
            if file.read(4) == b"PAR1":
                return
    except OSError:
        raise DataError(f"there is no file {path}{similar_file(path)}") from None
    raise DataError(
        f"{path} is no Parquet file, and storage: mapped reads no other: write it as one, such as "
        f"pandas.read_csv({str(path)!r}).to_parquet('rows.parquet'), or set --data.storage memory"
    )
