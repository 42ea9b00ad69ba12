"""Values that may mark missing ones: shown, never dropped."""

import numpy as np
from numpy.typing import NDArray

_LEAST, _OTHERS = 2, 8
"""Rows that a marker has, and other values that there are, at least."""


def suspicious(values: NDArray[np.float64]) -> tuple[float, int] | None:
    """A value that several rows have and that lies far from all others: itself and its number of rows; None if none.

    Far is farther than the others are apart from each other, as -999.99 among values from 313 to 430.

    Args:
        values: (rows,), NaN where a value is missing.
    """
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    if len(distinct) <= _OTHERS:
        return None
    for place, next_one, rest in ((0, 1, distinct[1:]), (-1, -2, distinct[:-1])):
        far = abs(distinct[place] - distinct[next_one]) > rest[-1] - rest[0]
        if far and counts[place] >= _LEAST:
            return float(distinct[place]), int(counts[place])
    return None
