"""Lines of text that show how a series goes."""

import numpy as np
from numpy.typing import NDArray

_MARKS = "▁▂▃▄▅▆▇█"


def spark(values: NDArray[np.float64], width: int = 40) -> str:
    """A series as marks of eight heights, from its least mean to its largest; a blank where there is no value.

    Args:
        values: (rows,); NaN where one is missing.
        width: marks, each the mean of as many rows as the others.
    """
    parts = np.array_split(values, min(width, len(values)))
    means = np.array([np.nan if np.isnan(part).all() else np.nanmean(part) for part in parts])
    if not len(means) or np.isnan(means).all():
        return ""
    low, high = np.nanmin(means), np.nanmax(means)
    steps = (means - low) / (high - low) if high > low else np.where(np.isnan(means), np.nan, 0.5)
    return "".join(" " if np.isnan(step) else _MARKS[min(7, int(step * 8))] for step in steps)
