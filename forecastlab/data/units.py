"""The units of scaled metrics: the variance of the training rows, and the errors of the seasonal naive forecast."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from forecastlab.batch import Reference
from forecastlab.data.folds import Fold
from forecastlab.data.panel import Panel
from forecastlab.errors import ConfigError

Columns = NDArray[np.float64]
"""(..., rows)"""


def fit_reference(panel: Panel, folds: Sequence[Fold], season_length: int, fold: int | str) -> Reference:
    """The units of each series, from all its training rows, the validation tail included.

    Args:
        panel: the series.
        folds: of each series, its target rows.
        season_length: rows in a season.
        fold: the number of the fold, for messages.

    Raises:
        ConfigError: if the one series trains on no more rows than a season has.
    """
    rows = panel.rows
    begins, lengths = rows.spans([own.train_start for own in folds], [own.train_stop for own in folds])
    if len(folds) == 1 and lengths[0] <= season_length:
        raise ConfigError(
            f"season_length is {season_length}, but fold {fold} trains on {lengths[0]} rows only: "
            "choose a later fold or a shorter season"
        )
    units = np.empty((3, len(folds), rows.target.shape[1]))
    for numbers, flat in rows.alike(begins, lengths):
        # what was filled in is no value, and no step from or to it is one of the series
        target = np.where(rows.observed.numpy()[flat], rows.target.numpy()[flat], np.nan)
        target = np.ascontiguousarray(np.moveaxis(target, 1, 2))
        seasonal = target[..., season_length:] - target[..., :-season_length]
        units[:, numbers] = _variance(target), _mean(np.abs(seasonal)), _mean(np.square(seasonal))
    return Reference(*map(torch.from_numpy, units))


def _mean(values: Columns) -> Columns:
    """The means of rows, (..., rows) -> (...), over what is a number; 0, which is no unit, where nothing is."""
    counts = (~np.isnan(values)).sum(-1)
    mean: Columns = np.nansum(values, -1) / np.maximum(counts, 1)
    return mean


def _variance(values: Columns) -> Columns:
    """The variances (ddof 0) of rows, (..., rows) -> (...), over what is a number; exactly 0 where that is constant."""
    known = ~np.isnan(values)
    constant = np.max(values, -1, where=known, initial=-np.inf) <= np.min(values, -1, where=known, initial=np.inf)
    return np.where(constant, 0.0, _mean(np.square(values - _mean(values)[..., None])))
