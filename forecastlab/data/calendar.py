"""Calendar covariates, known in advance: cycles as a sine and a cosine, and public holidays."""

from collections.abc import Sequence
from typing import Literal

import holidays
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.errors import ConfigError

Cycle = Literal["hour", "day_of_week", "day_of_year"]

_CYCLES: dict[Cycle, float] = {"hour": 24, "day_of_week": 7, "day_of_year": 365.25}


def calendar_covariates(times: pd.DatetimeIndex, cycles: Sequence[Cycle], country: str | None = None) -> pd.DataFrame:
    """The columns <cycle>_sin and <cycle>_cos for each cycle, in -1 .. 1, and `holiday`, (rows, columns).

    `holiday` is the share of a country's states (provinces, ... as the package `holidays` lists them) that have a
    public holiday on the day, 0 .. 1; each counts the same.

    Args:
        times: when each row was observed, in the data's own time zone.
        cycles: "hour" (period 24: the time of day with its minutes and seconds, so that quarter hours take 96 values),
            "day_of_week" (7), "day_of_year" (365.25).
        country: ISO 3166 code of the country whose holidays are a column, such as "DE"; None for no such column.

    Raises:
        ConfigError: for a country that the package `holidays` does not know.
    """
    columns = {}
    for cycle in cycles:
        angle = 2 * np.pi * _position(times, cycle) / _CYCLES[cycle]
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
