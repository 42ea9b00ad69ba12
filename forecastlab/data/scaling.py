"""Fitting of scalers: scikit-learn's, on the rows of one fold only, as the affine `Scaling` that models apply."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from forecastlab.batch import Scaling
from forecastlab.data.folds import Fold
from forecastlab.data.panel import Panel

Scaler = Literal["standard", "minmax", "robust", "none"]
Columns = NDArray[np.float64]
"""(rows, columns)"""


def fitting_counts(panel: Panel, folds: Sequence[Fold]) -> list[int]:
    """How many rows each series has before the end of its fitting targets; arguments as `fitting_rows`."""
    return [len(own) for own in _own(panel, folds)]


def fitting_rows(
    panel: Panel, folds: Sequence[Fold], features: int, mask: bool, together: bool
) -> list[dict[str, Columns]]:
    """The rows before the end of the fitting targets, and no other; what was filled in is NaN.

    Args:
        panel: the series.
        folds: of each series, its target rows.
        features: number of features that are measured; with `mask`, as many more tell whether they were observed.
        mask: whether the data have such indicators.
        together: whether the rows of all series are one part, or each series is a part of its own.
    """
    own = _own(panel, folds)
    if not together:
        return [_columns(panel, np.arange(part.start, part.stop), features, mask) for part in own]
    chosen = np.zeros(len(panel.rows.target), np.bool_)
    for part in own:
        chosen[part.start : part.stop] = True
    return [_columns(panel, chosen, features, mask)]


def _own(panel: Panel, folds: Sequence[Fold]) -> list[range]:
    """Of each series, the flat rows before the end of its fitting targets."""
    rows, own = panel.rows, []
    for number, (begin, fold) in enumerate(zip((rows.base + rows.first).tolist(), folds, strict=True)):
        fitting = rows.clip(number, fold.train_start, fold.fit.stop)
        own.append(range(begin + fitting.start, begin + fitting.stop))
    return own


def _columns(panel: Panel, chosen: NDArray[Any], features: int, mask: bool) -> dict[str, Columns]:
    """A copy of some flat rows, which numbers or booleans choose; further arguments as `fitting_rows`."""
    rows = panel.rows
    columns = {"feature": rows.features, "known": rows.known, "target": rows.target}
    part = {name: tensor.numpy()[chosen] for name, tensor in columns.items()}
    if mask:  # what was filled in is no value
        part["feature"][:, :features][part["feature"][:, features : 2 * features] == 0] = np.nan
        part["target"][~rows.observed.numpy()[chosen]] = np.nan
    if rows.padded:  # the feature that tells so has nothing to scale
        part["feature"] = np.pad(part["feature"], ((0, 0), (0, 1)))
    return part


def fit_scaling(scaler: Scaler, series: Sequence[Mapping[str, Columns]], static: Columns) -> Scaling:
    """Fits a scaling; a constant column keeps its unit, and so does one without any value.

    Args:
        scaler: "standard" (mean and standard deviation, ddof 0), "minmax" (to 0 .. 1), "robust" (median and
            interquartile range) or "none".
        series: the rows of the fold that may be seen, for each series that gets a scaling of its own: "feature" (rows,
            features), "known" (rows, known) and "target" (rows, targets). Values that are not to count are NaN.
        static: (series, static), of all series that have such a row; scaled together.
    """
    features, known, targets = (series[0][name].shape[1] for name in ("feature", "known", "target"))
    scaling = Scaling(features, known, targets, static.shape[1], len(series))
    for number, part in enumerate([*series, {"static": static}]):
        for name, columns in part.items():
            there = ~np.isnan(columns).all(0)
            if there.any():
                row = 0 if name == "static" else number
                center, scale = _FITTERS[scaler](columns[:, there])
                getattr(scaling, f"{name}_center")[row, there] = torch.as_tensor(center)
                getattr(scaling, f"{name}_scale")[row, there] = torch.as_tensor(scale)
    return scaling


def _standard(columns: Columns) -> tuple[Columns, Columns]:
    fitted = StandardScaler().fit(columns)
    return fitted.mean_, fitted.scale_


def _minmax(columns: Columns) -> tuple[Columns, Columns]:
    fitted = MinMaxScaler().fit(columns)
    return fitted.data_min_, 1 / fitted.scale_


def _robust(columns: Columns) -> tuple[Columns, Columns]:
    fitted = RobustScaler().fit(columns)
    return fitted.center_, fitted.scale_


def _none(columns: Columns) -> tuple[Columns, Columns]:
    return np.zeros(columns.shape[1]), np.ones(columns.shape[1])


_FITTERS: dict[Scaler, Callable[[Columns], tuple[Columns, Columns]]] = {
    "standard": _standard,
    "minmax": _minmax,
    "robust": _robust,
    "none": _none,
}
