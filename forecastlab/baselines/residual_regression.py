"""A baseline and a regressor on its residuals: Zhang's hybrid of ARIMA and a neural network."""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from forecastlab.baselines.arima import ARIMA
from forecastlab.baselines.base import Array, Baseline, Mask, target_observed, target_values
from forecastlab.baselines.direct import Predictor, Regressor, fit_direct, forecast_direct, training_samples
from forecastlab.baselines.lags import Inputs, Lags
from forecastlab.data.calendar import Cycle
from forecastlab.data.datamodule import ForecastDataModule


class ResidualRegression(Baseline):
    """The forecast of a baseline, plus the residual that a regressor forecasts.

    The default, ARIMA and a small neural network, is the hybrid of Zhang 2003. ARIMA forecasts the linear part of the
    series, and the network learns the rest, e(t) = f(e(t - 1), ...). As in that paper, the network learns the residuals
    of the rows that ARIMA was fitted on. There are two deviations. The inputs are the last one-step residuals, the last
    rows of every feature, and the calendar. And there is one regressor per step and target, which learns the error of
    the baseline's forecast of that step. The baseline is fitted first and does not change afterwards. A residual
    connection is something else: see `forecastlab.hybrids.residual`.

    Inputs and residuals are standardised on the training rows. A residual that is not known counts as 0.

    Args:
        baseline: the baseline that is fitted first; None for `ARIMA()`.
        regressor: any object with `fit` and `predict`, such as scikit-learn's; it is copied for every step and target.
            None for a multilayer perceptron with 16 hidden units and a fixed seed.
        lags: rows up to the origin whose features and residuals are inputs.
        calendar: cycles of the forecast step that are inputs beside the data's own.

    Raises:
        ConfigError: if `lags` is not positive.
        ForecastlabError: if statsmodels is not installed and the baseline is not given.
    """

    def __init__(
        self,
        baseline: Baseline | None = None,
        regressor: Regressor | None = None,
        lags: int = 1,
        calendar: Sequence[Cycle] = ("day_of_year",),
    ) -> None:
        self.lags = Lags(lags, tuple(calendar))
        self.baseline = ARIMA() if baseline is None else baseline
        self.regressor: Regressor = (
            MLPRegressor(hidden_layer_sizes=(16,), alpha=10.0, max_iter=1000, random_state=0)
            if regressor is None
            else regressor
        )

    @property
    def name(self) -> str:
        return f"{self.baseline.name} + {type(self.regressor).__name__}"

    @property
    def first_origin(self) -> int:
        return self.baseline.first_origin + self.lags.rows

    def _fit(self, data: ForecastDataModule) -> None:
        self.baseline.fit(data)
        samples = training_samples(data, self.first_origin)
        residuals = samples._replace(target=samples.target - self.baseline.forecast(data, samples.origins))
        self.regressors = fit_direct(data, self._inputs(data, samples.origins), residuals, self._regress)

    def _forecast(self, data: ForecastDataModule, origins: range) -> Array:
        rest = forecast_direct(self._inputs(data, origins), self.regressors)
        return self.baseline.forecast(data, origins) + rest

    def _inputs(self, data: ForecastDataModule, origins: range) -> Inputs:
        """The lags, and the errors of the one-step forecasts of the same rows."""
        inputs = self.lags.inputs(data, origins)
        rows = np.arange(min(origins) - self.lags.rows + 1, max(origins) + 1)
        ahead = self.baseline.forecast(data, range(rows[0] - 1, rows[-1]))[:, 0]
        errors = np.where(target_observed(data)[rows], target_values(data)[rows] - ahead, 0.0)
        lagged = errors[(np.array(origins) - rows[0])[:, None] - np.arange(self.lags.rows)]
        return Inputs(np.concatenate([inputs.past, lagged.reshape(len(origins), -1)], axis=1), inputs.ahead)

    def _regress(self, inputs: Array, target: Array, tail: Mask) -> Predictor:
        columns = StandardScaler().fit(inputs)
        scale = float(target.std()) or 1.0
        regressor = copy.deepcopy(self.regressor)
        regressor.fit(columns.transform(inputs), (target - target.mean()) / scale)
        return Standardised(columns, regressor, float(target.mean()), scale)


class Standardised(NamedTuple):
    """A fitted regressor and its units."""

    columns: StandardScaler
    regressor: Regressor
    center: float
    scale: float

    def predict(self, X: Array) -> Array:
        """(samples, columns) -> (samples,)."""
        predicted: Array = np.asarray(self.regressor.predict(self.columns.transform(X)))
        return predicted.reshape(-1) * self.scale + self.center
