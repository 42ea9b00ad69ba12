"""Times that are counted since 1970-01-01 00:00 in UTC."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

EPOCHS = {"epoch-s": "seconds", "epoch-ms": "milliseconds", "epoch-us": "microseconds", "epoch-ns": "nanoseconds"}
"""Names of the forms, and what they count."""
_PER_SECOND = {"epoch-s": 1, "epoch-ms": 10**3, "epoch-us": 10**6, "epoch-ns": 10**9}
_FIRST, _LAST = 86400 * 365, 4_102_444_800
"""Seconds from 1970 to 1971 and to 2100, between which a count may be told by its size."""


def epoch_of(numbers: NDArray[Any]) -> str | None:
    """The form of counts by their size, if they lie within 1971..2100.

    Args:
        numbers: (rows,), without NaN.
    """
    low, high = numbers.min(), numbers.max()
    for form, unit in _PER_SECOND.items():
        if low >= _FIRST * unit and high <= _LAST * unit:
            return form
    return None


def since_1970(form: str, numbers: NDArray[Any]) -> pd.DatetimeIndex:
    """Counts as times in UTC, (rows,); NaT for what is no number, or lies outside the years 1..9999.

    Args:
        form: a name of `EPOCHS`.
        numbers: (rows,), whole or with parts of the unit.
    """
    unit = form.removeprefix("epoch-")
    numbers = np.asarray(numbers)
    if numbers.dtype.kind == "f":
        there = np.abs(numbers) < 2.5e11 * _PER_SECOND[form]  # NaN is not
        filled = np.where(there, numbers, 0)
        if (filled == np.round(filled)).all():
            numbers = filled.astype(np.int64)
        else:
            numbers, unit = np.round(filled * (10**6 / _PER_SECOND[form])).astype(np.int64), "us"
    else:
        there = np.ones(len(numbers), np.bool_)
    stamps = numbers.astype(np.int64).astype(f"datetime64[{unit}]")
    stamps[~there] = np.datetime64("NaT")
    return pd.DatetimeIndex(stamps, tz="UTC")
