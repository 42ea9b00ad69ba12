"""Fans: what came before forecasts of a series, the truth as far as it is known, values and nested intervals."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from forecastlab.figures.drawing import Theme, time_axis

MOST_LEVELS = 3
"""Intervals of a fan; more could not be told apart."""
_LOW = re.compile(r"forecast-lo-([\d.]+)")
_SHADES = (0.16, 0.28, 0.4)


@dataclass(frozen=True)
class Truth:
    """A target of a series, as far as it is known.

    Attributes:
        axis: the times of all rows, those that are forecast among them; or the numbers of rows that are counted.
        places: (values,): the rows of the axis that have a value, ascending.
        values: (values,): NaN where one is missing.
    """

    axis: "pd.Index[Any]"
    places: NDArray[np.int64]
    values: NDArray[np.float64]


def interval_levels(columns: Iterable[str]) -> list[float]:
    """The intervals of a table of predictions that are drawn, in percent, the widest first.

    Of more than `MOST_LEVELS` they are the widest and the one in the middle.

    Args:
        columns: names of the table's columns.
    """
    levels = sorted((float(found[1]) for found in map(_LOW.fullmatch, columns) if found), reverse=True)
    return levels if len(levels) <= MOST_LEVELS else [levels[0], levels[len(levels) // 2]]


def fan_entries(levels: Sequence[float], observed: str, colour: str) -> list[tuple[str, dict[str, Any]]]:
    """The lines of a legend.

    Args:
        levels: the intervals, from `interval_levels`.
        observed: colour of the truth.
        colour: of the forecasts.
    """
    shades = [
        (f"{level:g} % interval", {"color": colour, "alpha": _shade(number, levels), "linewidth": 8})
        for number, level in enumerate(levels)
    ]
    return [("observed", {"color": observed}), ("forecast", {"color": colour}), *shades]


def draw_fans(
    axes: Axes,
    truth: Truth,
    rows: pd.DataFrame,
    levels: Sequence[float],
    *,
    history: int | None,
    most: int,
    colour: str,
    theme: Theme,
) -> int:
    """Draws the forecasts of one target of a series that do not overlap, from the last one back.

    Args:
        axes: where to.
        truth: the target.
        rows: one row per forecast value with the columns `cutoff`, `ds`, `forecast` and those of the intervals.
        levels: the intervals, from `interval_levels`.
        history: rows before the first forecast that is drawn; None for four horizons, and at least 30.
        most: values of the forecasts that are drawn, the last ones.
        colour: of the forecasts.
        theme: the other colours.

    Returns:
        How many values of the forecasts are left out, since there are too many.
    """
    parts, horizon, without = _parts(truth.axis, rows, most)
    count = max(4 * horizon, 30) if history is None else history
    first, stop = np.searchsorted(truth.places, (parts[0].origin, parts[-1].places[-1]), side="right").tolist()
    shown = slice(max(first - count, 0), stop)
    clock = _clock(truth.axis)
    dots: dict[str, Any] = {"marker": ".", "markersize": 3} if shown.stop - shown.start <= 60 else {}
    axes.plot(clock[truth.places[shown]], truth.values[shown], color=theme.ink, linewidth=1.1, **dots)
    # each part begins at the last value before it, which makes a line of a single step, and ends with a gap
    times = np.concatenate([[part.origin, *part.places, part.places[-1]] for part in parts])[:-1]
    last = dict(zip(truth.places[:stop].tolist(), truth.values.tolist(), strict=False))

    def line(column: str) -> NDArray[np.float64]:
        values = rows[column].to_numpy(np.float64)
        lines = [[last.get(part.origin, np.nan), *values[part.rows], np.nan] for part in parts]
        return np.concatenate(lines)[:-1]

    marked = np.concatenate([[False, *np.ones(len(part.rows), bool), False] for part in parts])[:-1].tolist()
    axes.plot(clock[times], line("forecast"), color=colour, linewidth=1.4, markevery=marked, **dots)
    for number, level in enumerate(levels):
        low, high = (line(f"forecast-{side}-{level:g}") for side in ("lo", "hi"))
        axes.fill_between(clock[times], low, high, color=colour, alpha=_shade(number, levels), linewidth=0)
    axes.margins(x=0.01)
    time_axis(axes.xaxis, truth.axis)
    return without


class _Part(NamedTuple):
    """A piece of the forecast's line: one forecast, or many of a single step."""

    origin: int
    """The row of the axis from which its first value was forecast."""
    places: NDArray[np.int64]
    """(values,): the rows of the axis that its values are about."""
    rows: NDArray[np.int64]
    """(values,): where they are in the table."""


def _parts(axis: "pd.Index[Any]", rows: pd.DataFrame, most: int) -> tuple[list[_Part], int, int]:
    """The forecasts of a series and target that do not overlap, from the last one back.

    Returns:
        The forecasts in order of time, the steps of the longest, and the number of values before them that are not
        drawn, since there are more than `most`.
    """
    origins, places = (axis.get_indexer(pd.Index(rows[name])) for name in ("cutoff", "ds"))
    order = np.lexsort((places, origins))
    every = np.split(order, np.flatnonzero(np.diff(origins[order])) + 1)
    kept: list[_Part] = []
    for one in reversed(every):
        if not kept or places[one[-1]] < kept[-1].places[0]:
            kept.append(_Part(int(origins[one[0]]), places[one], one))
    values = np.cumsum([len(part.rows) for part in kept])
    parts = kept[: max(1, int((values <= most).sum()))][::-1]
    horizon = max(len(part.rows) for part in parts)
    if horizon == 1:  # a line for each would be a dash
        joined = (np.concatenate([getattr(part, name) for part in parts]) for name in ("places", "rows"))
        parts = [_Part(parts[0].origin, *joined)]
    return parts, horizon, int(values[-1]) - sum(len(part.rows) for part in parts)


def _shade(number: int, levels: Sequence[float]) -> float:
    """How dark an interval is: the widest one is the lightest."""
    return _SHADES[number] if len(levels) > 1 else _SHADES[1]


def _clock(axis: "pd.Index[Any]") -> Any:
    """Where times are on an axis: as they are read on the clocks of their zone, since matplotlib draws in UTC."""
    if isinstance(axis, pd.DatetimeIndex):
        return axis.tz_localize(None).to_numpy()
    return axis.to_numpy()
