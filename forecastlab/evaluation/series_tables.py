"""Tables of a panel: the error of every series, and how the errors are spread."""

from collections.abc import Sequence

import pandas as pd

from forecastlab.evaluation.comparison import PERSISTENCE, Comparison, Metric
from forecastlab.evaluation.tables import TITLES, Column, Table, model_column

MOST_SERIES = 5_000
"""Rows of a table of series in a page; more would make it slow."""


def series_errors(comparison: Comparison, metric: Metric) -> pd.DataFrame:
    """The error of each series (of each target) and model, (series, models): the mean over its errors in the folds."""
    of_folds = comparison.value_errors(metric).groupby(level=["fold", "unique_id", "target"]).mean()
    return of_folds.groupby(level=["unique_id", "target"]).mean()


def series_table(comparison: Comparison, metric: Metric = "mse_scaled") -> Table | None:
    """How the error of every model is spread over the series (of every target); None if there is only one.

    `better than persistence` is the percentage of the
    series whose error is lower than persistence's.
    """
    each = series_errors(comparison, metric)
    if len(each) < 2:
        return None
    names = comparison.ranking(metric)
    shares = (("lowest", 0.0), ("10 %", 0.1), ("median", 0.5), ("90 %", 0.9), ("highest", 1.0))
    columns = [
        model_column(comparison, names),
        *(Column(header, tuple(each[names].quantile(share)), best="lowest") for header, share in shares),
    ]
    if PERSISTENCE in each:
        better = 100 * each[names].lt(each[PERSISTENCE], axis=0).mean()
        columns.append(Column("better than persistence, %", tuple(better), 1))
    return Table(f"{TITLES[metric]}: how it is spread over {len(each)} series", tuple(columns))


def each_series_table(
    comparison: Comparison, metric: Metric, models: Sequence[str], most: int | None = None
) -> Table | None:
    """The error of every series (of every target), the worst for the first model on top; None if there is only one.

    Args:
        comparison: the models.
        metric: the error.
        models: names of the models that have a column.
        most: how many rows there may be; None for all.
    """
    each = series_errors(comparison, metric)
    if len(each) < 2:
        return None
    errors = comparison.value_errors(metric)
    count = errors.groupby(level=["unique_id", "target"]).size()
    each = each.sort_values(models[0], ascending=False, kind="stable")[:most]
    several = len(comparison.targets) > 1
    names = [f"{series}: {target}" if several else str(series) for series, target in each.index]
    columns = (
        Column("series", tuple(names)),
        Column("scored values", tuple(map(int, count[each.index]))),
        *(Column(name, tuple(each[name])) for name in models),
    )
    notes = []
    if len(each) < len(count):
        notes = [f"These are the {len(each):,} of {len(count):,} series with the largest errors; series.csv has all."]
    title = f"{TITLES[metric]} of each series, the largest of {models[0]} on top"
    return Table(title, columns, tuple(notes), search="a series")
