"""Figures of results: matplotlib `Figure` objects, made without pyplot's global state.

`forecastlab.figures.drawing` has their look. Every function takes a `Theme`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, MaxNLocator

from forecastlab.data.folds import Fold
from forecastlab.figures.drawing import (
    DASHES,
    LIGHT,
    MARKERS,
    WIDTH,
    Theme,
    dress,
    is_wide,
    legend,
    log_axis,
    panel_title,
    panels_of,
    printable,
    styles,
    time_axis,
)


def loss_curves(
    curves: Mapping[str, Sequence[pd.DataFrame]],
    *,
    log: bool | None = None,
    validation: str = "validation",
    order: Sequence[str] = (),
    theme: Theme = LIGHT,
) -> Figure:
    """Training loss above, validation loss below, against the epoch; a dot marks the lowest validation loss.

    Args:
        curves: by model one table per seed with the columns `epoch`, `train/loss` and `val/loss` (empty where nothing
            was logged). With several seeds the line is their mean and the band spans them.
        log: whether the losses have a logarithmic axis; None decides by their range.
        validation: what the lower panel is called; "test" under the paper's protocol.
        order: see `styles`.
        theme: colours.
    """
    figure, panels = panels_of(2, 4.8, theme, sharex=True)
    losses = {name: [_seeds(tables, name) for tables in curves.values()] for name in ("train/loss", "val/loss")}
    if log is None:
        log = is_wide(losses["train/loss"] + losses["val/loss"])
    look = styles(list(curves), order, theme)
    titles = ("training loss (scaled units)", f"{validation} loss (scaled units)")
    for axes, title, (name, models) in zip(panels, titles, losses.items(), strict=True):
        for style, table in zip(look, models, strict=True):
            mean = table.mean(axis=1)
            axes.plot(mean.index, mean, linewidth=1.4, **style)
            if table.shape[1] > 1:
                axes.fill_between(table.index, table.min(axis=1), table.max(axis=1), color=style["color"], alpha=0.18)
            if name == "val/loss" and len(mean):
                lowest = mean.nsmallest(1)
                axes.plot(lowest.index, lowest, "o", color=style["color"], markersize=5, markeredgecolor=theme.paper)
        panel_title(axes, title + (", log scale" if log else ""), theme)
        if log:
            log_axis(axes)
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    legend(figure, zip(curves, look, strict=True), theme)
    return figure


def forecasts(
    rows: pd.DataFrame,
    models: Sequence[str],
    *,
    target: str,
    unit: str = "",
    order: Sequence[str] = (),
    theme: Theme = LIGHT,
) -> Figure:
    """Forecasts and the truth over time above, the errors below.

    Args:
        rows: one row per time with the columns `ds`, `y` and one per model, in the target's unit.
        models: the columns to draw; the last one, if there are several, is the reference and drawn faintly.
        target: name of the target.
        unit: its unit.
        order: see `styles`.
        theme: colours.
    """
    figure, (above, below) = panels_of(2, 4.6, theme, sharex=True, ratios=(3, 2))
    rows = rows.sort_values("ds")
    observed: dict[str, Any] = {"color": theme.ink, "linestyle": "-"}
    handles = [("observed", observed)]
    above.plot(rows["ds"], rows["y"], linewidth=1.1, **observed)
    below.axhline(0, color=theme.ink, linewidth=0.9)
    for number, (model, look) in enumerate(zip(models, styles(models, order, theme), strict=True)):
        reference = number == len(models) - 1 > 0
        style = {"color": theme.muted, "linestyle": DASHES[2]} if reference else look
        width = 1.0 if reference else 1.4
        above.plot(rows["ds"], rows[model], linewidth=width, **style, zorder=1.5 if reference else 2.5)
        below.plot(rows["ds"], rows[model] - rows["y"], linewidth=width, **style, zorder=1.5 if reference else 2.5)
        handles.append((model, style))
    panel_title(above, _with_unit(target, unit), theme)
    panel_title(below, _with_unit("forecast minus observed", unit), theme)
    time_axis(below.xaxis, rows["ds"])
    below.set_xlabel("time of the forecast value")
    legend(figure, handles, theme)
    return figure


def error_by_month(errors: pd.DataFrame, *, label: str, order: Sequence[str] = (), theme: Theme = LIGHT) -> Figure:
    """The mean error in each calendar month of the forecast value.

    Args:
        errors: (rows, models), with a level `ds` in the index, as `Comparison.errors` gives it.
        label: of the error's axis, with its unit.
        order: see `styles`.
        theme: colours.
    """
    months = pd.DatetimeIndex(errors.index.get_level_values("ds")).month
    table = errors.groupby(months).mean().reindex(range(1, 13))
    figure = _lines(table, label, "month of the forecast value", order, theme)
    axes = figure.axes[0]
    axes.set_xticks(range(1, 13), list("JFMAMJJASOND"))
    found = table.dropna(how="all").index
    axes.set_xlim(found.min() - 0.4, found.max() + 0.4)
    return figure


def error_by_step(errors: pd.DataFrame, *, label: str, order: Sequence[str] = (), theme: Theme = LIGHT) -> Figure:
    """The mean error at each step of the horizon.

    Args:
        errors: (rows, models), with a level `step` in the index.
        label: of the error's axis, with its unit.
        order: see `styles`.
        theme: colours.
    """
    figure = _lines(errors.groupby(level="step").mean(), label, "steps ahead of the origin", order, theme)
    figure.axes[0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def error_per_fold(
    values: pd.DataFrame,
    *,
    label: str,
    reference: str | None = None,
    order: Sequence[str] = (),
    theme: Theme = LIGHT,
) -> Figure:
    """One panel per fold: a bar per model, or a dot on a logarithmic axis if the longest bar would hide the others.

    Args:
        values: (models, folds).
        label: of the error's axis, with its unit.
        reference: a model that gets a line through all bars.
        order: see `styles`.
        theme: colours.
    """
    columns = min(3, values.shape[1])
    look = styles([str(name) for name in values.index], order, theme)
    lines = -(-values.shape[1] // columns)
    height = lines * (0.62 + 0.22 * len(values)) + 0.5
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=theme.paper)
    panels = np.atleast_1d(figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)).ravel()
    places = range(len(values))
    log = is_wide([values])
    for panel in panels[values.shape[1] :]:
        panel.remove()
    for number, (axes, fold) in enumerate(zip(panels, values.columns, strict=False)):
        dress(axes, theme)
        colors = [style["color"] for style in look]
        if log:
            axes.scatter(values[fold], places, color=colors, s=24)
        else:
            axes.barh(places, values[fold], height=0.7, color=colors)
        if reference is not None and reference in values.index:
            axes.axvline(values.loc[reference, fold], color=theme.ink, linewidth=0.9, linestyle=DASHES[1])
        axes.grid(visible=False, axis="y")
        axes.set_yticks(places, [printable(str(name), 20) for name in values.index])
        axes.tick_params(axis="y", length=0, labelcolor=theme.ink)
        axes.tick_params(axis="x", labelbottom=number + columns >= values.shape[1])
        if not log:
            axes.xaxis.set_major_locator(AutoLocator() if columns == 1 else MaxNLocator(2))
            axes.xaxis.set_major_formatter("{x:g}")
        panel_title(axes, f"fold {fold}", theme)
    if log:
        log_axis(panels[0], "x", narrow=columns > 1)
    panels[0].invert_yaxis()
    line = f"\ndashed: {printable(reference, 28)}" if reference is not None and reference in values.index else ""
    figure.supxlabel(printable(label, 60) + (", log scale" if log else "") + line, fontsize=9, color=theme.muted)
    return figure


def error_over_series(errors: pd.DataFrame, *, label: str, order: Sequence[str] = (), theme: Theme = LIGHT) -> Figure:
    """How many series have an error of which size: a histogram per model, and a mark at each median.

    Args:
        errors: (series, models)
        label: name and unit of the error.
        order: see `styles`.
        theme: colours.
    """
    figure, (axes,) = panels_of(1, 3.4, theme)
    finite = errors.replace([np.inf, -np.inf], np.nan)
    wide = is_wide([finite])
    low, high = float(finite.min().min()), float(finite.max().max())
    count = min(40, max(8, round(2 * len(errors) ** 0.5)))
    edges = np.geomspace(low, high, count + 1) if wide else np.linspace(low, high + (low == high), count + 1)
    entries = []
    for model, style in zip(errors.columns, styles(list(errors.columns), order, theme), strict=True):
        values = finite[model].dropna()
        axes.hist(
            values, edges.tolist(), histtype="step", linewidth=1.6, color=style["color"], linestyle=style["linestyle"]
        )
        axes.axvline(float(values.median()), linewidth=1.0, ymax=0.06, **style)
        entries.append((f"{model}, median {values.median():.3g}", style))
    if wide:
        log_axis(axes, "x")
    axes.set_xlabel(printable(label, 60))
    panel_title(axes, "number of series", theme)
    legend(figure, entries, theme)
    return figure


def split_diagram(folds: Sequence[Fold], *, theme: Theme = LIGHT) -> Figure:
    """Which target rows fit, validate and test in each walk-forward fold."""
    figure, (axes,) = panels_of(1, 0.95 + 0.42 * len(folds), theme)
    parts: list[tuple[Literal["fit", "validation", "test"], str]] = [
        ("fit", theme.series[0]),
        ("validation", theme.series[4]),
        ("test", theme.series[1]),
    ]
    for place, fold in enumerate(folds):
        for name, color in parts:
            rows = getattr(fold, name)
            peeked = name == "validation" and fold.validation == fold.test
            if not peeked:
                axes.barh(place, len(rows), left=rows.start, height=0.62, color=color)
    axes.set_yticks(range(len(folds)), [f"fold {number}" for number in range(1, len(folds) + 1)])
    axes.tick_params(axis="y", length=0, labelcolor=theme.ink)
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()
    axes.set_xlabel("row of the target")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    same = any(fold.validation == fold.test for fold in folds)
    names = {"fit": "fit", "test": "validation = test"} if same else {name: name for name, _ in parts}
    handles = [(names[name], {"color": color, "linewidth": 6}) for name, color in parts if name in names]
    legend(figure, handles, theme)
    return figure


def _lines(table: pd.DataFrame, label: str, below: str, order: Sequence[str], theme: Theme) -> Figure:
    """One line per column against the index, on a logarithmic axis if one model would press all others together."""
    figure, (axes,) = panels_of(1, 3.4, theme)
    entries = []
    look = styles([str(name) for name in table.columns], order, theme)
    for number, (model, plain) in enumerate(zip(table.columns, look, strict=True)):
        style = {**plain, "marker": MARKERS[number % len(MARKERS)]}
        axes.plot(table.index, table[model], linewidth=1.4, markersize=4, **style)
        entries.append((str(model), {**style, "markersize": 5}))
    log = is_wide([table])
    if log:
        log_axis(axes)
    elif table.min().min() < table.max().max() / 2:  # else an axis from 0 would press all lines together
        axes.set_ylim(bottom=0)
    axes.set_xlabel(below)
    panel_title(axes, label + (", log scale" if log else ""), theme)
    legend(figure, entries, theme)
    return figure


def _seeds(tables: Sequence[pd.DataFrame], name: str) -> pd.DataFrame:
    """(epochs, seeds): one loss of every seed; a seed that stopped early ends early."""
    found = [table.dropna(subset=[name, "epoch"]).groupby("epoch")[name].last() for table in tables if name in table]
    return pd.concat(found, axis=1, ignore_index=True).sort_index() if found else pd.DataFrame(dtype="float64")


def _with_unit(text: str, unit: str) -> str:
    return f"{text} ({unit or 'in its own unit'})"
