"""The figure of forecasts: what came before them, the truth as far as it is known, values and intervals."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from forecastlab.data.panel import Panel
from forecastlab.data.recipe import Recipe
from forecastlab.errors import ConfigError, did_you_mean
from forecastlab.figures.drawing import LIGHT, Theme, date_axis, legend, panel_title, panels_of, printable

MOST = 6
"""Panels of a figure unless series are named; of more there are three in a row."""
MOST_VALUES = 400
"""Forecast values of a series that are drawn, the last ones: more would be a dark band."""
_LOW = re.compile(r"forecast-lo-([\d.]+)")
_SHADES = (0.16, 0.28, 0.4)


def forecast_figure(
    panel: Panel,
    forecast: pd.DataFrame,
    *,
    series: Sequence[str] | None = None,
    history: int | None = None,
    among: int | None = None,
    choice: str = "series=[...] chooses others",
    theme: Theme = LIGHT,
) -> Figure:
    """Forecasts of series after the rows before them, as panels one above the other, or as small multiples.

    The truth is drawn as far as it is known. Of forecasts from many origins, those are drawn that do not overlap: the
    last one, the one that ends where it begins, and so on, at most `MOST_VALUES` values of a series.

    Args:
        panel: the series.
        forecast: one row per forecast value with the columns of `predictions.csv`, as `Network.forecast` gives it.
        series: names of the series; None for the first ones that have a forecast. A line says if that leaves any out.
        history: rows before the first forecast that is drawn; None for four horizons, and at least 30.
        among: number of series that have forecasts; None for those of the table, which may hold the first ones only.
        choice: the end of the line about series that are left out, which says how to choose others.
        theme: colours.

    Raises:
        ConfigError: for a series that has no forecast, or a history of less than a row.
    """
    if history is not None and history < 1:
        raise ConfigError(f"history must be a number of rows, 1 or more, got {history!r}")
    names = forecast["unique_id"].drop_duplicates().tolist()
    chosen = names if series is None else list(dict.fromkeys(series))
    require_series(chosen, names, "has no forecast")
    targets = forecast["target"].drop_duplicates().tolist()
    keys = [(name, target) for name in chosen for target in targets]
    shown = keys if series is not None else keys[: max(MOST, len(targets))]
    columns = 1 if len(shown) <= MOST else 3
    figure, panels = panels_of(len(shown), 0.9 + 1.7 * -(-len(shown) // columns), theme, columns=columns)
    levels = sorted((float(found[1]) for found in map(_LOW.fullmatch, forecast.columns) if found), reverse=True)
    if len(levels) > len(_SHADES):  # a fan of more cannot be told apart
        levels = [levels[0], levels[len(levels) // 2]]
    cut = 0
    for axes, key in zip(panels, shown, strict=True):
        rows = forecast[(forecast["unique_id"] == key[0]) & (forecast["target"] == key[1])]
        cut = max(cut, _draw(axes, panel, key, rows, history, levels, theme))
        panel_title(axes, f"{key[0]}: {key[1]}" if len(panel.names) > 1 else key[1], theme)
    for axes in panels[-columns:]:
        axes.set_xlabel(printable(_time_name(panel), 40))
    shades = [
        (f"{level:g} % interval", {"color": theme.series[1], "alpha": _shade(number, levels), "linewidth": 8})
        for number, level in enumerate(levels)
    ]
    lines: list[tuple[str, dict[str, Any]]] = [
        ("observed", {"color": theme.ink}),
        ("forecast", {"color": theme.series[1]}),
    ]
    legend(figure, [*lines, *shades], theme)
    notes = [f"the last {MOST_VALUES} values of the forecasts; {cut:,} before them are not drawn"] if cut else []
    few, many = len({name for name, _ in shown}), among or len(names)
    if series is None and few < many:
        notes.insert(0, f"{few} of {many:,} series; {choice}")
    if notes:
        figure.supxlabel("\n".join(notes), fontsize=9, color=theme.muted, x=0.02, ha="left")
    return figure


def require_series(chosen: Iterable[str], names: Sequence[str], lack: str = "is not in the data") -> None:
    """Raises ConfigError for the first series that is not among those of some names.

    Args:
        chosen: what was asked for.
        names: what there is.
        lack: what is said of a series that is not among them.
    """
    if missing := [name for name in chosen if name not in names]:
        there = f"{', '.join(names[:10])}{', ...' if names[10:] else ''}"
        raise ConfigError(f"series {missing[0]!r} {lack}{did_you_mean(missing[0], names)}; there are {there}")


def _shade(number: int, levels: Sequence[float]) -> float:
    """How dark an interval is: the widest one is the lightest."""
    return _SHADES[min(number, len(_SHADES) - 1)] if len(levels) > 1 else _SHADES[1]


class _Part(NamedTuple):
    """A piece of the forecast's line: one forecast, or many of a single step."""

    origin: int
    """The row of the axis from which its first value was forecast."""
    places: NDArray[np.int64]
    """(values,): the rows of the axis that its values are about."""
    rows: NDArray[np.int64]
    """(values,): where they are in the table."""


