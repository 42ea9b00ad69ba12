"""Ridge regression on the last rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from forecastlab.baselines.base import Array, Baseline, Mask
from forecastlab.baselines.direct import Lags, Predictor, fit_direct, forecast_direct, training_samples
from forecastlab.data.calendar import Cycle
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError

ALPHAS = tuple(float(alpha) for alpha in np.logspace(-2, 4, 25))
"""0.01 .. 10000 in quarters of a decade."""


class Ridge(Baseline):
    """Linear regression with an L2 penalty on the last rows and the calendar, one per step and target.

    Minimises |y - b - X w|² + alpha |w|² with standardised columns X (see `forecastlab.baselines.direct.Lags`). Alpha
    is the one of `alphas` with the lowest squared error on the last fifth of the training rows when fitted,
    columns standardised, on those before; then all training rows are fitted. Source: Hoerl and Kennard 1970.

    Args:
        lags: rows up to the origin whose features are inputs.
        calendar: cycles of the forecast step that are inputs beside the data's own.
        alphas: penalties to choose from.

    Raises:
        ConfigError: if `lags` or a penalty is not positive.
    """

    def __init__(
        self, lags: int = 1, calendar: Sequence[Cycle] = ("day_of_year",), alphas: Sequence[float] = ALPHAS
    ) -> None:
        if not alphas or min(alphas) <= 0:
            raise ConfigError(f"alphas must be positive numbers, at least one, got {list(alphas)}")
        self.lags = Lags(lags, tuple(calendar))
        self.alphas = np.array(alphas)

    @property
    def name(self) -> str:
        return "ridge" if self.lags.rows == 1 else f"ridge ({self.lags.rows} lags)"

    @property
    def first_origin(self) -> int:
        return self.lags.rows - 1

    def _fit(self, data: ForecastDataModule) -> None:
        samples = training_samples(data, self.first_origin)
        self.regressors = fit_direct(data, self.lags.inputs(data, samples.origins), samples, self._regress)

    def _forecast(self, data: ForecastDataModule, origins: range) -> Array:
        return forecast_direct(self.lags.inputs(data, origins), self.regressors)

    def _regress(self, inputs: Array, target: Array, tail: Mask) -> Predictor:
        penalised = _solve(inputs[~tail], target[~tail], self.alphas)
        errors = [np.mean((linear.predict(inputs[tail]) - target[tail]) ** 2) for linear in penalised]
        (linear,) = _solve(inputs, target, self.alphas[[np.argmin(errors)]])
        return linear


class Linear(NamedTuple):
    """A fitted linear map, in original units."""

    weights: Array
    """(columns,)"""
    intercept: float
    alpha: float

    def predict(self, X: Array) -> Array:
        """(samples, columns) -> (samples,)."""
        return X @ self.weights + self.intercept


def _solve(inputs: Array, target: Array, alphas: Array) -> list[Linear]:
    """One ridge regression per penalty, from one decomposition."""
    center, scale = inputs.mean(0), inputs.std(0)
    scale[scale <= 1e-12 * (1 + np.abs(center))] = 1  # a constant column has nothing but rounding errors
    columns = (inputs - center) / scale
    variances, axes = np.linalg.eigh(columns.T @ columns)
    projected = axes.T @ (columns.T @ (target - target.mean()))
    weights = (axes @ (projected[:, None] / (variances[:, None] + alphas))).T / scale
    return [
        Linear(each, float(target.mean() - center @ each), float(alpha))
        for each, alpha in zip(weights, alphas, strict=True)
    ]
