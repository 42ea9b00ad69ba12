"""Folders whose names hold values of their files' rows, such as `store=7/year=2024/part-0.parquet`."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd

from forecastlab.errors import DataError

_MISSING = "__HIVE_DEFAULT_PARTITION__"
"""The value of a folder whose rows have none."""
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_LEFT_OUT = (".", "_")
"""How the names of files begin that programs write beside the rows, such as _SUCCESS."""


def files_of(folder: Path) -> list[Path]:
    """The files below a folder that is partitioned, in the order of their names; none of one that is not."""
    if not any("=" in inner.name and inner.is_dir() for inner in folder.iterdir()):
        return []
    found = [inner for inner in folder.rglob("*") if inner.is_file()]
    return sorted(path for path in found if not any(part.startswith(_LEFT_OUT) for part in _parts(path, folder)))


@dataclass(frozen=True)
class FileColumn:
    """A column that has one value in each file.

    Attributes:
        name: its name.
        values: of each file, the value, or the number of the text, -1 for none.
        texts: the texts; None if the values are the values.
    """

    name: str
    values: Sequence[Any]
    texts: Sequence[str] | None = None

    def put_into(self, frame: pd.DataFrame, place: int, file: int) -> None:
        """Gives the rows of a file the column, at a place among the others."""
        value = self.values[file]
        if self.texts is None:
            frame.insert(place, self.name, value)
            return
        repeated = np.full(len(frame), value, np.int64)  # a number for each row, and not a text
        column = pd.Categorical.from_codes(repeated, categories=pd.Index(self.texts))
        frame.insert(place, self.name, pd.Series(column, frame.index))


def partitions_of(
    paths: Sequence[Path], folder: Path, columns: Collection[str], texts: Sequence[str]
) -> list[FileColumn]:
    """The columns that the names of folders hold; none if they hold none.

    Values that are all numbers become numbers, unless their column is among the texts.

    Args:
        paths: the files.
        folder: the folder that they lie below.
        columns: names of the columns of the files.
        texts: columns whose text is taken as it stands.

    Raises:
        DataError: if the folders of two files have different columns, or one is a column of the files too.
    """
    told = [_values(path, folder) for path in paths]
    names = list(told[0])
    for path, values in zip(paths, told, strict=True):
        if list(values) != names:
            raise DataError(
                f"{paths[0]} and {path} are to be one panel, but the names of their folders tell different columns: "
                f"{', '.join(names) or 'none'}, and {', '.join(values) or 'none'}"
            )
    found = []
    for name in names:
        if name in columns:
            raise DataError(
                f"{paths[0]} has a column {name}, and its folder {name}=... another one: expected one of both"
            )
        given = [values[name] for values in told]
        there = [value for value in given if value is not None]
        if name not in texts and there and all(_NUMBER.fullmatch(value) for value in there):
            found.append(FileColumn(name, pd.to_numeric(pd.Series(given, dtype=object)).tolist()))
            continue
        codes = {value: code for code, value in enumerate(dict.fromkeys(there))}
        found.append(FileColumn(name, [-1 if value is None else codes[value] for value in given], list(codes)))
    return found


def _parts(path: Path, folder: Path) -> tuple[str, ...]:
    return path.relative_to(folder).parts


def _values(path: Path, folder: Path) -> dict[str, str | None]:
    """The values that the names of a file's folders hold."""
    values: dict[str, str | None] = {}
    for part in _parts(path, folder)[:-1]:
        name, equals, value = part.partition("=")
        if equals:
            values[unquote(name)] = None if value == _MISSING else unquote(value)
    return values
