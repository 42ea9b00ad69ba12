"""Finding out the calendar that times follow, and the names of calendars."""

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset

from forecastlab.errors import DataError

_DAY = pd.Timedelta(days=1)
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_QUARTERS = {"S": ("JAN", "FEB", "MAR"), "E": ("OCT", "NOV", "DEC")}
"""Anchors of quarters that begin, or end, in a month of number 1, 2, 0 (modulo 3)."""
_OFFSET = re.compile(r"([\d.]*)([A-Za-z]+)((?:-[A-Za-z0-9]+)*)")
_OLD = {
    **{"D": "D", "W": "W", "B": "B", "H": "h", "T": "min", "S": "s", "L": "ms", "U": "us", "N": "ns", "BH": "bh"},
    **{"M": "ME", "Q": "QE", "A": "YE", "Y": "YE", "BM": "BME", "BQ": "BQE", "BA": "BYE", "BY": "BYE", "SM": "SME"},
    **{"AS": "YS", "BAS": "BYS", "CBM": "CBME", "MIN": "min"},
}
"""Today's names of calendars by the older ones, in capitals."""


def canonical(frequency: str) -> tuple[str, list[str]]:
    """A frequency by the names that pandas has today, and a sentence if it had an older one.

    What pandas knows by no name is given back as it is: the calendar says what is wrong with it.

    Args:
        frequency: a pandas offset, such as MS or 15min, or an older name, such as H, 30T, M or A-JUN.
    """
    if _is_offset(frequency):
        return frequency, []
    today = _OFFSET.sub(lambda found: found[1] + _OLD.get(found[2].upper(), found[2]) + found[3], frequency.strip())
    if not _is_offset(today):
        return frequency, []
    return today, [f"the frequency {frequency} is called {today} today, and is read as that"]


def _is_offset(frequency: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            to_offset(frequency)
        except (ValueError, TypeError, AttributeError, Warning):
            return False
    return True


def share_of_steps(times: pd.DatetimeIndex) -> float:
    """How much times look like a calendar, from 0 to 1: the share of the steps from first to last that have a row.

    Calendars are those of one step in time, and of one step in months on one day of the month or on its last day.

    Args:
        times: (rows,), in any order; equal ones count once.

    Returns:
        The share; 0 for times of fewer than three different values.
    """
    times = times.unique().sort_values()
    if len(times) < 3:
        return 0.0
    wall = times.tz_localize(None)
    same_day = (wall.day == wall[0].day).all() or (wall.day == wall.days_in_month).all()
    month = (12 * wall.year + wall.month).to_numpy()
    if same_day and wall[1] - wall[0] >= 28 * _DAY and (np.diff(month) > 0).all():
        return share_of_counts(month)
    return share_of_counts(times.asi8)


def share_of_counts(counts: NDArray[Any]) -> float:
    """The share of the steps from the first of some whole numbers to the last that are among them, from 0 to 1.

    Args:
        counts: (rows,), increasing. The step is their most common one; other steps that are no multiple of it lower
            the share.
    """
    steps = np.diff(counts)
    step = int(_most_common(steps))
    return min(1.0, len(steps) * step / int(counts[-1] - counts[0])) * float((steps % step == 0).mean())


def find_frequency(times: pd.DatetimeIndex) -> str:
    """The step of the calendar by which most rows of a series follow each other, as a pandas offset.

    Days, hours and their parts are told by the step; weeks, half-months, months, quarters and years by the days
    that the rows lie on; and business days by there being no row at a weekend.

    Args:
        times: (rows,), increasing; equal ones count once.

    Raises:
        DataError: if there are too few rows to tell, or months are stepped through from their middle.
    """
    if len(times.unique()) < 3:
        raise DataError(f"{len(times)} rows do not tell the frequency: give it, --data.frequency D (or h, MS, ...)")
    wall = times.unique().tz_localize(None)  # a day of summer time's begin has 23 hours
    usual = pd.Timedelta(_most_common(np.diff(wall.to_numpy())))
    if usual < _DAY or usual % _DAY:
        return _tick(usual)
    days = usual // _DAY
    side = _side(wall) if days >= 13 else None
    if side is not None and (days >= 28 or side.startswith("SM")):
        return _months(wall, side)
    if 28 <= days <= 31:
        days_of_months = ", ".join(map(str, wall.day.unique().sort_values()[:4]))
        raise DataError(
            f"the rows are a month apart, but on days of the month ({days_of_months}) that make no calendar: expected "
            "its first or last day, or its first or last business day. Write the month's first day in place of the "
            "day, such as 2024-01-01"
        )
    if days == 1 and wall[-1] - wall[0] >= 7 * _DAY and (wall.day_of_week < 5).all():
        return "B"
    weeks = "" if days == 7 else str(days // 7)
    if days % 7 == 0:
        return f"{weeks}W-{_WEEKDAYS[int((wall[1:][wall[1:] - wall[:-1] == usual]).day_of_week[0])]}"
    return "D" if days == 1 else f"{days}D"


def _side(wall: pd.DatetimeIndex) -> str | None:
    """On which days of months all times lie: S first, E last, BS and BE business days, SMS and SME halves."""
    day, last = wall.day.to_numpy(), wall.days_in_month.to_numpy()
    first_weekday = (wall.day_of_week.to_numpy() - (day - 1)) % 7
    last_weekday = (wall.day_of_week.to_numpy() + (last - day)) % 7
    if (day == 1).all():
        return "S"
    if (day == last).all():
        return "E"
    if (day == 1 + np.where(first_weekday > 4, 7 - first_weekday, 0)).all():
        return "BS"
    if (day == last - np.maximum(last_weekday - 4, 0)).all():
        return "BE"
    if len(np.unique(day)) == 1:
        return None
    if np.isin(day, (1, 15)).all():
        return "SMS"
    return "SME" if ((day == 15) | (day == last)).all() else None


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
    """The frequency of times that all lie on one side of months, as `_side` names them."""
    if side.startswith("SM"):
        return f"{side}-15"
    business, side = ("B", side[1]) if len(side) == 2 else ("", side)
    month = 12 * wall.year + wall.month
    months = int(_most_common(np.diff(month)))
    if months == 12:
        return f"{business}Y{side}-{wall[0]:%b}".upper()
    if months == 3:
        return f"{business}Q{side}-{_QUARTERS[side][(wall[0].month - 1) % 3]}"
    return f"{business}M{side}" if months == 1 else f"{months}{business}M{side}"


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
