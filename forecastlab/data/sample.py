"""A synthetic series in the form of the Ozone Level Detection file, for a first try and for tests."""

import numpy as np
import pandas as pd

from forecastlab.data.ozone import COLUMNS, HOURS
from forecastlab.errors import ConfigError

DAYS_LEFT_OUT = (5, 2, 5, 1)
"""Lengths of the gaps, one in the middle of every 375 rows, in turn."""


def sample_ozone(rows: int = 1500, seed: int = 0) -> pd.DataFrame:
    """Draws a series with the columns of the real file; nothing in it was measured.

    The temperature of a day is an annual cycle plus an anomaly. The anomaly is autoregressive and follows the wind of
    the day before, so a network can do better than persistence. The hours add a daily cycle. Every other column is a
    mixture of season, anomaly, wind and noise. One value in fifty is missing, but never T_PK and none of the first row.
    In 1500 rows 13 days are left out. The first rows of a longer series are the shorter series of the same seed.

    Args:
        rows: number of rows, 1 to 1,000,000.
        seed: seed of the random generator, at least 0.

    Returns:
        (rows, 73), float64, as `forecastlab.data.ozone.read_ozone`, from 2001-01-01 on.

    Raises:
        ConfigError: if `rows` or `seed` is out of range.
    """
    if type(rows) is not int or not 1 <= rows <= 1_000_000:
        raise ConfigError(f"rows of the sample must be a whole number from 1 to 1,000,000, got {rows!r}")
    if type(seed) is not int or seed < 0:
        raise ConfigError(f"seed of the sample must be a whole number of at least 0, got {seed!r}")
    # One stream per purpose and rows first: so a longer series begins as a shorter one.
    mixing, driving, noise, missing = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(4))
    days = np.arange(rows)
    days += np.cumsum(np.where(days % 375 == 187, np.resize(np.repeat(DAYS_LEFT_OUT, 375), rows), 0))
    season = -np.cos(2 * np.pi * (np.arange(days[-1] + 1) - 14) / 365.25)
    anomaly, wind = np.zeros_like(season), np.zeros_like(season)
    for day, (warming, turning) in enumerate(driving.standard_normal((len(season), 2))):
        last = anomaly[day - 1], wind[day - 1]
        anomaly[day] = 0.7 * last[0] + 0.5 * last[1] + 0.5 * warming
        wind[day] = 0.5 * last[1] - 0.3 * last[0] + 0.6 * turning
    drivers = np.stack([np.ones_like(season), season, anomaly, wind], axis=1)[days]

    names, cycle = pd.Index(COLUMNS[1:]), np.cos(2 * np.pi * (np.array(HOURS) - 15) / 24)
    mixture = pd.DataFrame(mixing.standard_normal((4, len(names))), columns=names)
    mixture[[f"T{hour}" for hour in HOURS]] = [20 + 5 * cycle, *np.outer((8, 3, 1), np.ones(24))]
    mixture[[f"WSR{hour}" for hour in HOURS]] = [5 + cycle, *np.outer((-0.4, 0, 1), np.ones(24))]
    values = pd.DataFrame(drivers @ mixture.to_numpy(), columns=names) + 0.5 * noise.standard_normal((rows, len(names)))
    for kind in ("T", "WSR"):
        hourly = values[[f"{kind}{hour}" for hour in HOURS]]
        values[f"{kind}_PK"], values[f"{kind}_AV"] = hourly.max(axis=1), hourly.mean(axis=1)
    values["class"] = (values["class"] > 2).astype(np.float64)
    lost = missing.random(values.shape) < 0.02
    lost[0] = lost[:, names.isin(["T_PK", "class"])] = False
    values.index = pd.DatetimeIndex((np.datetime64("2001-01-01") + days).astype("datetime64[us]"), name=COLUMNS[0])
    return values.round(2).mask(lost) + 0.0
