"""AutoARIMA: the orders of ARIMA chosen by tests and AICc."""

from typing import Literal, NamedTuple

import numpy as np

from forecastlab.baselines.arima import ARIMA, statsmodels_module
from forecastlab.baselines.base import Array
from forecastlab.baselines.per_series import CannotFitError, PerSeries, Rows, filled
from forecastlab.errors import ConfigError

LONGEST_SEASON = 24
MOST_ROWS = 400
"""The last training rows that are fitted: the cost grows with them, and older ones tell little of the orders."""
ROUNDS = 50
"""The most steps of the search for coefficients."""
STRONG = 0.64
"""The strength of a season from which on it is differenced (Hyndman's limit)."""
SIGNIFICANT = 0.463
"""The statistic of the KPSS test of a level, at 5 %."""

Trend = Literal["n", "c", "t"]


class AutoARIMA(PerSeries):
    """ARIMA whose orders are chosen for each series (Hyndman and Khandakar 2008).

    A season whose strength in a decomposition is above 0.64 is differenced once. Further differences, at most two, are
    taken until the KPSS test finds no trend at 5 %. A stepwise search then changes p, q, P, Q and the constant by one
    and keeps what lowers the corrected Akaike criterion, from four usual models on. p and q are at most 3, P and Q at
    most 1. The models, their likelihood and their forecasts are those of `ARIMA`;
    missing values enter neither.

    Only the last 400 training rows are fitted. A season longer than 24 rows, or of which there are not three in these
    rows, is left out. It is slow: seconds for a series with a season. It needs statsmodels: pip install
    'forecastlab[arima]'. Source: Hyndman and Khandakar 2008, Journal of Statistical Software 27(3).

    Args:
        season_length: as for `PerSeries`.
        jobs: as for `PerSeries`.
        max_models: the most models that are fitted to a series.

    Raises:
        ForecastlabError: if statsmodels is not installed.
        ConfigError: if `season_length`, `jobs` or `max_models` is not positive.
    """

    title = "AutoARIMA"

    def __init__(self, season_length: int | None = None, jobs: int | None = None, max_models: int = 16) -> None:
        super().__init__(season_length, jobs)
        if max_models < 1:
            raise ConfigError(f"max_models must be a positive number, got {max_models}")
        self.max_models = max_models
        statsmodels_module("tsa.arima.model", "AutoARIMA")

    def fit_one(self, series: Array, season: int) -> "Fitted":
        begin = max(0, len(series) - MOST_ROWS)
        series = series[begin:]
        if not 1 < season <= LONGEST_SEASON or len(series) < 3 * season:
            season = 1
        search = _Search(series, season, self.max_models)
        best = search.best()
        if best is None:
            raise CannotFitError(f"no model fits its {len(series)} training rows")
        orders, coefficients = best
        return Fitted(orders, season, begin, tuple(coefficients.items()))

    def run_on(self, model: "Fitted", series: Array, origins: Rows, horizon: int) -> Array:
        arima, rows = model.orders.model(model.season), origins - model.begin
        least = max(0, arima.first_origin)
        late = rows >= least
        forecast = np.repeat(filled(series)[origins][:, None], horizon, axis=1)  # where differences are not known yet
        if late.any():
            forecast[late] = arima.run_on(series[model.begin :], dict(model.coefficients), rows[late], horizon)
        return forecast


class Orders(NamedTuple):
    """The orders of a model; those of the season are capital letters in the equations."""

    p: int
    d: int
    q: int
    seasonal_p: int
    seasonal_d: int
    seasonal_q: int
    trend: Trend

    def model(self, season: int) -> ARIMA:
        """The model for a season of some rows."""
        seasonal = (self.seasonal_p, self.seasonal_d, self.seasonal_q, season)
        return ARIMA((self.p, self.d, self.q), seasonal if season > 1 else (0, 0, 0, 0), self.trend)


class Fitted(NamedTuple):
    """A fitted model, and the training row from which on it was fitted."""

    orders: Orders
    season: int
    begin: int
    coefficients: tuple[tuple[str, float], ...]


