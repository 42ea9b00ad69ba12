"""The Theta method."""

from typing import NamedTuple

import numpy as np

from forecastlab.baselines.arima import statsmodels_module
from forecastlab.baselines.base import Array
from forecastlab.baselines.per_series import CannotFitError, PerSeries, Rows, filled


class Theta(PerSeries):
    """Half the slope of a time trend, added to simple exponential smoothing (the winner of the M3 competition).

        l_t = alpha x_t + (1 - alpha) l_{t-1},  l_1 = x_1
        x(T + h) = l_T + b / 2 (h - 1 + 1/alpha - (1 - alpha)^T / alpha)

    x is the series without its season, b the slope of a line through the training rows. Whether there is a season is
    tested at the level of 10 %. It is multiplicative if all values are positive, else additive. The parameters are
    those of statsmodels' ThetaModel; forecasts from the last training row are its forecasts. Missing values hold the
    one before. It needs statsmodels: pip install 'forecastlab[arima]'. Sources: Assimakopoulos and Nikolopoulos 2000;
    Hyndman and Billah 2003.

    Args:
        season_length: as for `PerSeries`.
        jobs: as for `PerSeries`.

    Raises:
        ForecastlabError: if statsmodels is not installed.
        ConfigError: if `season_length` or `jobs` is not positive.
    """

    title = "Theta"

    def __init__(self, season_length: int | None = None, jobs: int | None = None) -> None:
        super().__init__(season_length, jobs)
        statsmodels_module("tsa.forecasting.theta", "Theta")

    def fit_one(self, series: Array, season: int) -> "ThetaLines":
        unit = float(np.nanstd(series))
        values = filled(series) / unit
        if len(values) < 5:
            raise CannotFitError(f"it trains on {len(values)} rows, and 5 are needed")
        seasonal = season > 1 and len(values) >= 2 * season + 1
        theta = statsmodels_module("tsa.forecasting.theta", "Theta")
        model = theta.ThetaModel(values, period=season if seasonal else 1, deseasonalize=seasonal)
        fitted = model.fit()
        slope, alpha = (float(value) for value in fitted.params)
        ahead = np.asarray(fitted.forecast_components(model.period if seasonal else 1).seasonal)
        if not np.isfinite([slope, alpha, *ahead]).all():
            raise CannotFitError("its smoothing has no finite parameters")
        seasons = tuple(np.roll(ahead, len(values)).tolist())  # of the first row, and so on
        return ThetaLines(unit, slope, alpha, seasons, str(model.method).startswith("mul"))

    def run_on(self, model: "ThetaLines", series: Array, origins: Rows, horizon: int) -> Array:
        return model.forecast(filled(series), origins, horizon)


class ThetaLines(NamedTuple):
    """A fitted Theta model; its values are those of the series over its unit."""

    unit: float
    slope: float
    alpha: float
    seasons: tuple[float, ...]
    """The season of the first row, and so on; a single neutral one for none."""
    multiplied: bool
    """Whether the season is multiplicative."""

    def forecast(self, series: Array, origins: Rows, horizon: int) -> Array:
        """Forecasts (origins, horizon) from rows of a series (rows,) that has no missing values."""
        values = series / self.unit
        season = np.array(self.seasons)[np.arange(len(values) + horizon) % len(self.seasons)]
        own = values / season[: len(values)] if self.multiplied else values - season[: len(values)]
        level, levels = float(own[0]), np.empty(len(own))
        for row, value in enumerate(own.tolist()):
            level += self.alpha * (value - level)
            levels[row] = level
        steps = np.arange(horizon)
        lines = np.broadcast_to(steps.astype(np.float64), (len(origins), horizon))
        if self.alpha > 0:
            lines = steps + (1 - (1 - self.alpha) ** (origins[:, None] + 1)) / self.alpha
        ahead = season[origins[:, None] + 1 + steps]
        forecast = levels[origins][:, None] + self.slope / 2 * lines
        seasonal: Array = forecast * ahead if self.multiplied else forecast + ahead
        return seasonal * self.unit
