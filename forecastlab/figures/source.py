"""A figure of what a source holds: targets over time, their gaps, and the rows of the folds."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from forecastlab.figures.drawing import LIGHT, Theme, date_axis, legend, panel_title, panels_of

_FOLDS = (("training", 0.25), ("validation", 0.55), ("test", 1.0))
"""The parts of a fold, and how strong their colours are."""


class Line(NamedTuple):
    """A target of a series."""

    name: str
    """What it is called."""
    times: "pd.Index[Any]"
    """(rows,), or the numbers of rows that are counted."""
    values: NDArray[np.float64]
    """(rows,); NaN where one is missing."""


def source_figure(
    lines: Sequence[Line], folds: Mapping[str, Sequence[tuple[Any, Any] | None]], *, theme: Theme = LIGHT
) -> Figure:
    """Targets over time with their gaps shaded, and below them the rows of each fold.

    Args:
        lines: the targets.
        folds: for each fold by name, the first and the last time of its training, validation and test, or None.
        theme: colours.
    """
    heights = [1.0] * len(lines) + [0.25 + 0.16 * len(folds)]
    figure, axes = panels_of(len(heights), 0.8 + 1.7 * sum(heights), theme, sharex=True, ratios=heights)
    for line, place in zip(lines, axes, strict=False):
        place.plot(line.times, line.values, color=theme.ink, linewidth=0.9)
        _shade_gaps(place, line, theme)
        panel_title(place, line.name, theme)
    below = axes[-1]
    for row, parts in enumerate(folds.values()):
        for (_, strength), span in zip(_FOLDS, parts, strict=True):
            if span is not None:
                below.plot(span, [row, row], color=theme.series[0], alpha=strength, linewidth=6, solid_capstyle="butt")
    below.set_yticks(range(len(folds)), list(folds))
    below.set_ylim(len(folds) - 0.5, -0.5)
    panel_title(below, "rows of each fold", theme)
    if isinstance(lines[0].times, pd.DatetimeIndex):
        date_axis(below.xaxis)
    entries = [(name, {"color": theme.series[0], "alpha": strength, "linewidth": 6}) for name, strength in _FOLDS]
    legend(figure, [*entries, ("no value", {"color": theme.muted, "alpha": 0.4, "linewidth": 6})], theme)
    return figure


def _shade_gaps(axes: Axes, line: Line, theme: Theme) -> None:
    missing = np.isnan(line.values).astype(int)
    edges = np.diff(np.concatenate([[0], missing, [0]]))
    for start, stop in zip(np.flatnonzero(edges > 0).tolist(), np.flatnonzero(edges < 0).tolist(), strict=True):
        first, last = max(start - 1, 0), min(stop, len(missing) - 1)
        axes.axvspan(line.times[first], line.times[last], color=theme.muted, alpha=0.25, linewidth=0)