class _Search:
    """The stepwise search for the orders of one series (rows,), NaN where a value is missing."""

    def __init__(self, series: Array, season: int, most: int) -> None:
        self._series, self._season, self._most = series, season, most
        self._tried: dict[Orders, tuple[float, dict[str, float]]] = {}
        values = filled(series)
        seasonal_d = int(season > 1 and _strength(values, season) > STRONG)
        if seasonal_d:
            values = values[season:] - values[:-season]
        d = 0
        while d < 2 - seasonal_d and len(values) > 10 and _kpss(values) > SIGNIFICANT:
            values, d = np.diff(values), d + 1
        self._d, self._seasonal_d = d, seasonal_d

    def best(self) -> tuple[Orders, dict[str, float]] | None:
        """The orders with the lowest criterion, and the coefficients; None if no model can be fitted."""
        seasonal = int(self._season > 1)
        for p, q, own in ((0, 0, (0, 0)), (1, 0, (seasonal, 0)), (0, 1, (0, seasonal)), (2, 2, (seasonal, seasonal))):
            self._try(Orders(p, self._d, q, own[0], self._seasonal_d, own[1], self._constant))
        while len(self._tried) < self._most:
            best = self._leader()
            for near in self._near(best):
                self._try(near)
            if self._leader() == best:
                break
        best = self._leader()
        criterion, coefficients = self._tried[best]
        return (best, coefficients) if np.isfinite(criterion) else None

    @property
    def _constant(self) -> Trend:
        """The constant of the differenced series: the mean, the slope, or none."""
        differences = self._d + self._seasonal_d
        return "c" if differences == 0 else "t" if differences == 1 else "n"

    def _leader(self) -> Orders:
        return min(self._tried, key=lambda orders: self._tried[orders][0])

    def _near(self, best: Orders) -> list[Orders]:
        """Orders that differ by one."""
        changes = [{"p": 1}, {"p": -1}, {"q": 1}, {"q": -1}, {"p": 1, "q": 1}, {"p": -1, "q": -1}]
        if self._season > 1:
            changes = [{"seasonal_p": 1}, {"seasonal_p": -1}, {"seasonal_q": 1}, {"seasonal_q": -1}, *changes]
        near = []
        for change in changes:
            values = {name: getattr(best, name) + by for name, by in change.items()}
            if all(0 <= value <= (3 if name in "pq" else 1) for name, value in values.items()):
                near.append(best._replace(**values))
        other: Trend = "n" if best.trend != "n" else self._constant
        return [*near, best._replace(trend=other)]

    def _try(self, orders: Orders) -> None:
        """Fits a model, unless it was tried, or enough were."""
        if orders in self._tried or len(self._tried) >= self._most:
            return
        try:
            model = orders.model(self._season)
            coefficients = model.fitted_to(self._series, ROUNDS)
            likelihood = model.log_likelihood(self._series, coefficients)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError):
            self._tried[orders] = np.inf, {}
            return
        number = len(coefficients) + 1
        rows = int(np.isfinite(self._series).sum()) - self._d - self._season * self._seasonal_d
        usable = rows > number + 1 and np.isfinite([likelihood, *coefficients.values()]).all()
        criterion = -2 * likelihood + 2 * number * rows / (rows - number - 1) if usable else np.inf
        self._tried[orders] = criterion, coefficients


def _strength(values: Array, season: int) -> float:
    """The strength of a season, 0 .. 1: how much less the remainder varies than the series without its trend."""
    decompose = statsmodels_module("tsa.seasonal", "AutoARIMA").seasonal_decompose
    parts = decompose(values, period=season)
    rest = np.asarray(parts.resid)
    known = np.isfinite(rest)
    detrended = float(np.var(rest[known] + np.asarray(parts.seasonal)[known]))
    return max(0.0, 1 - float(np.var(rest[known])) / detrended) if detrended > 0 else 0.0


def _kpss(values: Array) -> float:
    """The statistic of Kwiatkowski and others (1992) for a constant level; Bartlett's weights, 4 (n/100)^(1/4) lags."""
    rest = values - values.mean()
    lags = int(4 * (len(values) / 100) ** 0.25)
    variance = float(rest @ rest) + 2 * sum(
        (1 - lag / (lags + 1)) * float(rest[lag:] @ rest[:-lag]) for lag in range(1, lags + 1)
    )
    return float((np.cumsum(rest) ** 2).sum()) / (len(values) * variance) if variance > 0 else 0.0
