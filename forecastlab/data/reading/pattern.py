"""Rows that are counted as they are: the times of the week at which there are rows, and the rows that follow."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.errors import DataError

ROWS = "rows"
"""The frequency of data whose steps are their rows."""
_WEEK = 7 * 24 * 3600
_MONDAY = 4 * 24 * 3600
"""Seconds from 1970-01-01, a Thursday, to a Monday."""
_SHARE = 0.1
"""A time of the week that has fewer rows than this share of the most frequent one's is an exception."""
_MOST = 2000
"""Times of the week above which there is no pattern."""


def slots_of(times: pd.DatetimeIndex) -> tuple[int, ...]:
    """The times of the week at which there are rows, in seconds from Monday 00:00 by the rows' own clocks, in order.

    Args:
        times: (rows,), of all series.

    Raises:
        DataError: if there are so many that they are no pattern, or rows are a week or more apart.
    """
    seconds, counts = np.unique(_seconds(times) % _WEEK, return_counts=True)
    usual = seconds[counts >= _SHARE * counts.max()]
    distinct = times.unique().sort_values()
    apart = distinct.to_series().diff().median()
    if len(usual) > _MOST or not apart < pd.Timedelta(days=7):
        raise DataError(
            "frequency: rows needs rows at the same times of each week, such as the half hours of an exchange; these "
            f"lie at {len(usual)} times of the week, {apart} apart: give the step of the calendar, such as D or h"
        )
    return tuple(int(second) for second in usual)


def times_after(last: pd.Timestamp, steps: int, slots: Sequence[int]) -> pd.DatetimeIndex:
    """The next times at which there will be rows, (steps,).

    Args:
        last: the time of the last row.
        steps: how many.
        slots: times of the week, as `slots_of` gives them.
    """
    wall = pd.DatetimeIndex([last.tz_localize(None)])
    now = int(_seconds(wall)[0])
    weeks = -(-steps // len(slots)) + 1
    begun = now - now % _WEEK
    every = (begun + _WEEK * np.arange(weeks)[:, None] + np.asarray(slots)).ravel()
    seconds = every[every > now][:steps] + _MONDAY
    times = pd.DatetimeIndex(seconds.astype("datetime64[s]")).as_unit(last.unit)
    if last.tz is None:
        return times
    return times.tz_localize(last.tz, ambiguous=np.ones(len(times), np.bool_), nonexistent="shift_forward")


def closed_share(times: pd.DatetimeIndex, calendar: pd.DatetimeIndex) -> float:
    """The share of a calendar's steps that lie at a time of the week at which there never is a row.

    Args:
        times: (rows,), those that are there.
        calendar: (steps,), every step from the first of them to the last.
    """
    if not len(calendar):
        return 0.0
    return float(np.mean(~np.isin(_seconds(calendar) % _WEEK, np.unique(_seconds(times) % _WEEK))))


def _seconds(times: pd.DatetimeIndex) -> NDArray[np.int64]:
    """Seconds since a Monday, by the clocks of the times."""
    wall = times.tz_localize(None) if times.tz is not None else times
    return wall.as_unit("s").asi8 - _MONDAY
