"""Fitting of scalers: scikit-learn's, on the rows of one fold only, as the affine `Scaling` that models apply."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from forecastlab.batch import Scaling

Scaler = Literal["standard", "minmax", "robust", "none"]
Columns = NDArray[np.float64]
"""(rows, columns)"""


def fit_scaling(scaler: Scaler, features: Columns, known: Columns, targets: Columns) -> Scaling:
    """Fits a scaling; a constant column keeps its unit.

    Args:
        scaler: "standard" (mean and standard deviation, ddof 0), "minmax" (to 0 .. 1), "robust" (median and
            interquartile range) or "none".
        features: (rows, features), the rows of the fold that may be seen.
        known: (rows, known)
        targets: (rows, targets)
    """
    scaling = Scaling(features.shape[1], known.shape[1], targets.shape[1])
    for name, columns in (("feature", features), ("known", known), ("target", targets)):
        if columns.shape[1]:
            center, scale = _FITTERS[scaler](columns)
            getattr(scaling, f"{name}_center").copy_(torch.as_tensor(center))
            getattr(scaling, f"{name}_scale").copy_(torch.as_tensor(scale))
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
