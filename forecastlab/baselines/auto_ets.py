"""AutoETS: exponential smoothing with error, trend and season chosen by AICc."""

from typing import NamedTuple

import numpy as np

from forecastlab.baselines.arima import statsmodels_module
from forecastlab.baselines.base import Array
from forecastlab.baselines.per_series import CannotFitError, PerSeries, Rows, filled

LONGEST_SEASON = 24
"""The starting values of a longer season are too many to be estimated."""


class AutoETS(PerSeries):
    """Exponential smoothing, whose error, trend and season are chosen by the corrected Akaike criterion.

    The family is the one of Hyndman and others: additive or multiplicative errors; no trend, an additive or a damped
    one; no season, an additive or a multiplicative one. Additive errors with a multiplicative season are left out, as
    their forecasts have no finite variance. What is multiplicative needs positive values. Parameters and starting
    values maximise the likelihood of statsmodels' ETSModel. With r_t = y_t - ŷ_t the states run on, for an additive
    (multiplicative) season:

        q_t = l_{t-1} + phi b_{t-1},   ŷ_t = q_t + s_{t-m}   (q_t s_{t-m})
        l_t = q_t + alpha r_t          (q_t + alpha r_t / s_{t-m})
        b_t = phi b_{t-1} + beta r_t   (phi b_{t-1} + beta r_t / s_{t-m})
        s_t = s_{t-m} + gamma r_t      (s_{t-m} + gamma r_t / q_t)

    The forecast is the path without further errors. It is a median, and not the mean, if anything is multiplicative.
    Missing values hold the one before. A season longer than 24 rows, or of which there are not two in the training
    rows, is left out. It needs statsmodels: pip install 'forecastlab[arima]'. Source: Hyndman, Koehler, Ord and Snyder
    2008, Forecasting with Exponential Smoothing.

    Args:
        season_length: as for `PerSeries`.
        jobs: as for `PerSeries`.

    Raises:
        ForecastlabError: if statsmodels is not installed.
        ConfigError: if `season_length` or `jobs` is not positive.
    """

    title = "AutoETS"

    def __init__(self, season_length: int | None = None, jobs: int | None = None) -> None:
        super().__init__(season_length, jobs)
        statsmodels_module("tsa.exponential_smoothing.ets", "AutoETS")

    def fit_one(self, series: Array, season: int) -> "Smoothing":
        unit = float(np.nanstd(series))
        values = filled(series) / unit
        seasonal = 1 < season <= LONGEST_SEASON and len(values) >= 2 * season + 5
        seasons = [None, "add", "mul"] if seasonal else [None]
        positive = bool((values > 0).all())
        found: list[tuple[float, Smoothing]] = []
        for error in ("add", "mul"):
            for trend, damped in ((None, False), ("add", False), ("add", True)):
                for form in seasons:
                    if (error, form) == ("add", "mul") or ("mul" in (error, form) and not positive):
                        continue
                    if candidate := _candidate(values, unit, error, trend, damped, form, season):
                        found.append(candidate)
        if not found:
            raise CannotFitError(f"no model fits its {len(values)} training rows")
        return min(found, key=lambda each: each[0])[1]

    def run_on(self, model: "Smoothing", series: Array, origins: Rows, horizon: int) -> Array:
        return model.forecast(filled(series), origins, horizon)


class Smoothing(NamedTuple):
    """A fitted model of exponential smoothing; its values are those of the series over its unit."""

    kind: tuple[str, str | None, bool, str | None]
    """Error, trend, whether that is damped, and season."""
    unit: float
    alpha: float
    beta: float
    gamma: float
    phi: float
    level: float
    """Before the first row, as the next two."""
    slope: float
    seasons: tuple[float, ...]
    """The season of the first row, and so on; a single 0 for none."""

    def forecast(self, series: Array, origins: Rows, horizon: int) -> Array:
        """Forecasts (origins, horizon) from rows of a series (rows,) that has no missing values."""
        length, multiplied = len(self.seasons), self.kind[3] == "mul"
        level, slope, seasons = self.level, self.slope, list(self.seasons)
        wanted = {int(row): place for place, row in enumerate(origins)}
        damping = np.cumsum(self.phi ** np.arange(1, horizon + 1))
        forecast = np.empty((len(origins), horizon))
        for row, value in enumerate((series / self.unit).tolist()):
            place = row % length
            expected, season = level + self.phi * slope, seasons[place]
            if multiplied:
                error = (value - expected * season) / season
                seasons[place] = season + self.gamma * error * season / expected
            else:
                error = value - expected - season
                seasons[place] = season + self.gamma * error
            level, slope = expected + self.alpha * error, self.phi * slope + self.beta * error
            if row in wanted:
                trend = level + damping * slope
                ahead = np.array(seasons)[(row + 1 + np.arange(horizon)) % length]
                forecast[wanted[row]] = trend * ahead if multiplied else trend + ahead
        return forecast * self.unit


def _candidate(
    values: Array, unit: float, error: str, trend: str | None, damped: bool, form: str | None, season: int
) -> tuple[float, Smoothing] | None:
    """The corrected Akaike criterion of a model, and the model; None if it cannot be fitted."""
    ets = statsmodels_module("tsa.exponential_smoothing.ets", "AutoETS")
    try:
        model = ets.ETSModel(
            values,
            error=error,
            trend=trend,
            damped_trend=damped,
            seasonal=form,
            seasonal_periods=season if form else None,
        )
        fitted = model.fit(disp=False)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError):
        return None
    parameters = dict(zip(model.param_names, np.asarray(fitted.params).tolist(), strict=True))
    number = len(parameters) + 1 - bool(form)  # the variance is one, and a season's starting values sum to a constant
    if len(values) <= number + 1 or not np.isfinite(list(parameters.values())).all():
        return None
    criterion = -2 * float(fitted.llf) + 2 * number * len(values) / (len(values) - number - 1)
    # statsmodels numbers the starting values from the row before the first one backwards
    seasons = tuple(parameters[f"initial_seasonal.{number}"] for number in reversed(range(season))) if form else (0.0,)
    smoothing = Smoothing(
        kind=(error, trend, damped, form),
        unit=unit,
        alpha=parameters["smoothing_level"],
        beta=parameters.get("smoothing_trend", 0.0),
        gamma=parameters.get("smoothing_seasonal", 0.0),
        phi=parameters.get("damping_trend", 1.0),
        level=parameters["initial_level"],
        slope=parameters.get("initial_trend", 0.0),
        seasons=seasons,
    )
    return (criterion, smoothing) if np.isfinite(criterion) else None
