"""Figures of explanations, in the style of `forecastlab.evaluation.figures`."""

from collections.abc import Mapping
from typing import Any

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from forecastlab.explanation.attention import Attention
from forecastlab.figures.drawing import LIGHT, WIDTH, Theme, date_axis, dress, legend, panel_title, printable

Floats = NDArray[np.float64]

HEADS = 4
"""The largest number of heads that are drawn one by one. If there are more, their mean is drawn."""
BARS = 16
"""The largest number of features in a figure; the most important ones are drawn."""


def signals_over_time(
    rows: pd.DataFrame,
    signals: Mapping[str, Floats],
    *,
    target: str,
    place: str,
    of_steps: bool = False,
    theme: Theme = LIGHT,
) -> Figure:
    """Forecasts and the truth over time. Below, each signal has a heat map of all units and their mean.

    Units have no order of their own, and are sorted by their mean over the origins.

    Args:
        rows: one per origin with the columns `cutoff`, `ds`, `y` and `forecast`.
        signals: (origins, units) each, by name. Signals between 0 and 1, such as gates, share a scale.
        target: name of the target.
        place: their place in the network.
        of_steps: whether signals have a value for each step of the horizon in place of units; these keep their order.
        theme: colours.
    """
    heights = [1.3, *[height for _ in signals for height in (1.0, 0.5)]]
    figure = Figure(figsize=(WIDTH, 1.0 + 1.2 * sum(heights)), layout="constrained", facecolor=theme.paper)
    grid = figure.add_gridspec(len(heights), 2, width_ratios=(1, 0.025), height_ratios=heights)
    top = _panel(figure, grid[0, 0], theme)
    forecast: dict[str, Any] = {"color": theme.series[1]}
    mean: dict[str, Any] = {"color": theme.series[0]}
    band: dict[str, Any] = {**mean, "alpha": 0.2, "linewidth": 0}
    rows_of = "steps of the horizon" if of_steps else "units"
    top.plot(rows["ds"], rows["y"], color=theme.ink, linewidth=1.0)
    top.plot(rows["ds"], rows["forecast"], linewidth=1.2, **forecast)
    panel_title(top, f"{target}; below: {place}", theme)
    top.tick_params(axis="x", labelbottom=False)
    below = top
    for number, (name, values) in enumerate(signals.items()):
        line = 1 + 2 * number
        above, below = (_panel(figure, grid[line + more, 0], theme, top) for more in (0, 1))
        units = values.shape[1]
        order = np.arange(units) if of_steps else np.argsort(values.mean(0), kind="stable")
        ordered = values[:, order].T
        mesh = _mesh(above, _numbers(rows["cutoff"]), np.arange(1, units + 1), ordered, **_colours(values))
        above.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        _bar(figure, grid[line, 1], mesh, name, theme)
        by = "" if of_steps else ", sorted by their mean"
        panel_title(above, f"{name}, {units} {rows_of}{by}" if units > 1 else name, theme)
        low, high = np.quantile(values, (0.1, 0.9), 1)
        below.fill_between(rows["cutoff"], low, high, **band)
        below.plot(rows["cutoff"], values.mean(1), linewidth=1.2, **mean)
        below.yaxis.set_major_locator(MaxNLocator(3))
        for axes in (above, below):
            axes.tick_params(axis="x", labelbottom=False)
    below.tick_params(axis="x", labelbottom=True)
    below.set_xlim(rows["cutoff"].iloc[0], rows["ds"].iloc[-1])
    date_axis(below.xaxis)
    below.set_xlabel("forecast origin")
    entries = [("observed", {"color": theme.ink}), ("forecast", forecast)]
    entries += [(f"mean of the {rows_of}", mean), ("10 to 90 % of them", {**band, "linewidth": 8})]
    legend(figure, entries, theme)
    return figure


