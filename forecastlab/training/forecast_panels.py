"""The figure of forecasts: what came before them, the truth as far as it is known, values and intervals."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from forecastlab.data.panel import Panel
from forecastlab.data.recipe import Recipe
from forecastlab.errors import ConfigError, did_you_mean
from forecastlab.figures.drawing import LIGHT, Theme, legend, panel_title, panels_of, printable
from forecastlab.figures.fans import Truth, draw_fans, fan_entries, interval_levels

MOST = 6
"""Panels of a figure unless series are named; of more there are three in a row."""
MOST_VALUES = 400
"""Forecast values of a series that are drawn, the last ones: more would be a dark band."""


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
    levels, colour = interval_levels(forecast.columns), theme.series[1]
    cut = 0
    for axes, key in zip(panels, shown, strict=True):
        rows = forecast[(forecast["unique_id"] == key[0]) & (forecast["target"] == key[1])]
        left_out = draw_fans(
            axes, _truth(panel, *key), rows, levels, history=history, most=MOST_VALUES, colour=colour, theme=theme
        )
        cut = max(cut, left_out)
        panel_title(axes, f"{key[0]}: {key[1]}" if len(panel.names) > 1 else key[1], theme)
    for axes in panels[-columns:]:
        axes.set_xlabel(printable(_time_name(panel), 40))
    legend(figure, fan_entries(levels, theme.ink, colour), theme)
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


def _truth(panel: Panel, name: str, target: str) -> Truth:
    """A target of a series, NaN where it was not observed."""
    table = panel.tables[panel.names.index(name)]
    values = table.values[target].where(table.observed[target]).to_numpy(np.float64)
    return Truth(panel.labels, panel.times.get_indexer(table.times), values)


def _time_name(panel: Panel) -> str:
    """What the times are called: the columns that hold them, or "row" where rows are counted."""
    if pd.api.types.is_numeric_dtype(panel.labels):
        return "row"
    return " ".join(Recipe.from_dict(panel.schema.recipe).time_columns)
