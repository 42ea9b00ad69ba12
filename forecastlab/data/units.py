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
"""(rows, targets)"""


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
    units, rows = [], panel.rows
    begins = (rows.base + rows.first).tolist()
    for number, (begin, own) in enumerate(zip(begins, folds, strict=True)):
        trained = rows.clip(number, own.train_start, own.train_stop)
        flat = slice(begin + trained.start, begin + trained.stop)
        target = np.asfortranarray(rows.target[flat].numpy())
        if len(target) <= season_length and len(folds) == 1:
            raise ConfigError(
                f"season_length is {season_length}, but fold {fold} trains on {len(target)} rows only: "
                "choose a later fold or a shorter season"
            )
        # what was filled in is no value, and no step from or to it is one of the series
        target = np.where(np.asfortranarray(rows.observed[flat].numpy()), target, np.nan)
        seasonal = target[season_length:] - target[:-season_length]
        units.append((_variance(target), _mean(np.abs(seasonal)), _mean(np.square(seasonal))))
    return Reference(*(torch.as_tensor(np.stack(unit)) for unit in zip(*units, strict=True)))


def _mean(values: Columns) -> Columns:
    """The means of columns, (columns,), over what is a number; 0, which is no unit, where nothing is."""
    counts = (~np.isnan(values)).sum(0)
    mean: Columns = np.nansum(values, 0) / np.maximum(counts, 1)
    return mean


def _variance(values: Columns) -> Columns:
    """The variances (ddof 0) of columns, (columns,), over what is a number; exactly 0 where that is constant."""
    known = ~np.isnan(values)
    constant = np.max(values, 0, where=known, initial=-np.inf) <= np.min(values, 0, where=known, initial=np.inf)
    return np.where(constant, 0.0, _mean(np.square(values - _mean(values))))
