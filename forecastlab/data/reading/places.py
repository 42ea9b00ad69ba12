"""Where rows stand: what messages call the file, the line and the value that are wrong."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Union

import numpy as np
import pandas as pd
from pandas.api.types import is_integer_dtype

PLACES = "places"
"""The key in the `attrs` of a frame of raw columns, which pandas hands on to its columns and to some of its rows."""
_MOST = 40
"""Characters of a value that are shown."""


@dataclass(frozen=True)
class Places:
    """Where the rows of one or several files stand.

    Attributes:
        files: what messages call each file; "" for a frame in memory.
        rows: number of rows of each.
        calls: what messages call a row of each, by its number, from 0.
    """

    files: tuple[str, ...]
    rows: tuple[int, ...]
    calls: tuple[Callable[[int], str], ...]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Places":
        """Itself: pandas copies `attrs` with each step."""
        return self

    @classmethod
    def of(cls, file: str, rows: int, call: Callable[[int], str]) -> "Places":
        """Those of one file.

        Args:
            file: what messages call it; "" for a frame in memory.
            rows: number of its rows.
            call: what messages call a row, by its number, from 0.
        """
        return cls((file,), (rows,), (call,))

    @classmethod
    def below(cls, parts: Sequence["Places"]) -> "Places":
        """Those of files whose rows stand below each other."""
        return cls(
            tuple(file for part in parts for file in part.files),
            tuple(rows for part in parts for rows in part.rows),
            tuple(call for part in parts for call in part.calls),
        )

    def name(self, row: int) -> str:
        """What messages call a row, by its number from 0, or by the label that a file of columns may give it."""
        ends = list(accumulate(self.rows))
        file = min(bisect_right(ends, row), len(ends) - 1)
        return self.calls[file](row - ends[file] + self.rows[file])


Given = Union["pd.Series[Any]", pd.DataFrame]
"""Raw columns, or one of them, (rows, columns) or (rows,)."""


def row_name(given: Given, row: int) -> str:
    """What messages call a row: its file and line; of a frame in memory, its number, or its label.

    Args:
        given: the rows; the labels of those of a file count from 0, also when some were left out.
        row: number of the row, from 0.
    """
    index, places = given.index, given.attrs.get(PLACES)
    if not is_integer_dtype(index.dtype):
        return f"row {row + 1} ({index[row]})"
    if places is not None:
        return str(places.name(int(index[row])))
    return f"row {index[row] + 1} (line {index[row] + 2} of a file with one header line)"


def in_file(given: Given) -> str:
    """The file that columns are of, as the beginning of a message, such as "load.csv: "; "" if they are of none."""
    places = given.attrs.get(PLACES)
    if places is None or not places.files[0]:
        return ""
    more = f" and {len(places.files) - 1} more files" if len(places.files) > 1 else ""
    return f"{places.files[0]}{more}: "


def shown(value: object) -> str:
    """A value as messages show it: as Python writes it, and not too long."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."
