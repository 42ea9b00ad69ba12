"""Times that are years with a fraction, such as 1959.042 for the middle of January 1959."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DECIMAL_YEARS = {
    "decimal-year-half-years": 2,
    "decimal-year-quarters": 4,
    "decimal-year-months": 12,
    "decimal-year-days": 365,
}
"""Names of the forms, coarse ones first, and how many parts a year has."""
_NEAR, _NEAR_DAY = 0.12, 0.25
"""How far, in parts of a year, a fraction may lie from the beginning or the middle of a part: it is rounded, and the
middles of months are counted by days or by twelfths."""


def decimal_years(form: str, years: NDArray[np.float64]) -> pd.DatetimeIndex:
    """Times, (rows,), of years with a fraction: the first days of the parts of a year in which they lie.

    All fractions are those of the beginnings of parts, or all those of their middles; otherwise all are NaT.

    Args:
        form: a name of `DECIMAL_YEARS`.
        years: (rows,), NaN where a value is no number.
    """
    there = (years >= 1000) & (years < 3000)
    known, parts = np.where(there, years, 2000.0), DECIMAL_YEARS[form]
    begin = np.floor(known).astype(np.int64)
    first = (begin - 1970).astype("datetime64[Y]").astype("datetime64[D]")
    days = ((begin - 1969).astype("datetime64[Y]").astype("datetime64[D]") - first).astype(np.int64)
    by_days = parts == 365
    position = (known - begin) * (days if by_days else parts)
    for phase in (0.0, 0.5):
        number = np.round(position - phase).astype(np.int64)
        if (np.abs(position - phase - number) < (_NEAR_DAY if by_days else _NEAR)).all():
            months = (12 * (begin - 1970) + number * (12 // parts)).astype("datetime64[M]")
            times = first + number if by_days else months
            return pd.DatetimeIndex(np.where(there, times.astype("datetime64[us]"), np.datetime64("NaT", "us")))
    return pd.DatetimeIndex(np.full(len(years), np.datetime64("NaT", "us")))
