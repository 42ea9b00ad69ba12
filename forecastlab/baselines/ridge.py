"""Ridge regression on the last rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from forecastlab.baselines.base import Array, Mask
from forecastlab.baselines.direct import DirectRegression, Predictor
from forecastlab.data.calendar import Cycle
from forecastlab.errors import ConfigError

ALPHAS = tuple(float(alpha) for alpha in np.logspace(-2, 4, 25))
"""0.01 .. 10000 in quarters of a decade."""


class Ridge(DirectRegression):
    """Linear regression with an L2 penalty on the last rows and the calendar, one per step and target.

    It minimises |y - b - X w|² + alpha |w|² with standardised columns X (see `forecastlab.baselines.lags.Lags`). Alpha
    is chosen by the squared error on the last fifth of the training rows. The other arguments are those of
    `DirectRegression`. Source: Hoerl and Kennard 1970.

    Args:
        alphas: penalties to choose from.

    Raises:
        ConfigError: if `lags`, a season or a penalty is not positive.
    """

    title = "ridge"

    def __init__(
        self,
        lags: int | None = None,
        calendar: Sequence[Cycle] = ("day_of_year",),
        seasons: Sequence[int] | None = None,
        pooled: bool = False,
        alphas: Sequence[float] = ALPHAS,
    ) -> None:
        super().__init__(lags, calendar, seasons, pooled)
        if not alphas or min(alphas) <= 0:
            raise ConfigError(f"alphas must be positive numbers, at least one, got {list(alphas)}")
        self.alphas = np.array(alphas)

    def _setting(self, inputs: Array, target: Array, tail: Mask) -> tuple[float, float]:
        penalised = _solve(inputs[~tail], target[~tail], self.alphas)
        errors = [float(np.mean((linear.predict(inputs[tail]) - target[tail]) ** 2)) for linear in penalised]
        return float(self.alphas[np.argmin(errors)]), min(errors)

    def _regress(self, inputs: Array, target: Array, setting: float) -> Predictor:
        return _solve(inputs, target, np.array([setting]))[0]


class Linear(NamedTuple):
    """A fitted linear map, in original units."""

    weights: Array
    """(columns,)"""
    intercept: float
    alpha: float

    def predict(self, X: Array) -> Array:
        """(samples, columns) -> (samples,)."""
        return X @ self.weights + self.intercept


def standardised(inputs: Array) -> tuple[Array, Array, Array]:
    """The columns with mean 0 and standard deviation 1 (constant ones stay 0), with their centres and scales."""
    center, scale = inputs.mean(0), inputs.std(0)
    scale[scale <= 1e-12 * (1 + np.abs(center))] = 1  # a constant column has rounding errors only
    return (inputs - center) / scale, center, scale


def _solve(inputs: Array, target: Array, alphas: Array) -> list[Linear]:
    """One ridge regression per penalty. All come from one decomposition, of the products of columns or of samples."""
    columns, center, scale = standardised(inputs)
    change = target - target.mean()
    if columns.shape[0] < columns.shape[1]:
        variances, axes = np.linalg.eigh(columns @ columns.T)
        projected, axes = axes.T @ change, columns.T @ axes
    else:
        variances, axes = np.linalg.eigh(columns.T @ columns)
        projected = axes.T @ (columns.T @ change)
    weights = (axes @ (projected[:, None] / (variances[:, None] + alphas))).T / scale
    return [
        Linear(each, float(target.mean() - center @ each), float(alpha))
        for each, alpha in zip(weights, alphas, strict=True)
    ]