def attention_map(cutoff: pd.Series, attention: Attention, *, name: str, theme: Theme = LIGHT) -> Figure:
    """Attention weights as a heat map of forecast origins by past steps. Below, the mean weight by distance.

    Args:
        cutoff: (origins,): the times of the origins.
        attention: the weights.
        name: the part that attends.
        theme: colours.
    """
    heads, means, last, maps = list(attention.heads), attention.by_lag(), attention.last(), attention.weights
    if len(heads) > HEADS:
        heads, maps = [f"mean of {len(heads)} {heads[0].partition(' ')[0]}s"], maps.mean(1, keepdims=True)
        means, last = (table.mean(axis=1).to_frame(heads[0]) for table in (means, last))
    heights = [2.2 if len(heads) == 1 else 1.5] * len(heads)
    figure = Figure(figsize=(WIDTH, 2.8 + 1.2 * sum(heights)), layout="constrained", facecolor=theme.paper)
    grid = figure.add_gridspec(len(heads) + 1, 2, width_ratios=(1, 0.025), height_ratios=[*heights, 1.5])
    for number, head in enumerate(heads):
        axes = _panel(figure, grid[number, 0], theme)
        axes.grid(visible=False)
        seen = np.where(maps[:, number] > 0, maps[:, number], np.nan)
        colours = {"cmap": "viridis", "vmin": 0.0, "vmax": _outer(seen)}
        if attention.steps is None:
            mesh = _mesh(axes, attention.present[0] - np.arange(maps.shape[2]), _numbers(cutoff), seen, **colours)
            axes.invert_xaxis()
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            across = "steps back"
        else:
            mesh = _mesh(axes, _numbers(attention.steps), _numbers(cutoff), seen, **colours)
            date_axis(axes.xaxis)
            across = "time that is looked at"
        axes.invert_yaxis()
        date_axis(axes.yaxis)
        _bar(figure, grid[number, 1], mesh, "weight", theme)
        panel_title(axes, f"{name}{'' if heads == ['head 1'] else f', {head}'}: weight at each origin", theme)
        if number == len(heads) - 1:
            axes.set_xlabel(across)
    below = _panel(figure, grid[len(heads), 0], theme)
    means = means.loc[: _furthest(means.sum(axis=1))]
    last = last.loc[: means.index[-1]]
    for head, colour in zip(heads, theme.series, strict=False):
        below.plot(means.index, means[head], color=colour, linewidth=1.4)
        below.plot(last.index, last[head], color=colour, linewidth=0.8, linestyle=(0, (1, 1.2)))
    below.set_ylim(bottom=0)
    below.invert_xaxis()
    below.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    below.set_xlabel("steps back")
    panel_title(below, "weight by the distance from the origin", theme)
    entries: list[tuple[str, dict[str, Any]]] = [
        ("mean over origins", {"color": theme.muted}),
        ("last origin", {"color": theme.muted, "linestyle": (0, (1, 1.2))}),
    ]
    heads_of = [(head, {"color": colour}) for head, colour in zip(heads, theme.series, strict=False)]
    legend(figure, [*entries, *(heads_of if len(heads) > 1 else [])], theme)
    return figure


