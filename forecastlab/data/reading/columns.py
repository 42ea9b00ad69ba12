"""Finding out which columns of a frame hold the times."""

import re
from collections.abc import Sequence

import pandas as pd

from forecastlab.data.reading.places import in_file
from forecastlab.data.reading.times import holds_lists, read_times
from forecastlab.errors import DataError

USUAL = "ds"
"""The column that is taken for the times if there is one of this name."""
_CALLED = re.compile(
    r"(?i)unnamed: 0|index|t|ds|date|day|week|month|year|quarter|period|time|date_?time|time_?stamp|observation_date"
)
"""What columns of times are called; numbers are taken for times only in such a column."""
_PARTS = ("year", "quarter", "month", "day", "hour", "minute")


def columns_of_times(frame: pd.DataFrame, used: Sequence[str]) -> tuple[tuple[str, ...] | None, list[str]]:
    """The columns that hold the times.

    Args:
        frame: (rows, columns).
        used: columns that are something else.

    Returns:
        Their names, None for the frame's index, or () if there are none; and what was decided, in sentences.

    Raises:
        DataError: if several columns could be it.
    """
    if USUAL in frame.columns:
        return (USUAL,), []
    if isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex):
        return None, []
    free = [name for name in frame.columns if name not in used]
    found = [name for name in free if _are_times(frame, name)]
    parts = [name for part in _PARTS for name in free if str(name).lower() == part]
    if len(parts) > 1 and str(parts[0]).lower() == "year" and not set(found) - set(parts):
        return tuple(parts), [f"times are read from the columns {', '.join(parts)}"]
    if len(found) > 1:
        raise DataError(
            f"{in_file(frame)}several columns hold times: {', '.join(map(str, found))}. Name the one that orders the "
            f"rows: --data.time_column {found[0]}"
        )
    return tuple(found), [f"times are read from column {name}" for name in found]


def _are_times(frame: pd.DataFrame, name: str) -> bool:
    column = frame[name]
    if pd.api.types.is_datetime64_any_dtype(column) or isinstance(column.dtype, pd.PeriodDtype):
        return True
    if pd.api.types.is_bool_dtype(column) or column.isna().any() or holds_lists(column):
        return False
    if pd.api.types.is_numeric_dtype(column) and not _CALLED.fullmatch(str(name)):
        return False
    if not re.search(r"\d", str(column.iloc[0])):
        return False
    try:
        bare = frame[[name]]
        bare.attrs = {}  # the line of what is wrong is not looked for
        read_times(bare, [name])
    except DataError:
        return _CALLED.fullmatch(str(name)) is not None  # what is wrong with it is said when it is read
    return True