def _parts(panel: Panel, rows: pd.DataFrame) -> tuple[list[_Part], int, int]:
    """The forecasts of a series and target that do not overlap, from the last one back.

    Returns:
        The forecasts in order of time, the steps of the longest, and the number of values before them that are not
        drawn, since there are too many.
    """
    origins, places = (panel.labels.get_indexer(pd.Index(rows[name])) for name in ("cutoff", "ds"))
    order = np.lexsort((places, origins))
    every = np.split(order, np.flatnonzero(np.diff(origins[order])) + 1)
    kept: list[_Part] = []
    for one in reversed(every):
        if not kept or places[one[-1]] < kept[-1].places[0]:
            kept.append(_Part(int(origins[one[0]]), places[one], one))
    values = np.cumsum([len(part.rows) for part in kept])
    parts = kept[: max(1, int((values <= MOST_VALUES).sum()))][::-1]
    horizon = max(len(part.rows) for part in parts)
    if horizon == 1:  # a line for each would be a dash
        joined = (np.concatenate([getattr(part, name) for part in parts]) for name in ("places", "rows"))
        parts = [_Part(parts[0].origin, *joined)]
    return parts, horizon, int(values[-1]) - sum(len(part.rows) for part in parts)


def _draw(
    axes: Axes,
    panel: Panel,
    key: tuple[str, str],
    rows: pd.DataFrame,
    history: int | None,
    levels: Sequence[float],
    theme: Theme,
) -> int:
    """Draws one series and target; returns how many values of its forecasts are left out, since there are too many."""
    name, target = key
    parts, horizon, without = _parts(panel, rows)
    table = panel.tables[panel.names.index(name)]
    own = panel.times.get_indexer(table.times)
    truth = table.values[target].where(table.observed[target]).to_numpy(np.float64)
    count = max(4 * horizon, 30) if history is None else history
    first, stop = np.searchsorted(own, (parts[0].origin, parts[-1].places[-1]), side="right").tolist()
    shown = slice(max(first - count, 0), stop)
    clock = _clock(panel.labels)
    dots: dict[str, Any] = {"marker": ".", "markersize": 3} if shown.stop - shown.start <= 60 else {}
    axes.plot(clock[own[shown]], truth[shown], color=theme.ink, linewidth=1.1, **dots)
    # each part begins at the last value before it, which makes a line of a single step, and ends with a gap
    times = np.concatenate([[part.origin, *part.places, part.places[-1]] for part in parts])[:-1]
    last = dict(zip(own[: shown.stop].tolist(), truth.tolist(), strict=False))

    def line(column: str) -> NDArray[np.float64]:
        values = rows[column].to_numpy(np.float64)
        lines = [[last.get(part.origin, np.nan), *values[part.rows], np.nan] for part in parts]
        return np.concatenate(lines)[:-1]

    marked = np.concatenate([[False, *np.ones(len(part.rows), bool), False] for part in parts])[:-1].tolist()
    colour = theme.series[1]
    axes.plot(clock[times], line("forecast"), color=colour, linewidth=1.4, markevery=marked, **dots)
    for number, level in enumerate(levels):
        low, high = (line(f"forecast-{side}-{level:g}") for side in ("lo", "hi"))
        axes.fill_between(clock[times], low, high, color=colour, alpha=_shade(number, levels), linewidth=0)
    axes.margins(x=0.01)
    if pd.api.types.is_numeric_dtype(panel.labels):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    else:
        date_axis(axes.xaxis)
    return without


def _time_name(panel: Panel) -> str:
    """What the times are called: the columns that hold them, or "row" where rows are counted."""
    if pd.api.types.is_numeric_dtype(panel.labels):
        return "row"
    return " ".join(Recipe.from_dict(panel.schema.recipe).time_columns)


def _clock(labels: "pd.Index[Any]") -> Any:
    """Where times are on an axis: as they are read on the clocks of their zone, since matplotlib draws in UTC."""
    if isinstance(labels, pd.DatetimeIndex):
        return labels.tz_localize(None).to_numpy()
    return labels.to_numpy()
