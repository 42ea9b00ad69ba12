"""Reading times, and finding out the calendar that they follow."""

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset

from forecastlab.errors import ConfigError, DataError

_DAY = pd.Timedelta(days=1)
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_QUARTERS = {"S": ("JAN", "FEB", "MAR"), "E": ("OCT", "NOV", "DEC")}
"""Anchors of quarters that begin, or end, in a month of number 1, 2, 0 (modulo 3)."""


def parse_times(given: "pd.Series[Any]", what: str) -> pd.DatetimeIndex:
    """Reads text as times, (rows,); one form throughout.

    01.02.2024 is the first of February. 01/02/2024 is what makes all rows times; if both readings do, neither is taken.

    Args:
        given: (rows,), nothing missing.
        what: name for messages.

    Raises:
        DataError: if a value is no time, has another form or zone than the others, or could mean two days.
    """
    first = str(given.iloc[0])
    day_first = re.match(r"\d{1,2}\.\d{1,2}\.\d", first) is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about guesses, all of which are judged here
        readings = [_read(given, day_first)]
        if re.match(r"\d{1,2}[/-]\d{1,2}[/-]\d", first):
            readings.append(_read(given, not day_first))
        read = [reading for reading in readings if reading is not None]
        if not read:
            raise _unreadable(given, what)
    if not read[0].equals(read[-1]):
        row = int(np.flatnonzero(read[0] != read[-1])[0])
        raise DataError(
            f"{what} may mean {read[0][row]:%d %B %Y} or {read[1][row]:%d %B %Y} by {given.iloc[row]!r}: "
            "write 2024-01-31"
        )
    return read[0]


def _read(given: "pd.Series[Any]", day_first: bool) -> pd.DatetimeIndex | None:
    try:
        return pd.DatetimeIndex(pd.to_datetime(given, dayfirst=day_first))
    except (ValueError, TypeError, OverflowError):
        return None


def _unreadable(given: "pd.Series[Any]", what: str) -> DataError:
    """Why values cannot be read as times of one form."""
    try:
        each = pd.to_datetime(given, format="mixed", errors="coerce", utc=True)
    except (ValueError, TypeError, OverflowError):
        each = pd.Series(pd.NaT, index=given.index)
    expected = "expected one form throughout, such as 2024-01-31 or 2024-01-31 13:00"
    if each.isna().any():
        row = int(np.flatnonzero(each.isna())[0])
        return DataError(
            f"{row_name(given.index, row)}: cannot read {given.iloc[row]!r} in {what} as a time; {expected}"
        )
    if _zones(given) > 1:
        return DataError(
            f"{what} has times of several zones or offsets, such as {given.iloc[0]!r}: write all in UTC, or all "
            "without a zone"
        )
    return DataError(f"{what} has times of several forms, such as {given.iloc[0]!r}; {expected}")


def _zones(given: "pd.Series[Any]") -> int:
    """How many offsets from UTC are written at the ends of times."""
    return int(given.astype(str).str.extract(r"\d([+-]\d\d:?\d\d|Z)?$")[0].nunique(dropna=False))


def time_of(key: str, value: str) -> pd.Timestamp:
    """A setting as a time.

    Raises:
        ConfigError: if it is none.
    """
    try:
        time = pd.Timestamp(value)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{key}: expected a time such as 2017-01-01, got {value!r}: {error}") from None
    if pd.isna(time):
        raise ConfigError(f"{key}: expected a time such as 2017-01-01, got {value!r}")
    return time


def row_name(index: "pd.Index[Any]", row: int) -> str:
    """How messages call a row: as a line of a file whose first line holds the names, or by its label.

    Args:
        index: labels of the rows; those of a file count from 0, also when some were left out.
        row: number of the row, from 0.
    """
    if not pd.api.types.is_integer_dtype(index.dtype):
        return f"row {row + 1} ({index[row]})"
    return f"row {index[row] + 1} (line {index[row] + 2} of a file with one header line)"


