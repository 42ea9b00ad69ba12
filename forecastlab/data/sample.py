"""A synthetic series in the form of the Ozone Level Detection file, for a first try and for tests.

Nothing in it was measured. A random generator draws weather that behaves somewhat like a year on the Gulf coast, and
then leaves out days and values as the real file does.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.ozone import COLUMNS, HOURS, SOUNDING
from forecastlab.errors import ConfigError

Array = NDArray[np.float64]

START = np.datetime64("2001-01-01")
MOST_ROWS = 1_000_000

_RUN_UP = 30
_GAP_EVERY = 375
_GAP_DAYS = np.array([5, 2, 5, 1])
_WIND_OUTAGE_EVERY = 1500
_WIND_OUTAGE_ROWS = 20


def sample_ozone(rows: int = 1500, seed: int = 0) -> pd.DataFrame:
    """Draws a synthetic series with the columns, units, rounding and faults of the real file.

    The temperature of each hour is an annual cycle, a daily cycle and an anomaly that persists; fronts pass about
    once a week, and a south wind today brings warmth tomorrow: there is something to learn beyond persistence. In
    every 1500 rows 13 days are left out in 4 gaps and about 2500 values are missing in about 300 rows, in clumps: the
    whole sounding, its winds, one long failure of the wind vane, some hours of a day. T_PK is never missing and the
    first row is complete.

    Time runs one way: the first rows of a longer series are the shorter series of the same seed.

    Args:
        rows: number of rows, 1 to 1,000,000.
        seed: seed of the random generator, at least 0.

    Returns:
        (rows, 73), float64, as `forecastlab.data.ozone.read_ozone`, from 2001-01-01 on.

    Raises:
        ConfigError: if `rows` or `seed` is out of range.
    """
    for name, value, least, most in (("rows", rows, 1, MOST_ROWS), ("seed", seed, 0, None)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least or (most and value > most):
            bounds = f"from {least:,} to {most:,}" if most else f"of at least {least}"
            raise ConfigError(f"{name} of the sample must be a whole number {bounds}, got {value!r}")
    # One stream and one array of draws per purpose, rows first: so a longer series begins as a shorter one.
    streams = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(7))
    days = _days(rows, next(streams))
    weather = _weather(int(days[-1]) + 1, next(streams))
    temperatures = _temperatures(weather, next(streams))[days]
    winds = _winds(weather, next(streams))[days]
    columns = {name: values[days] for name, values in _soundings(weather, next(streams)).items()}
    outages = _outages(rows, next(streams), next(streams))

    temperatures[outages.hours] = np.nan
    winds[outages.hours | outages.wind[:, None]] = np.nan
    for hour in HOURS:
        columns[f"T{hour}"], columns[f"WSR{hour}"] = temperatures[:, hour], winds[:, hour]
    for name, hourly in (("T", temperatures), ("WSR", winds)):
        there = ~np.isnan(hourly)
        count = np.where(there.any(axis=1), there.sum(axis=1), np.nan)
        columns[f"{name}_PK"] = np.max(hourly, axis=1, where=there, initial=-np.inf) + 0 * count
        columns[f"{name}_AV"] = _rounded(np.sum(hourly, axis=1, where=there) / count, 0.1)
    for name in (*SOUNDING, "KI", "TT", "SLP", "SLP_"):
        columns[name][outages.sounding] = np.nan
    columns["SLP_"][1:][outages.sounding[:-1]] = np.nan  # no change without the pressure of the day before
    for level, out in zip(_LEVELS, outages.sounding_winds, strict=True):
        columns[f"U{level}"][out] = columns[f"V{level}"][out] = np.nan
    columns["class"] = _ozone_days(weather)[days]

    index = pd.DatetimeIndex((START + days).astype("datetime64[us]"), name=COLUMNS[0])
    return pd.DataFrame(columns, index=index, columns=list(COLUMNS[1:]))


class _Weather(NamedTuple):
    """What drives every column, one value per day: (days,)."""

    season: Array
    """-1 in the middle of January .. +1 in the middle of July."""
    anomaly: Array
    """of the temperature: standard deviation about 1."""
    before: Array
    """the anomaly of the day before."""
    south: Array
    """wind from the south: standard deviation 1."""
    pressure: Array
    """standard deviation about 1."""
    pressure_before: Array
    moisture: Array
    """standard deviation about 1."""
    aloft: Array
    """of temperature and height of the upper air: standard deviation 1."""


class _Level(NamedTuple):
    """Typical values at one pressure of the upper air; of three numbers: mean, annual amplitude, deviation."""

    celsius: tuple[float, float, float]
    humidity: float
    west: tuple[float, float]
    """m/s: mean, and what winter adds."""
    south: float
    """m/s: deviation."""
    metres: tuple[float, float, float]
    metres_step: float
    """to which the file rounds."""


_LEVELS = {
    85: _Level((13.7, 5.4, 2.4), 0.57, (2.1, 3.3), 5.5, (1532, 18, 26), 0.5),
    70: _Level((5.9, 3.7, 2.4), 0.41, (5.4, 6.6), 4.5, (3147, 44, 32), 0.5),
    50: _Level((-10.5, 4.4, 2.0), 0.30, (9.9, 10.4), 3.5, (5820, 85, 46), 5),
}


class _Outages(NamedTuple):
    """What is missing: (rows,) each but for `hours`, (rows, 24), and `sounding_winds`, (levels, rows)."""

    sounding: NDArray[np.bool_]
    sounding_winds: NDArray[np.bool_]
    wind: NDArray[np.bool_]
    hours: NDArray[np.bool_]


def _days(rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The day of each row, from 0: one gap somewhere in every 375 rows."""
    blocks = -(-rows // _GAP_EVERY)
    first = np.arange(blocks) * _GAP_EVERY + 10 + (rng.random(blocks) * (_GAP_EVERY - 20)).astype(np.int64)
    missing = np.zeros(blocks * _GAP_EVERY, dtype=np.int64)
    missing[first] = np.resize(_GAP_DAYS, blocks)
    return np.arange(rows) + np.cumsum(missing)[:rows]


def _weather(days: int, rng: np.random.Generator) -> _Weather:
    """Runs the drivers from day to day; a month that is not kept starts them off."""
    turn = 0.75 * complex(math.cos(2 * math.pi / 7), math.sin(2 * math.pi / 7))  # a front passes once a week
    front, anomaly, pressure, moisture, aloft = 0j, 0.0, 0.0, 0.0, 0.0
    states = np.empty((days + _RUN_UP, 5))
    for day, (e1, e2, e3, e4, e5, e6) in enumerate(rng.standard_normal((days + _RUN_UP, 6)).tolist()):
        anomaly, pressure, moisture, aloft = (
            0.66 * anomaly + 0.38 * front.real + 0.50 * e3,
            0.60 * pressure - 0.45 * front.real + 0.55 * e4,
            0.35 * moisture + 0.40 * front.real + 0.80 * e5,
            0.80 * aloft + 0.60 * e6,
        )
        front = turn * front + 0.66 * complex(e1, e2)
        states[day] = anomaly, front.real, pressure, moisture, aloft
    now, before = states[_RUN_UP:], states[_RUN_UP - 1 : -1]
    return _Weather(
        season=-np.cos(2 * np.pi * (np.arange(days) - 14) / 365.25),
        anomaly=now[:, 0],
        before=before[:, 0],
        south=now[:, 1],
        pressure=now[:, 2],
        pressure_before=before[:, 2],
        moisture=now[:, 3],
        aloft=now[:, 4],
    )


def _temperatures(weather: _Weather, rng: np.random.Generator) -> Array:
    """Temperature of each hour, (days, 24), degrees Celsius."""
    draws = rng.standard_normal((len(weather.season), 25))
    season, moisture = weather.season, weather.moisture
    spread = 3.5 - 1.5 * season  # winters are less settled
    mean = 21 + 8 * season + spread * weather.anomaly
    tendency = 0.6 * spread * (weather.anomaly - weather.before)
    swing = np.clip(4.6 - 1.2 * moisture + 0.5 * draws[:, 24], 0.8, 9)
    hour = np.arange(24)
    shape = np.cos(2 * np.pi * (hour - 15) / 24) + 0.2 * np.cos(4 * np.pi * (hour - 14) / 24)
    through_day = (hour - 11.5) / 24
    noise = 0.5 * _from_hour_to_hour(draws[:, :24])
    return _rounded(mean[:, None] + swing[:, None] * shape + tendency[:, None] * through_day + noise, 0.1)


def _winds(weather: _Weather, rng: np.random.Generator) -> Array:
    """Wind speed of each hour, (days, 24), m/s."""
    draws = rng.standard_normal((len(weather.season), 25))
    mean = 2.3 - 0.4 * weather.season + 0.45 * np.abs(weather.south) + 0.5 * draws[:, 24]
    shape = 0.8 * np.cos(2 * np.pi * (np.arange(24) - 14) / 24)
    noise = 0.8 * _from_hour_to_hour(draws[:, :24])
    return _rounded(np.maximum(mean[:, None] + shape + noise, 0), 0.1)


def _from_hour_to_hour(noise: Array) -> Array:
    """White noise, (days, 24), made to persist within each day."""
    for hour in range(1, 24):
        noise[:, hour] = 0.8 * noise[:, hour - 1] + 0.6 * noise[:, hour]
    return noise


def _soundings(weather: _Weather, rng: np.random.Generator) -> dict[str, Array]:
    """The columns from T85 to Precp, (days,) each, rounded as in the file."""
    noise = iter(rng.standard_normal((len(weather.season), 24)).T)
    season, south, moisture, aloft = weather.season, weather.south, weather.moisture, weather.aloft
    columns = {}
    for level, typical in _LEVELS.items():
        warmth = 0.6 * weather.anomaly + 0.8 * aloft
        height = 0.5 * weather.anomaly + 0.7 * aloft
        celsius = typical.celsius[0] + typical.celsius[1] * season + typical.celsius[2] * warmth
        metres = typical.metres[0] + typical.metres[1] * season + typical.metres[2] * height
        columns[f"T{level}"] = _rounded(celsius + 0.8 * next(noise), 0.1)
        columns[f"HT{level}"] = _rounded(metres + 5 * next(noise), typical.metres_step)
        humidity = typical.humidity + 0.15 * moisture + 0.14 * next(noise)
        columns[f"RH{level}"] = _rounded(np.clip(humidity, 0.01, 1), 0.01)
        columns[f"U{level}"] = _rounded(typical.west[0] - typical.west[1] * season + 4 * next(noise), 0.01)
        columns[f"V{level}"] = _rounded(1 + typical.south * south + 2.5 * next(noise), 0.01)
    columns["KI"] = _rounded(10 + 14.5 * season + 12 * moisture + 11 * next(noise), 0.05)
    columns["TT"] = _rounded(37 + 6.5 * season + 7 * moisture + 6 * next(noise), 0.05)
    before_first = _rounded(10165 - 30 * season[:1] + 46 * weather.pressure_before[:1], 5)
    columns["SLP"] = _rounded(10165 - 30 * season + 46 * weather.pressure, 5)
    columns["SLP_"] = np.diff(columns["SLP"], prepend=before_first)
    rain = np.exp(1.3 * next(noise) - 0.6)
    columns["Precp"] = np.where(moisture + 0.7 * next(noise) > 0.7, _rounded(np.minimum(rain, 25), 0.01), 0.0)
    return columns


def _ozone_days(weather: _Weather) -> Array:
    """1 on calm, dry, warm days of the warmer half-year, about one day in fifteen; else 0."""
    score = 0.9 * weather.anomaly - 0.8 * weather.moisture - 0.6 * np.abs(weather.south) + 1.2 * weather.season
    return (score > 1.4).astype(np.float64)


def _outages(rows: int, rng: np.random.Generator, wind_rng: np.random.Generator) -> _Outages:
    """Draws what fails in each row; nothing in the first one."""
    chance = rng.random((rows, 7))
    chance[0] = 1
    sounding = np.zeros(rows, dtype=np.bool_)
    for row in range(1, rows):
        sounding[row] = chance[row, 0] < (0.2 if sounding[row - 1] else 0.038)
    blocks = -(-rows // _WIND_OUTAGE_EVERY)
    start = np.floor(10 + (_WIND_OUTAGE_EVERY - _WIND_OUTAGE_ROWS - 10) * wind_rng.random(blocks))
    since = np.arange(rows) % _WIND_OUTAGE_EVERY - np.repeat(start, _WIND_OUTAGE_EVERY)[:rows]
    hour = np.arange(24)
    first = np.floor(24 * chance[:, 4:5])
    length = np.minimum(1 + np.floor(-3 * np.log(chance[:, 5:6])), 16)
    return _Outages(
        sounding=sounding,
        sounding_winds=(chance[:, 1:4] < 0.023).T,
        wind=(since >= 0) & (since < _WIND_OUTAGE_ROWS),
        hours=(chance[:, 6:7] < 0.035) & (hour >= first) & (hour < first + length),
    )


def _rounded(values: Array, step: float) -> Array:
    """To multiples of a step, each the closest float to its decimal notation; no negative zero."""
    return np.round(np.round(values / step) * step, 2) + 0.0
