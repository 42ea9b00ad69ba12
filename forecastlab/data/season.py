"""`season_of`: how many rows a season has."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset

from forecastlab.data.reading.counted import COUNTED
from forecastlab.data.recipe import Recipe
from forecastlab.data.table import Table

_SEASONS = {"h": 24, "D": 7, "B": 5, "W": 52, "MS": 12, "ME": 12, "BME": 12, "BMS": 12, "QS": 4, "QE": 4}
"""Rows in a season by the step of the calendar."""


def season_of(tables: Sequence[Table], recipe: Recipe) -> int:
    """Rows in a season: by the step of the calendar, if a target repeats so; of counted rows, what repeats most.

    Args:
        tables: the series.
        recipe: how they were read.
    """
    step = tables[0].frequency
    if recipe.time_format == COUNTED:
        candidates = [4, 5, 7, 12, 24, 48, 52, 96]
    elif recipe.slots:
        candidates = [len(recipe.slots) // max(1, len({second // 86400 for second in recipe.slots})), len(recipe.slots)]
    else:
        candidates = [_season_by_step(step)]
    longest = sorted(tables, key=lambda table: -len(table.times))[:50]
    strengths = {
        lag: float(np.median([max(_repeats(values, lag) for values in _observed(table, recipe)) for table in longest]))
        for lag in candidates
        if lag > 1
    }
    least = max(0.1, 2 / len(longest[0].times) ** 0.5)
    strong = {lag: strength for lag, strength in strengths.items() if strength > least}
    return max(strong, key=lambda lag: strong[lag]) if strong else 1


def _season_by_step(frequency: str) -> int:
    offset = to_offset(frequency)
    name = offset.rule_code.partition("-")[0]
    if offset.n == 1 and name in _SEASONS:
        return _SEASONS[name]
    try:
        step = pd.Timedelta(offset)  # type: ignore[arg-type]
    except ValueError:
        return 1
    day = pd.Timedelta(days=1)
    return int(day / step) if step < day and day % step == pd.Timedelta(0) and day / step <= 1440 else 1


def _observed(table: Table, recipe: Recipe) -> list[NDArray[np.float64]]:
    """Each target in the rows before any that a proposal tests, which have no say in a choice."""
    rows = len(table.times) * 5 // 8
    return [np.asarray(table.values[target], np.float64)[:rows] for target in recipe.targets]


def _repeats(values: NDArray[np.float64], lag: int) -> float:
    """How much changes resemble those a season before: their autocorrelation; 0 of too short a series."""
    if len(values) < 3 * lag:
        return 0.0
    change = np.diff(values[-20000:])
    change = change - change.mean()
    spread = float((change**2).sum())
    return float((change[lag:] * change[:-lag]).sum() / spread) if spread > 0 else 0.0
