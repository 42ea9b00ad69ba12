"""Calendar covariates, known in advance: cycles as a sine and a cosine, and public holidays."""

from collections.abc import Sequence
from typing import Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import holidays
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries import offsets
from pandas.tseries.frequencies import to_offset

from forecastlab.batch import Schema
from forecastlab.errors import ConfigError, DataError

Cycle = Literal["hour", "day_of_week", "day_of_year"]

CYCLES: dict[Cycle, float] = {"hour": 24, "day_of_week": 7, "day_of_year": 365.25}
"""The period of each cycle, in hours or days."""
_DAY = pd.Timedelta(days=1)
_ENDS = (
    *(offsets.MonthEnd, offsets.QuarterEnd, offsets.YearEnd, offsets.SemiMonthEnd),
    *(offsets.BMonthEnd, offsets.BQuarterEnd, offsets.BYearEnd),
)
_WEEK_ENDS = ("W-FRI", "W-SAT", "W-SUN")


def calendar_covariates(
    times: pd.DatetimeIndex,
    cycles: Sequence[Cycle],
    country: str | None = None,
    step: str = "",
    zone: str | None = None,
) -> pd.DataFrame:
    """The columns <cycle>_sin and <cycle>_cos for each cycle, in -1 .. 1, and `holiday`, (rows, columns).

    `holiday` is the share of a country's states (provinces, ... as the package `holidays` lists them) that have a
    public holiday on the day, 0 .. 1; each counts the same. Where a step is longer than a day, every column but `hour`
    is the mean over all of its days (see `days_of`).

    Args:
        times: when each row was observed, in the data's own time zone.
        cycles: "hour" (period 24: the time of day with its minutes and seconds, so that quarter hours take 96 values),
            "day_of_week" (7), "day_of_year" (365.25).
        country: ISO 3166 code of the country whose holidays are a column, such as "DE"; None for no such column.
        step: the step of the calendar as a pandas offset, if it is longer than a day; "" to read each row's own day.
        zone: the zone whose hours and days count; None for that of the times.

    Raises:
        ConfigError: for a country that the package `holidays` does not know.
        DataError: for a zone, and times without one.
    """
    times = in_zone(times, zone)
    if not step:
        return _covariates(times, cycles, country).set_axis(times)
    firsts, lasts = days_of(times, step)
    days = pd.date_range(firsts.min(), lasts.max(), freq="D") if len(times) else firsts
    daily = _covariates(days, cycles, country)
    sums = np.concatenate([np.zeros((1, daily.shape[1])), np.cumsum(daily.to_numpy(), axis=0)])
    begins, ends = days.get_indexer(firsts), days.get_indexer(lasts) + 1
    means = pd.DataFrame((sums[ends] - sums[begins]) / (ends - begins)[:, None], times, daily.columns)
    if "hour" in cycles:
        own = _covariates(times, ["hour"], None)
        means[own.columns] = own.to_numpy()
    return means


def calendar_of(schema: Schema, times: pd.DatetimeIndex) -> pd.DataFrame:
    """The calendar covariates that a schema names, (rows, columns), as `calendar_covariates` gives them."""
    cycles = [cast(Cycle, name) for name in schema.calendar]
    return calendar_covariates(times, cycles, schema.holidays, schema.step, schema.time_zone)


def days_of(times: pd.DatetimeIndex, step: str) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    """The first and the last day of each step, (rows,), without a zone.

    A step ends with the day of its time where that is the end of a month, a quarter or a year, or a week's Friday,
    Saturday or Sunday; else it begins with it.

    Args:
        times: (rows,), on a calendar of this frequency.
        step: the step of the calendar as a pandas offset.
    """
    offset = to_offset(step)
    times = times.tz_localize(None)
    if isinstance(offset, _ENDS) or offset.rule_code in _WEEK_ENDS:
        return (times - offset).normalize() + _DAY, times.normalize()
    return times.normalize(), (times + offset - pd.Timedelta(microseconds=1)).normalize()


def longer_than_a_day(frequency: str) -> bool:
    """Whether a step of a calendar has several days; that from a Friday to a Monday has one, of business days."""
    offset = to_offset(frequency)
    first = pd.Timestamp("2001-01-01") + offset
    return bool(first + offset - first > _DAY)


def in_zone(times: pd.DatetimeIndex, zone: str | None) -> pd.DatetimeIndex:
    """The same times by the clocks of a zone; None leaves them as they are.

    Raises:
        DataError: if the times have no zone, so that nobody knows when they are.
    """
    if zone is None or not len(times):
        return times
    if times.tz is None:
        raise DataError(
            f"time_zone is {zone}, but the times, such as {times[0]}, have no zone: write them with one, such as "
            f"{times[0]}+00:00, or leave time_zone out if they are by the clocks of {zone} already"
        )
    return times.tz_convert(zone)


def require_zone(zone: str | None) -> None:
    """Raises ConfigError for a zone that is none."""
    try:
        if zone is not None:
            ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f"time_zone: expected a zone such as Europe/Berlin or UTC, got {zone!r}") from None


def require_own_days(times: pd.DatetimeIndex, country: str | None, zone: str | None) -> None:
    """Raises ConfigError for holidays of a country by the days of UTC, or of an offset from it, and not of a region."""
    name = str(times.tz)
    region = times.tz is None or ("/" in name and not name.startswith("Etc/"))
    if country is not None and zone is None and not region:
        raise ConfigError(
            f"the times are in {times.tz}, whose days begin at other hours than the holidays of {country}: name the "
            f"zone of {country}, --data.time_zone Europe/Berlin, or --data.time_zone {times.tz} to count its days"
        )


def _covariates(times: pd.DatetimeIndex, cycles: Sequence[Cycle], country: str | None) -> pd.DataFrame:
    """Of the rows' own days and hours."""
    columns = {}
    for cycle in cycles:
        angle = 2 * np.pi * _position(times, cycle) / CYCLES[cycle]
        columns[f"{cycle}_sin"], columns[f"{cycle}_cos"] = np.sin(angle), np.cos(angle)
    if country is not None:
        columns["holiday"] = _holiday_share(times, country)
    return pd.DataFrame(columns, index=times)


def _position(times: pd.DatetimeIndex, cycle: Cycle) -> NDArray[np.float64]:
    """Where in its cycle each time lies, (rows,), in hours or days."""
    whole = np.asarray(getattr(times, cycle), dtype=np.float64)
    if cycle != "hour":
        return whole
    position: NDArray[np.float64] = whole + np.asarray(times.minute) / 60 + np.asarray(times.second) / 3600
    return position


def _holiday_share(times: pd.DatetimeIndex, country: str) -> NDArray[np.float64]:
    years = range(times.min().year, times.max().year + 1) if len(times) else range(0)
    try:
        listed = holidays.country_holidays(country).subdivisions
        # Longer names are not codes of ISO 3166-2 but towns with a holiday of their own, such as Augsburg.
        states: Sequence[str | None] = [code for code in listed if len(code) <= 3] or listed or [None]
        calendars = [set(holidays.country_holidays(country, subdiv=state, years=years)) for state in states]
    except NotImplementedError:
        raise ConfigError(f"holidays: there are none for {country!r}; expected a country's code such as DE") from None
    number, days = pd.factorize(times.normalize())
    share = np.array([np.mean([day in calendar for calendar in calendars]) for day in pd.DatetimeIndex(days).date])
    return share[number] if len(times) else np.empty(0)
