"""Times that are whole numbers: rows in order. They are kept as that many seconds, and shown as numbers."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

COUNTED = "number"
"""The form of times that are whole numbers."""


def times_of(numbers: NDArray[np.int64]) -> pd.DatetimeIndex:
    """Whole numbers as times, (rows,)."""
    return pd.DatetimeIndex(np.asarray(numbers, np.int64).astype("datetime64[s]"))


def numbers_of(times: pd.DatetimeIndex) -> "pd.Index[Any]":
    """The inverse of `times_of`."""
    return pd.Index(times.as_unit("s").asi8, name=times.name)


def frequency_of(step: int) -> str:
    """The step of a count as the offset by which its times follow each other."""
    return f"{step}s" if step > 1 else "s"


def count_within(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of each row among those of its series, from 0, (rows,)."""
    return np.asarray(pd.Series(codes).groupby(codes).cumcount(), np.int64)
