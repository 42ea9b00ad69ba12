"""ARIMA and SARIMA."""

import importlib
import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from forecastlab.baselines.base import Array, Baseline, target_observed, target_values
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError, DataError, ForecastlabError


class ARIMA(Baseline):
    """Autoregression, differences and moving average of the target's own past. Each target has its own model.

    phi(B) Phi(B^s) (1 - B)^d (1 - B^s)^D (y - trend) = theta(B) Theta(B^s) e. The coefficients are fitted to the
    training rows by maximum likelihood. The Kalman filter reads every true value up to the origin, and the forecast
    runs the model on from the filter's state. Missing values enter neither the likelihood nor the state. Time is
    counted in rows. It needs statsmodels: pip install 'forecastlab[arima]'. Source: Box and Jenkins 1970.

    Args:
        order: (p, d, q): autoregressive lags, differences, moving average lags.
        seasonal_order: (P, D, Q, s), the same in seasons of s rows. The cost grows with the square of s, so s should be
            at most some dozens of rows.
        trend: "n" for none, "c" for a constant, "t" for a linear trend, "ct" for both. None means "c" if nothing is
            differenced, else "n".

    Raises:
        ForecastlabError: if statsmodels is not installed.
        ConfigError: if there is no such model; on `fit` if it needs more training rows.
        DataError: on `fit` if the likelihood cannot be computed.
    """

    def __init__(
        self,
        order: tuple[int, int, int] = (2, 1, 1),
        seasonal_order: tuple[int, int, int, int] = (0, 0, 0, 0),
        trend: Literal["n", "c", "t", "ct"] | None = None,
    ) -> None:
        self.order = tuple(order)
        self.seasonal_order = tuple(seasonal_order)
        self.trend = trend
        statsmodels = statsmodels_module("tsa.arima.model", "ARIMA")
        try:
            statsmodels.ARIMA(np.zeros(2), order=self.order, seasonal_order=self.seasonal_order, trend=trend)
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"there is no ARIMA model of order={self.order}, seasonal_order={self.seasonal_order} and "
                f"trend={trend}: {error}"
            ) from None

    @property
    def name(self) -> str:
        order, season = (",".join(map(str, orders)) for orders in (self.order, self.seasonal_order))
        return f"SARIMA({order})({season})" if any(self.seasonal_order) else f"ARIMA({order})"

    @property
    def first_origin(self) -> int:
        """The first row whose differences are known."""
        return max(0, self._differences - 1)

    @property
    def _differences(self) -> int:
        """Number of rows that differencing needs."""
        return int(self.order[1] + self.seasonal_order[1] * self.seasonal_order[3])

    def _fit(self, data: ForecastDataModule) -> None:
        self.coefficients: list[dict[str, float]] = []
        """Coefficients by statsmodels' names, for each target."""
        training = observed_series(data, data.ranges.train_start, data.ranges.train_stop)
        for series, name in zip(training, data.targets, strict=True):
            model = self._model(series)
            rows, least = int(np.isfinite(series).sum()), self._differences + 2 * (1 + len(model.param_names))
            if rows < least:
                raise ConfigError(
                    f"{self.name} needs {least} observed rows of {name} or more, but fold {data.fold} trains on {rows}:"
                    " choose a later fold or a lower order"
                )
            try:
                self.coefficients.append(self.fitted_to(series))
            except np.linalg.LinAlgError as error:
                raise DataError(
                    f"{self.name} cannot be fitted to the training rows of fold {data.fold} ({error}): choose "
                    "another order"
                ) from None

    def fitted_to(self, series: Array, rounds: int = 200) -> dict[str, float]:
        """The coefficients of the largest likelihood, by statsmodels' names.

        Args:
            series: (rows,), NaN where a value is missing.
            rounds: the most steps of the search.

        Raises:
            numpy.linalg.LinAlgError: if the likelihood cannot be computed.
        """
        model = self._model(series)
        with warnings.catch_warnings():
            # It then starts from zeros, which works as well.
            warnings.filterwarnings("ignore", message=".*starting .*parameters")
            fitted = model.fit(return_params=True, method_kwargs={"maxiter": rounds})
        return dict(zip(model.param_names, np.asarray(fitted).tolist(), strict=True))

    def log_likelihood(self, series: Array, coefficients: dict[str, float]) -> float:
        """The logarithm of the likelihood of a series (rows,) with some coefficients."""
        return float(self._model(series).loglike(list(coefficients.values())))

    def _forecast(self, data: ForecastDataModule, origins: range) -> Array:
        series = observed_series(data, 0, max(origins) + 1)
        each = zip(series, self.coefficients, strict=True)
        return np.stack(
            [self.run_on(y, coefficients, np.array(origins), data.horizon) for y, coefficients in each], axis=-1
        )

    def run_on(self, series: Array, coefficients: dict[str, float], origins: NDArray[np.int64], horizon: int) -> Array:
        """Forecasts (origins, horizon) from the states that the filter passes through; `series` is (rows,)."""
        model = self._model(np.concatenate([series, np.full(horizon, np.nan)]))
        with model.ssm.fixed_scale(1.0):  # means do not depend on it, and few rows cannot determine it
            filtered = model.filter(list(coefficients.values()), return_ssm=True)
        design, transition = filtered.design[0, :, 0], filtered.transition[:, :, 0]
        trend = np.broadcast_to(filtered.obs_intercept[0], (len(series) + horizon,))
        state = filtered.predicted_state[:, origins + 1]  # of the row after each origin
        forecast = np.empty((len(origins), horizon))
        for step in range(horizon):
            forecast[:, step] = design @ state + trend[origins + 1 + step]
            state = transition @ state
        return forecast

    def _model(self, series: Array) -> Any:
        # The scale is computed, not searched: then the coefficients do not depend on the target's unit.
        return statsmodels_module("tsa.arima.model", "ARIMA").ARIMA(
            series, order=self.order, seasonal_order=self.seasonal_order, trend=self.trend, concentrate_scale=True
        )


def observed_series(data: ForecastDataModule, start: int, stop: int) -> Array:
    """The targets of some rows, (targets, rows); NaN where one was not observed."""
    return np.where(target_observed(data)[start:stop], target_values(data)[start:stop], np.nan).T


def statsmodels_module(name: str, needed_by: str) -> Any:
    """A module of statsmodels, which takes a second to import, and is an extra.

    Raises:
        ForecastlabError: if statsmodels is not installed.
    """
    try:
        return importlib.import_module(f"statsmodels.{name}")
    except ImportError:
        raise ForecastlabError(
            f"{needed_by} needs statsmodels, which is not installed: pip install 'forecastlab[arima]'"
        ) from None
