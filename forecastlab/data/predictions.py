"""Forecasts as a table."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from forecastlab.batch import Prediction

_QUANTILE = re.compile(r"forecast-(lo|hi|q)-([\d.]+)")


def predictions_table(
    names: Sequence[str],
    times: "pd.Index[Any]",
    targets: Sequence[str],
    levels: Sequence[float],
    forecasts: Prediction,
) -> pd.DataFrame:
    """Forecasts with the columns of `predictions.csv`: one row per series, target, origin and step, in this order.

    The columns are `unique_id, target, ds, cutoff, y, forecast`, then for each two levels that lie symmetrically around
    0.5 the interval `forecast-lo-90, forecast-hi-90`, and for every other level but 0.5 `forecast-q-10`; numbers are
    percent.

    Args:
        names: the series' names.
        times: (rows + horizon,): the axis, as `Panel.labels` has it.
        targets: names of the targets.
        levels: probability levels of the quantiles.
        forecasts: the forecasts, in any order; one that is there twice counts once.
    """
    origins = forecasts.index.shape[1]
    series = np.repeat(forecasts.series.numpy(), origins)
    index, forecast, target, weight, quantiles = (_flat(part) for part in forecasts[1:])
    order = np.lexsort((index, series))
    first = np.ones(len(order), dtype=bool)  # padding repeats the last origin of a series
    first[1:] = (np.diff(series[order]) != 0) | (np.diff(index[order]) != 0)
    order = order[first]
    series, index, forecast, target, weight, quantiles = (
        values[order] for values in (series, index, forecast, target, weight, quantiles)
    )
    horizon = forecast.shape[1]
    steps = np.arange(1, horizon + 1)
    frames = []
    for number, name in enumerate(targets):
        columns = {
            "unique_id": np.repeat(np.array(names, dtype=object)[series], horizon),
            "target": name,
            "ds": times[(index[:, None] + steps).ravel()],
            "cutoff": np.repeat(times[index], horizon),
            "y": np.where(weight[..., number] > 0, target[..., number], np.nan).ravel(),
            "forecast": forecast[..., number].ravel(),
        }
        columns |= {label: quantiles[..., number, level].ravel() for label, level in quantile_columns(levels).items()}
        frames.append(pd.DataFrame(columns))
    if len(frames) == 1:
        return frames[0]
    table = pd.concat(frames, ignore_index=True)
    if len(names) == 1:
        return table
    together = np.argsort(np.tile(np.repeat(series, horizon), len(targets)), kind="stable")
    return table.iloc[together].reset_index(drop=True)


def quantile_columns(levels: Sequence[float]) -> dict[str, int]:
    """Names of the columns that quantiles are written to, and the position of each one's level."""
    columns = {}
    for position, level in enumerate(levels):
        pair = next((other for other in levels if math.isclose(other, 1 - level, abs_tol=1e-6)), None)
        if math.isclose(level, 0.5, abs_tol=1e-6):
            continue
        if pair is None:
            columns[f"forecast-q-{100 * level:g}"] = position
        else:
            side = "lo" if level < 0.5 else "hi"
            columns[f"forecast-{side}-{round(100 * abs(pair - level), 6):g}"] = position
    return columns


def column_levels(columns: Iterable[str]) -> dict[str, float]:
    """The probability levels of the columns that `quantile_columns` names, ascending; other columns are left out.

    Args:
        columns: names of a table's columns.
    """
    found = {}
    for name in columns:
        if match := _QUANTILE.fullmatch(name):
            side, number = match[1], float(match[2]) / 100
            found[name] = number if side == "q" else 0.5 - number / 2 if side == "lo" else 0.5 + number / 2
    return dict(sorted(found.items(), key=lambda one: one[1]))


def _flat(values: Tensor) -> NDArray[Any]:
    """(batch, origins, ...) -> (batch * origins, ...)."""
    return values.flatten(0, 1).numpy()
