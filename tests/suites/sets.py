"""Small sets of series with known values."""

import numpy as np
import pandas as pd

from forecastlab.benchmarks.series import SeriesSet
from forecastlab.benchmarks.suites import AtTheEnd, DataSet, Task

TWO = AtTheEnd(2)
"""Two windows at the end of each series."""


def small_set(lengths=(40, 31, 36), frequency="D", together=False, gaps=0, seed=0):
    """Random walks with a weekly season, of these lengths."""
    generator = np.random.default_rng(seed)
    values = []
    for number, rows in enumerate(lengths):
        walk = 50 + 10 * number + generator.normal(size=rows).cumsum() + 5 * np.sin(2 * np.pi * np.arange(rows) / 7)
        walk[generator.choice(rows, gaps, replace=False)] = np.nan
        values.append(walk)
    starts = [pd.Timestamp("2020-01-01") + pd.Timedelta(days=number * (not together)) for number in range(len(lengths))]
    names = [f"series {number}" for number in range(len(lengths))]
    return SeriesSet(names, values, starts, frequency, together)


def small_task(series, horizon=4, test=TWO, season=7, **more):
    """A task of a set that is there already."""
    return Task("small", DataSet((), lambda paths: series), horizon, test, season, **more)
