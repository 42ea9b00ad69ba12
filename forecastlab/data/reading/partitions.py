"""Folders whose names hold values of their files' rows, such as `store=7/year=2024/part-0.parquet`."""

import re
from collections.abc import Sequence
from pathlib import Path
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


def with_partitions(
    frames: Sequence[pd.DataFrame], paths: Sequence[Path], folder: Path, texts: Sequence[str]
) -> list[str]:
    """Gives the rows of each file, as further columns, the values that the names of its folders hold.

    Values that are all numbers become numbers, unless their column is among the texts.

    Args:
        frames: the rows of each file.
        paths: the files.
        folder: the folder that they lie below.
        texts: columns whose text is taken as it stands.

    Returns:
        The names of the columns.

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
    for place, name in enumerate(names):
        if name in frames[0]:
            raise DataError(
                f"{paths[0]} has a column {name}, and its folder {name}=... another one: expected one of both"
            )
        given = [values[name] for values in told]
        there = [value for value in given if value is not None]
        if name not in texts and there and all(_NUMBER.fullmatch(value) for value in there):
            numbers = pd.to_numeric(pd.Series(given, dtype=object)).tolist()
            for frame, number in zip(frames, numbers, strict=True):
                frame.insert(place, name, number)
            continue
        distinct = list(dict.fromkeys(there))
        codes = {value: code for code, value in enumerate(distinct)}
        for frame, value in zip(frames, given, strict=True):  # a number for each row, and not a text
            repeated = np.full(len(frame), -1 if value is None else codes[value], np.int64)
            column = pd.Categorical.from_codes(repeated, categories=pd.Index(distinct))
            frame.insert(place, name, pd.Series(column, frame.index))
    return names


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
