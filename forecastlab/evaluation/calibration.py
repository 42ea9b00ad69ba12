"""How often the truth lies below the quantiles of a model, and among them, on the rows of a comparison."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.predictions import column_levels
from forecastlab.evaluation.comparison import Comparison, series_weights
from forecastlab.evaluation.results import ROW
from forecastlab.evaluation.significance import block_bootstrap, block_length_of, by_origin

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
"""How often an interval of a share is meant to hold the true one."""
RESAMPLES = 2_000


@dataclass(frozen=True, eq=False)
class Calibration:
    """Shares of the truths beside those that a model's quantiles promise.

    Attributes:
        levels: (levels,): probability levels of the quantiles, ascending.
        below: one row per level with the columns `share`, of the truths at or below the quantile, and the ends `low`
            and `high` of its interval, NaN where a fold has a single origin.
        between: the same for what lies below the lowest quantile, between each two neighbours and above the highest
            one, (levels + 1) rows.
    """

    levels: Floats
    below: pd.DataFrame
    between: pd.DataFrame


def quantile_rows(comparison: Comparison, name: str) -> pd.DataFrame:
    """The rows of a model in a comparison with the columns of its quantiles, those that all of its rows have.

    Args:
        comparison: the models.
        name: of the model.
    """
    model = comparison.model(name)
    own = model.run.predictions[model.run.predictions["model"] == model.column]
    columns = [column for column in column_levels(own.columns) if own[column].notna().all()]
    keys = ["seed", *ROW]
    rows = comparison.rows[comparison.rows["model"] == name]
    return rows.merge(own[[*keys, *columns]], on=keys, how="left")


def calibration(comparison: Comparison, name: str) -> Calibration | None:
    """Counts the truths below and between the quantiles of a model; None if it has no two of them.

    A truth counts once, whatever the number of seeds. Every series of every target counts the same, and every fold.
    The intervals come from blocks of neighbouring origins, as those of `paired_difference` do, since neighbouring
    forecasts miss together.

    Args:
        comparison: the models.
        name: of the model.
    """
    rows = quantile_rows(comparison, name)
    levels = column_levels(rows.columns)
    if len(levels) < 2:
        return None
    below = rows[list(levels)].ge(rows["y"], axis=0).astype(np.float64)
    keys = [rows[key] for key in (*ROW, "step")]
    below = below.groupby(keys).mean()
    edges = np.column_stack([np.zeros(len(below)), below, np.ones(len(below))])
    between = pd.DataFrame(np.diff(edges), below.index)
    return Calibration(np.array(list(levels.values())), _shares(below), _shares(between))


def _shares(hits: pd.DataFrame) -> pd.DataFrame:
    """The share of each column of 0 and 1, with its interval.

    Args:
        hits: (rows, columns), with the keys `ROW` and `step` in the index.
    """
    weighted = hits.mul(series_weights(hits.index), axis=0)
    horizon = int(hits.index.get_level_values("step").max())
    found = []
    for column in weighted:
        folds = by_origin(weighted[column])
        low = high = np.nan
        if min(len(fold.total) for fold in folds) > 1:
            means = block_bootstrap(folds, block_length_of(folds, at_least=horizon), RESAMPLES)
            low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).clip(0, 1)
        found.append({"share": float(np.mean([fold.mean for fold in folds])), "low": low, "high": high})
    return pd.DataFrame(found)
