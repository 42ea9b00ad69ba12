"""Times of values that have none of their own: they follow from the first one and a frequency."""

import contextlib
from typing import Any

import pandas as pd
from pandas.tseries.frequencies import to_offset

from forecastlab.data.reading.frequency import canonical
from forecastlab.errors import DataError

_BEGINS = {"ME": "MS", "QE": "QS", "YE": "YS"}
"""The calendar of periods that are named by their first day, by the one of their last days."""


def times_after(
    start: Any, length: int, frequency: str, what: str, of_periods: bool = False
) -> tuple[pd.DatetimeIndex, str]:
    """The times of values that follow each other, (length,), and the pandas offset of their calendar.

    Periods are named by their beginning.

    Args:
        start: the first time, or a pandas Period, which brings its own frequency.
        length: number of values.
        frequency: step of the calendar, also by an older name; "" for that of a Period.
        what: name for messages.
        of_periods: whether the frequency is the length of periods, of which the start names the first: a month, quarter
            or year that is told by its first day then steps from first day to first day, and a week from the weekday
            of its start.

    Raises:
        DataError: for a start that is no time, without a frequency, or not on its calendar.
    """
    if isinstance(start, pd.Period):
        with _readable(start, what):
            return pd.period_range(start, periods=length).to_timestamp(), ""
    with _readable(start, what):
        first = pd.Timestamp(start)
    if pd.isna(first):
        raise DataError(f"{what}: expected a time such as 2024-01-31 as its start, got {start!r}")
    if not frequency:
        raise DataError(f"{what} starts at {first} and has no frequency: give it, --data.frequency h (or D, MS, ...)")
    with _readable(start, what):
        offset = to_offset(canonical(frequency)[0])
        name = offset.rule_code.partition("-")[0]
        count = "" if offset.n == 1 else str(offset.n)
        if of_periods and name == "W":
            offset = to_offset(f"{count}W-{first:%a}".upper())
        elif of_periods and name in _BEGINS and first.day == 1:
            offset = to_offset(f"{count}{_BEGINS[name]}" + (f"-{first:%b}".upper() if name != "ME" else ""))
        times = pd.date_range(first, periods=length, freq=offset)
        if length and times[0] != first:
            raise DataError(
                f"{what} starts at {first}, which is not on the calendar of frequency {frequency!r}; the next on it is "
                f"{times[0]}"
            )
    return times, offset.freqstr


@contextlib.contextmanager
def _readable(start: Any, what: str) -> Any:
    try:
        yield
    except DataError:
        raise
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:150]
        raise DataError(f"{what}: cannot count times from its start {start!r}: {reason}") from None