def find_frequency(times: pd.DatetimeIndex) -> str:
    """The step of the calendar by which most rows of a series follow each other, as a pandas offset.

    Days, hours and their parts are told by the step; weeks, months, quarters and years by the days that the rows lie
    on; and business days by there being no row at a weekend.

    Args:
        times: (rows,), strictly increasing.

    Raises:
        DataError: if there are too few rows to tell, or months are stepped through from their middle.
    """
    if len(times) < 3:
        raise DataError(f"{len(times)} rows do not tell the frequency: give it, --data.frequency D (or h, MS, ...)")
    wall = times.tz_localize(None)  # a day of summer time's begin has 23 hours
    usual = pd.Timedelta(_most_common(np.diff(wall.to_numpy())))
    if usual < _DAY or usual % _DAY:
        return _tick(usual)
    days = usual // _DAY
    starts = bool((wall.day == 1).all())
    if days >= 28 and (starts or (wall.day == wall.days_in_month).all()):
        return _months(wall, "S" if starts else "E")
    if 28 <= days <= 31:
        raise DataError(
            "the rows are a month apart, but neither on its first nor on its last day: write the month's first day"
        )
    if days == 1 and wall[-1] - wall[0] >= 7 * _DAY and (wall.day_of_week < 5).all():
        return "B"
    weeks = "" if days == 7 else str(days // 7)
    if days % 7 == 0:
        return f"{weeks}W-{_WEEKDAYS[int((wall[1:][wall[1:] - wall[:-1] == usual]).day_of_week[0])]}"
    return "D" if days == 1 else f"{days}D"


def _most_common(values: NDArray[Any]) -> Any:
    """Of several, the lowest."""
    distinct, counts = np.unique(values, return_counts=True)
    return distinct[counts.argmax()]


def _tick(step: pd.Timedelta) -> str:
    try:
        return to_offset(step).freqstr
    except ValueError:  # nanoseconds count no more than three centuries
        raise DataError(f"the rows are {step} apart, which is the step of no calendar") from None


def _months(wall: pd.DatetimeIndex, side: str) -> str:
    """The frequency of times that lie on first ("S"), or on last ("E"), days of months."""
    month = 12 * wall.year + wall.month
    months = int(_most_common(np.diff(month)))
    if months == 12:
        return f"Y{side}-{wall[0]:%b}".upper()
    if months == 3:
        return f"Q{side}-{_QUARTERS[side][(wall[0].month - 1) % 3]}"
    return f"M{side}" if months == 1 else f"{months}M{side}"


def require_steady(times: pd.DatetimeIndex, periods: NDArray[np.int64], frequency: str, inferred: bool) -> None:
    """Raises DataError unless rows follow each other by a frequency, but for gaps.

    Args:
        times: (rows,), strictly increasing.
        periods: (rows,), the number of calendar steps to each, as `elapsed` counts them.
        frequency: the step of the calendar as a pandas offset.
        inferred: whether it was found out from these rows, and not given.
    """
    steps = np.diff(periods)
    if len(steps) < 4 or steps.max() == 1:
        return
    common = int(np.gcd.reduce(steps))
    if common > 1:
        raise DataError(
            f"the frequency {frequency!r} is too fine: all rows are {common} of its steps apart, or a multiple. Give "
            "the frequency of the data, or none to find it out"
        )
    starts = np.concatenate([[0], np.flatnonzero(np.diff(steps)) + 1])
    stops = np.append(starts[1:], len(steps))
    at_an_end = (starts == 0) | (stops == len(steps))
    other = (steps[starts] > 1) & (stops - starts >= np.where(at_an_end, 3, 10))
    if inferred and other.any():
        run = int(np.flatnonzero(other)[0])
        raise DataError(
            f"the frequency changes: most rows follow each other by {frequency!r}, but the {stops[run] - starts[run]} "
            f"after {times[starts[run]]} by {steps[starts[run]]} such steps. Forecast the parts apart, or give the "
            f"frequency if these are gaps: --data.frequency {frequency}"
        )


from typing import NamedTuple  # noqa: E402


class Read(NamedTuple):
    times: pd.DatetimeIndex
    form: str
    notes: list[str]


def read_times(frame, columns, time_format=None):  # type: ignore
    given = frame.index.to_series() if columns is None else frame[columns[0]]
    what = "the index" if columns is None else f"column {columns[0]}"
    if given.isna().any():
        raise DataError(f"{row_name(frame.index, int(np.flatnonzero(given.isna())[0]))}: no time in {what}")
    if pd.api.types.is_datetime64_any_dtype(given):
        return Read(pd.DatetimeIndex(given), "", [])
    if pd.api.types.is_numeric_dtype(given):
        raise DataError(f"{what} holds numbers such as {given.iloc[0]}; expected times such as 2024-01-31 13:00")
    return Read(parse_times(given, what), "", [])


def are_row_numbers(given):  # type: ignore
    return pd.api.types.is_integer_dtype(given)
