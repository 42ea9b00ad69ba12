"""The figure of a forecast: what came before it, its values and its intervals, a panel for each series."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from forecastlab.data.panel import Panel
from forecastlab.errors import ConfigError
from forecastlab.figures.drawing import LIGHT, Theme, date_axis, legend, panel_title, panels_of

MOST = 6
"""Panels of a figure unless series are named; of more there are three in a row."""
_LOW = re.compile(r"forecast-lo-([\d.]+)")
_SHADES = (0.16, 0.28, 0.4)


def forecast_figure(
    panel: Panel,
    forecast: pd.DataFrame,
    *,
    series: Sequence[str] | None = None,
    history: int | None = None,
    choice: str = "series=[...]",
    theme: Theme = LIGHT,
) -> Figure:
    """The last rows of series, and their forecasts, as panels one above the other, or as small multiples.

    Args:
        panel: the series.
        forecast: one row per forecast value, as `Network.forecast` gives it.
        series: names of the series; None for the first ones that have a forecast. A line says if that leaves any out.
        history: rows before the forecast; None for four horizons, and at least 30.
        choice: what chooses series, for the line that says that some are left out.
        theme: colours.

    Raises:
        ConfigError: for a series that has no forecast, or a history of less than a row.
    """
    if history is not None and history < 1:
        raise ConfigError(f"history must be a number of rows, 1 or more, got {history!r}")
    groups = {
        (str(name), str(target)): rows for (name, target), rows in forecast.groupby(["unique_id", "target"], sort=False)
    }
    names = list(dict.fromkeys(name for name, _ in groups))
    chosen = names if series is None else list(series)
    if missing := [name for name in chosen if name not in names]:
        raise ConfigError(
            f"series {missing[0]!r} has no forecast; there are {', '.join(names[:10])}{', ...' if names[10:] else ''}"
        )
    targets = list(dict.fromkeys(forecast["target"]))
    keys = [(name, target) for name in chosen for target in targets]
    shown = keys if series is not None else keys[: max(MOST, len(targets))]
    columns = 1 if len(shown) <= MOST else 3
    figure, panels = panels_of(len(shown), 0.7 + 1.7 * -(-len(shown) // columns), theme, columns=columns)
    levels = sorted((float(found[1]) for found in map(_LOW.fullmatch, forecast.columns) if found), reverse=True)
    if len(levels) > len(_SHADES):  # a fan of more cannot be told apart
        levels = [levels[0], levels[len(levels) // 2]]
    for axes, key in zip(panels, shown, strict=True):
        _draw(axes, panel, key, groups[key], history, levels, theme)
        many = len(panel.names) > 1
        panel_title(axes, f"{key[0]}: {key[1]}" if many else str(key[1]), theme)
    shades = [
        (f"{level:g} % interval", {"color": theme.series[1], "alpha": _shade(number, levels), "linewidth": 8})
        for number, level in enumerate(levels)
    ]
    lines: list[tuple[str, dict[str, Any]]] = [
        ("observed", {"color": theme.ink}),
        ("forecast", {"color": theme.series[1]}),
    ]
    legend(figure, [*lines, *shades], theme)
    left = len(dict.fromkeys(names)) - len(dict.fromkeys(name for name, _ in shown))
    if series is None and left:
        text = f"{len(names) - left} of {len(names)} series; {choice} chooses others"
        figure.supxlabel(text, fontsize=9, color=theme.muted, x=0.02, ha="left")
    return figure


def _shade(number: int, levels: Sequence[float]) -> float:
    """How dark an interval is: the widest one is the lightest."""
    return _SHADES[min(number, len(_SHADES) - 1)] if len(levels) > 1 else _SHADES[1]


def _draw(
    axes: Axes,
    panel: Panel,
    key: tuple[str, str],
    rows: pd.DataFrame,
    history: int | None,
    levels: Sequence[float],
    theme: Theme,
) -> None:
    """One series and target."""
    name, target = key
    table = panel.tables[panel.names.index(name)]
    count = max(4 * len(rows), 30) if history is None else history
    past = table.values[target].where(table.observed[target]).iloc[-count:]
    labels = panel.labels[panel.times.get_indexer(pd.Index(table.times[-count:]))]
    dots: dict[str, Any] = {"marker": ".", "markersize": 3} if len(past) <= 60 else {}
    axes.plot(_places(labels), past.to_numpy(), color=theme.ink, linewidth=1.1, **dots)
    ahead, colour = _places(pd.Index(rows["ds"])), theme.series[1]
    last = past.iloc[-1]
    if not np.isnan(last):  # joins the two, and makes a line of a single step
        ahead = np.concatenate([_places(labels[-1:]), ahead])
    start = [] if np.isnan(last) else [last]
    axes.plot(
        ahead, [*start, *rows["forecast"]], color=colour, linewidth=1.4, markevery=slice(len(start), None), **dots
    )
    for number, level in enumerate(levels):
        low, high = ([*start, *rows[f"forecast-{side}-{level:g}"]] for side in ("lo", "hi"))
        axes.fill_between(ahead, low, high, color=colour, alpha=_shade(number, levels), linewidth=0)
    axes.margins(x=0.01)
    if pd.api.types.is_numeric_dtype(labels):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    else:
        date_axis(axes.xaxis)


def _places(labels: "pd.Index[Any]") -> Any:
    """Where times are on an axis: as they are read on the clocks of their zone, since matplotlib draws in UTC."""
    if isinstance(labels, pd.DatetimeIndex):
        return labels.tz_localize(None).to_numpy()
    return labels.to_numpy()
