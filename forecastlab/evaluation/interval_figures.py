"""Figures of prediction intervals: what they held, where the truths fell among the quantiles, and fans."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from forecastlab.evaluation.calibration import Calibration
from forecastlab.figures.drawing import (
    DASHES,
    LIGHT,
    MARKERS,
    Theme,
    legend,
    panel_title,
    panels_of,
    printable,
    styles,
)
from forecastlab.figures.fans import Truth, draw_fans, fan_entries, interval_levels


def calibration_curves(found: Mapping[str, Calibration], *, order: Sequence[str] = (), theme: Theme = LIGHT) -> Figure:
    """The share of the truths at or below each quantile against its level; below, how far it is from the level.

    Args:
        found: the shares, by model.
        order: see `styles`.
        theme: colours.
    """
    figure, (above, below) = panels_of(2, 6.2, theme, sharex=True, ratios=(3, 2))
    right: dict[str, Any] = {"color": theme.muted, "linestyle": DASHES[1]}
    above.plot([0, 100], [0, 100], linewidth=1.0, **right)
    below.axhline(0, linewidth=1.0, **right)
    entries: list[tuple[str, dict[str, Any]]] = [("as promised", right)]
    for number, (look, one) in enumerate(zip(styles(list(found), order, theme), found.values(), strict=True)):
        style = {**look, "marker": MARKERS[number % len(MARKERS)]}
        levels, shares = 100 * one.levels, 100 * one.below
        above.plot(levels, shares["share"], linewidth=1.4, markersize=4, **style)
        apart = levels + 1.2 * (number - (len(found) - 1) / 2)  # bars of several models would hide each other
        away = shares.sub(levels, axis=0)
        ends = np.stack([away["share"] - away["low"], away["high"] - away["share"]]).clip(min=0)
        below.plot(apart, away["share"], linewidth=1.0, markersize=4, **style)
        below.errorbar(apart, away["share"], ends, fmt="none", ecolor=look["color"], elinewidth=1.2, capsize=2)
        entries.append((list(found)[number], {**style, "markersize": 5}))
    above.set_xlim(0, 100)
    above.set_ylim(0, 100)
    below.set_xlabel("level of the quantile, %")
    panel_title(above, "truths at or below the quantile, %", theme)
    panel_title(below, "the same minus the level, percentage points", theme)
    legend(figure, entries, theme)
    return figure


def quantile_histograms(found: Mapping[str, Calibration], *, order: Sequence[str] = (), theme: Theme = LIGHT) -> Figure:
    """A panel per model: the truths between neighbouring quantiles, divided by how many there should be.

    A bar is as wide as the share that it should hold, so that its area is the share that it holds.

    Args:
        found: the shares, by model.
        order: see `styles`.
        theme: colours.
    """
    figure, panels = panels_of(len(found), 0.7 + 1.5 * len(found), theme, sharex=True)
    for axes, look, (name, one) in zip(panels, styles(list(found), order, theme), found.items(), strict=True):
        edges = 100 * np.array([0.0, *one.levels, 1.0])
        wide = np.diff(edges)
        heights, low, high = (100 * one.between[["share", "low", "high"]].to_numpy() / wide[:, None]).T
        axes.bar(edges[:-1], heights, wide, align="edge", color=look["color"], alpha=0.7, edgecolor=theme.paper)
        ends = np.stack([heights - low, high - heights]).clip(min=0)
        axes.errorbar(edges[:-1] + wide / 2, heights, ends, fmt="none", ecolor=theme.ink, elinewidth=0.9, capsize=2)
        axes.axhline(1, color=theme.ink, linewidth=0.9, linestyle=DASHES[1])
        axes.set_xlim(0, 100)
        panel_title(axes, f"{name}: truths ÷ promised", theme)
    panels[-1].set_xlabel("level of the quantiles between which the truth lies, %")
    return figure


def fans(
    rows: pd.DataFrame, *, model: str, unit: str = "", most: int, order: Sequence[str] = (), theme: Theme = LIGHT
) -> Figure:
    """The last forecasts that do not overlap, with their intervals: a panel per series and target.

    Args:
        rows: one row per forecast value with the columns of `predictions.csv`, of one model and seed in one fold; the
            panels are in the order of their first rows.
        model: whose they are.
        unit: of the target, if it is known and there is one.
        most: values that are drawn of each panel, the last ones.
        order: see `styles`.
        theme: colours.
    """
    of_panels = list(rows.groupby(["unique_id", "target"], sort=False))
    figure, panels = panels_of(len(of_panels), 0.9 + 1.5 * len(of_panels), theme, sharex=True)
    levels, (look,) = interval_levels(rows.columns), styles([model], order, theme)
    several = rows["unique_id"].nunique() > 1
    for axes, ((series, target), part) in zip(panels, of_panels, strict=True):
        known = part.drop_duplicates("ds").set_index("ds")["y"].sort_index()
        axis = known.index.union(pd.Index(part["cutoff"]).unique())
        truth = Truth(axis, axis.get_indexer(known.index), known.to_numpy(np.float64))
        draw_fans(axes, truth, part, levels, history=1, most=most, colour=look["color"], theme=theme)
        title = f"{series}: {target}" if several else str(target)
        panel_title(axes, f"{title} ({unit})" if unit else title, theme)
    panels[-1].set_xlabel("time of the forecast value")
    entries = fan_entries(levels, theme.ink, look["color"])
    legend(figure, [(printable(model, 34) if name == "forecast" else name, style) for name, style in entries], theme)
    return figure