def importance(features: pd.DataFrame, groups: pd.DataFrame, *, value: str, label: str, theme: Theme = LIGHT) -> Figure:
    """Bars of the most important features, and of groups of features if there are any.

    Args:
        features: one row per feature, in any order.
        groups: one row per group; may be empty.
        value: the column that is drawn. The column `<value>_std`, if it exists, gives the error bars.
        label: label of its axis.
        theme: colours.
    """
    tables = [("features", features)] + ([("groups, all members together", groups)] if len(groups) else [])
    chosen = [(name, table.sort_values(value, ascending=False).head(BARS)) for name, table in tables]
    heights = [len(table) + 1.5 for _, table in chosen]
    figure = Figure(figsize=(WIDTH, 0.7 + 0.2 * sum(heights)), layout="constrained", facecolor=theme.paper)
    panels = np.atleast_1d(figure.subplots(len(chosen), 1, height_ratios=heights))
    for axes, (name, table), (_, whole), colour in zip(panels, chosen, tables, theme.series, strict=False):
        dress(axes, theme)
        deviation = table.get(f"{value}_std")
        places = range(len(table))
        axes.barh(places, table[value], height=0.7, color=colour)
        if deviation is not None:
            axes.errorbar(table[value], places, xerr=deviation, fmt="none", ecolor=theme.ink, elinewidth=0.9, capsize=2)
        axes.axvline(0, color=theme.ink, linewidth=0.9)
        axes.grid(visible=False, axis="y")
        axes.set_yticks(places, [printable(str(name), 20) for name in table.index])
        axes.tick_params(axis="y", length=0, labelcolor=theme.ink)
        axes.invert_yaxis()
        more = f", the {len(table)} largest of {len(whole)}" if len(table) < len(whole) else ""
        panel_title(axes, f"{name}{more}", theme)
    spread = "" if f"{value}_std" not in features else "\nlines: standard deviation over the repetitions"
    figure.supxlabel(printable(label, 60) + spread, fontsize=9, color=theme.muted)
    return figure


def by_lag(values: pd.Series, *, label: str, theme: Theme = LIGHT) -> Figure:
    """A line over the distance from the origin, which is on the right.

    Args:
        values: the values, indexed by the number of steps back.
        label: label of the vertical axis.
        theme: colours.
    """
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained", facecolor=theme.paper)
    axes = figure.subplots()
    dress(axes, theme)
    values = values.loc[: _furthest(values)]
    axes.plot(values.index, values, color=theme.series[0], linewidth=1.4, marker="." if len(values) < 40 else None)
    axes.set_ylim(bottom=0)
    axes.invert_xaxis()
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("steps back")
    panel_title(axes, label, theme)
    return figure


def _panel(figure: Figure, place: SubplotSpec, theme: Theme, above: Axes | None = None) -> Axes:
    axes = figure.add_subplot(place, sharex=above)
    dress(axes, theme)
    return axes


def _colours(values: Floats) -> dict[str, Any]:
    """Colours of gates and states: one scale for all values between 0 and 1, one around 0 for those of both signs."""
    outer = _outer(values)
    if values.min() < 0:
        return {"cmap": "RdBu_r", "vmin": -outer, "vmax": outer}
    return {"cmap": "viridis", "vmin": 0.0, "vmax": 1.0 if values.max() <= 1 else outer}


def _outer(values: Floats) -> float:
    """The end of a colour scale, chosen so that a few peaks do not make the rest pale."""
    return max(float(np.nanquantile(np.abs(values), 0.995)), 1e-12)


def _mesh(axes: Axes, x: Floats, y: Floats, values: Floats, **colours: Any) -> QuadMesh:
    """Values (y, x) as a heat map. A cell reaches half the way to the next value, also across a missing step."""
    return axes.pcolormesh(_edges(x), _edges(y), values, rasterized=True, **colours)


def _furthest(values: pd.Series) -> int:
    """The lag that holds nearly all of the values before it; further lags would only compress the figure."""
    shares = values.cumsum() / max(float(values.sum()), 1e-300)
    return max(int((shares < 0.999).sum()) + 1, 10)


def _edges(centres: Floats) -> Floats:
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _bar(figure: Figure, place: SubplotSpec, mesh: QuadMesh, label: str, theme: Theme) -> None:
    """The colour bar of a heat map. It has its own place, so that all panels are equally wide."""
    axes = figure.add_subplot(place)
    bar = figure.colorbar(mesh, cax=axes)
    bar.outline.set_visible(False)
    bar.set_label(printable(label, 24), fontsize=8, color=theme.muted)
    axes.tick_params(labelsize=7, labelcolor=theme.muted, color=theme.grid)
    axes.yaxis.set_major_locator(MaxNLocator(3))


def _numbers(times: pd.Series | pd.DatetimeIndex) -> Floats:
    return np.asarray(mdates.date2num(np.asarray(times)))  # type: ignore[no-untyped-call]  # it has no types
