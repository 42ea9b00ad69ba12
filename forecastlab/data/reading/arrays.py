"""NumPy arrays as frames: a series, or a column per variable."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.reading.steps import times_after
from forecastlab.errors import DataError

SINGLE = "y"
"""What the values of an array of one dimension are called."""


def from_array(array: NDArray[Any], start: Any = None, frequency: str = "") -> tuple[pd.DataFrame, list[str]]:
    """An array as a frame, (rows, columns), and what was decided.

    The values of one dimension are called y. The columns of two are numbered from 0, as those of a file without names;
    those of a structured array have its names. Rows have times only if their start is given.

    Args:
        array: (rows,) or (rows, columns), numbers.
        start: time of the first row; None for rows that are counted.
        frequency: step of the calendar as a pandas offset.

    Raises:
        DataError: for more dimensions, values that are no numbers, or a start without a frequency.
    """
    if array.dtype.names is not None and array.ndim == 1:
        frame = pd.DataFrame({name: array[name] for name in array.dtype.names})
        named = f"the array's columns are called {', '.join(map(str, frame.columns[:10]))}"
    elif array.ndim in (1, 2) and array.dtype.kind in "biufO":
        values = np.ma.filled(array.astype(np.float64), np.nan) if isinstance(array, np.ma.MaskedArray) else array
        labels = [SINGLE] if array.ndim == 1 else [str(number) for number in range(array.shape[1])]
        frame = pd.DataFrame(
            np.asarray(values).reshape(len(array), len(labels)), columns=pd.Index(labels, dtype=object)
        )
        called = SINGLE if array.ndim == 1 else f"{labels[0]} .. {labels[-1]}" if len(labels) > 1 else "".join(labels)
        named = f"the array's {'values are' if array.ndim == 1 else 'columns are'} called {called}"
    else:
        raise DataError(
            f"got an array of shape {array.shape} and type {array.dtype}: expected numbers, (rows,) for one series or "
            "(rows, columns) for a column per variable"
        )
    if start is None and frequency:
        raise DataError(f"an array has no times of its own: beside the frequency {frequency} give its start")
    if start is None:
        return frame, [named]
    frame.index, step = times_after(start, len(frame), frequency, "the array")
    frame.attrs["frequency"] = step
    return frame, [named]
