"""The pictures of the prediction intervals in a comparison: which there are, what each shows, and how to read it."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from forecastlab.evaluation import interval_figures
from forecastlab.evaluation.calibration import CONFIDENCE, Calibration, calibration, quantile_rows
from forecastlab.evaluation.comparison import Comparison, Metric
from forecastlab.evaluation.page import Picture
from forecastlab.evaluation.series_tables import series_errors
from forecastlab.figures.drawing import Theme
from forecastlab.figures.fans import interval_levels

MOST_MODELS = 3
"""Models whose intervals are drawn, the best ones."""
MOST_SERIES = 4
"""Series in a figure of fans."""
FEWEST_BARS = 5
"""Bars of a histogram; fewer say no more than the calibration's curve."""


def interval_pictures(comparison: Comparison, metric: Metric, order: Sequence[str]) -> list[Picture]:
    """The figures of the models that forecast quantiles; none if no model does.

    Args:
        comparison: the models.
        metric: the error that models are ranked by.
        order: all models, so that each looks the same in all figures.
    """
    every = {name: calibration(comparison, name) for name in comparison.ranking(metric)}
    found = {name: one for name, one in every.items() if one is not None}
    if not found:
        return []
    shown = dict(list(found.items())[:MOST_MODELS])
    fewer = f" The best {len(shown)} of {len(found)} models with quantiles." if len(shown) < len(found) else ""
    known = all(one.below["low"].notna().all() for one in shown.values())
    bars = (
        f" Bars: {CONFIDENCE:.0%} intervals of the share, from blocks of neighbouring origins."
        if known
        else " There is one origin in a fold, which does not say how sure these shares are."
    )
    pictures = [
        Picture(
            "calibration",
            "How many truths lie at or below each quantile. On the dashed line there are as many as its level says; "
            "below, how far from it. A curve that is too flat has intervals that are too narrow."
            f"{bars}{fewer}",
            partial(_draw_calibration, shown, order),
        )
    ]
    fine = {name: one for name, one in shown.items() if len(one.between) >= FEWEST_BARS}
    if fine:
        pictures.append(
            Picture(
                "calibration_histogram",
                "Where the truths fall among the quantiles: 1 is as many as promised. High at both ends: intervals too "
                "narrow. High in the middle: too wide. High on the left: forecasts too high. "
                f"High on the right: too low.{bars}",
                partial(_draw_histograms, fine, order),
            )
        )
    return pictures + [
        _fans(comparison, metric, name, number, order)
        for number, name in enumerate(shown, 1)
        if interval_levels(quantile_rows(comparison, name).columns)
    ]


def _draw_calibration(found: dict[str, Calibration], order: Sequence[str], theme: Theme) -> Figure:
    return interval_figures.calibration_curves(found, order=order, theme=theme)


def _draw_histograms(found: dict[str, Calibration], order: Sequence[str], theme: Theme) -> Figure:
    return interval_figures.quantile_histograms(found, order=order, theme=theme)


def _fans(comparison: Comparison, metric: Metric, name: str, number: int, order: Sequence[str]) -> Picture:
    """The last forecasts of a model in the last fold, for series from a low to a high error; lowest seed."""
    rows = quantile_rows(comparison, name)
    rows = rows[rows["fold"] == comparison.folds[-1]]
    seeds = comparison.model(name).seeds
    if seeds:
        rows = rows[rows["seed"] == seeds[0]]
    keys = ["unique_id", "target"]
    there = pd.MultiIndex.from_frame(rows[keys].drop_duplicates())
    ranked = series_errors(comparison, metric)[name].reindex(there).sort_values(kind="stable").index
    count = min(MOST_SERIES, len(ranked))
    chosen = [ranked[round(place * (len(ranked) - 1) / max(count - 1, 1))] for place in range(count)]
    parts = dict(list(rows.groupby(keys)))
    rows = pd.concat([parts[key] for key in chosen], ignore_index=True)
    horizon = int(rows["step"].max())
    which = (
        f" {count} of {len(ranked)} series, from the lowest error down to the highest." if count < len(ranked) else ""
    )
    of_seed = f" (seed {seeds[0]})" if len(seeds) > 1 else ""
    return Picture(
        f"fan_{number}",
        f"Fold {comparison.folds[-1]}: the last test forecasts of {name}{of_seed} with their intervals, beside what "
        f"was observed.{which}",
        partial(_draw_fans, rows, name, comparison.unit, max(4 * horizon, 60), order),
    )


def _draw_fans(rows: pd.DataFrame, name: str, unit: str, most: int, order: Sequence[str], theme: Theme) -> Figure:
    return interval_figures.fans(rows, model=name, unit=unit, most=most, order=order, theme=theme)
