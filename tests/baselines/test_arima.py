import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.tsa.arima.model as statsmodels
from statsmodels.tsa.statespace.sarimax import SARIMAX

from forecastlab.baselines import ARIMA
from forecastlab.errors import ConfigError, ForecastlabError
from tests.series import Series

ROWS, STOP = 160, 130


def module(y, **arguments):
    """A series of one column, of which all but the last 30 rows train."""
    raw = pd.DataFrame({"y": y}, index=pd.date_range("2020-01-01", periods=len(y)))
    return Series(raw, features=["y"], splits=2, fold=2, test_size=len(y) - STOP, **arguments)


def autoregression(*phi, mean=12.0, seed=0):
    """An autoregressive series (rows,)."""
    rng, y = np.random.default_rng(seed), np.zeros(ROWS + 50)
    for row in range(len(phi), len(y)):
        y[row] = sum(weight * y[row - 1 - lag] for lag, weight in enumerate(phi)) + rng.normal()
    return mean + y[50:]


def fitted(baseline, data):
    baseline.fit(data)
    return baseline, list(baseline.coefficients[0].values())


def test_first_order_decays_towards_the_mean():
    y = autoregression(0.7)
    baseline, (mean, phi) = fitted(ARIMA((1, 0, 0)), module(y, horizon=4))
    assert phi == pytest.approx(0.7, abs=0.1)
    assert mean == pytest.approx(12, abs=1)
    found = baseline.forecast(module(y, horizon=4), range(STOP - 1, ROWS))[..., 0]
    expected = mean + phi ** np.arange(1, 5) * (y[STOP - 1 :, None] - mean)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_second_order_is_its_recursion():
    y = autoregression(0.5, -0.6)
    baseline, (mean, first, second) = fitted(ARIMA((2, 0, 0)), module(y, horizon=3))
    assert (first, second) == pytest.approx((0.5, -0.6), abs=0.15)
    found = baseline.forecast(module(y, horizon=3), range(STOP - 1, ROWS))[..., 0]
    for origin, forecast in enumerate(found, start=STOP - 1):
        before, last = y[origin - 1] - mean, y[origin] - mean
        for value in forecast:
            before, last = last, first * last + second * before
            assert value == pytest.approx(mean + last, rel=1e-6)


def test_a_moving_average_of_differences_is_exponential_smoothing():
    y = autoregression(0.2).cumsum()
    baseline, (theta,) = fitted(ARIMA((0, 1, 1)), module(y))
    found = baseline.forecast(module(y), range(STOP - 1, ROWS))[:, 0, 0]
    level, levels = y[0], []
    for value in y:
        level += (1 + theta) * (value - level)
        levels.append(level)
    np.testing.assert_allclose(found, levels[STOP - 1 :], rtol=1e-5)


def test_a_missing_value_is_bridged_not_filled():
    y = autoregression(0.8)
    y[[60, STOP + 4, STOP + 5]] = np.nan
    baseline, (mean, phi) = fitted(ARIMA((1, 0, 0)), module(y))
    origins = range(STOP + 3, STOP + 7)
    found = baseline.forecast(module(y), origins)[:, 0, 0]
    last, next_seen = y[STOP + 3] - mean, y[STOP + 6] - mean
    np.testing.assert_allclose(
        found - mean, [phi * last, phi**2 * last, phi**3 * last, phi * next_seen], rtol=1e-5, atol=1e-6
    )
    direct = statsmodels.ARIMA(y[:STOP], order=(1, 0, 0), concentrate_scale=True)
    np.testing.assert_allclose(direct.fit().params, [mean, phi], rtol=1e-6)


@pytest.mark.parametrize(
    ("order", "season", "trend"),
    [
        ((2, 1, 1), (0, 0, 0, 0), None),
        ((1, 0, 2), (0, 0, 0, 0), "ct"),
        ((1, 1, 0), (0, 0, 0, 0), "t"),
        ((1, 0, 0), (0, 1, 1, 7), None),
        ((0, 1, 1), (1, 1, 0, 4), "n"),
    ],
)
def test_forecasts_are_those_of_statsmodels_with_observations_appended(order, season, trend):
    time = np.arange(ROWS)
    y = autoregression(0.5, seed=2) + 0.05 * time + 3 * np.sin(2 * np.pi * time / 7)
    y[40] = np.nan
    data = module(y, horizon=5)
    baseline, coefficients = fitted(ARIMA(order, season, trend), data)
    found = baseline.forecast(data, range(STOP - 1, ROWS))[..., 0]
    model = statsmodels.ARIMA(y[:STOP], order=order, seasonal_order=season, trend=trend, concentrate_scale=True)
    results = model.smooth(coefficients)
    np.testing.assert_allclose(found[0], results.forecast(5), rtol=1e-7)
    for origin in (STOP, STOP + 3, ROWS - 1):
        appended = results.append(y[STOP : origin + 1], refit=False).forecast(5)
        np.testing.assert_allclose(found[origin - STOP + 1], appended, rtol=1e-7)
    if trend not in ("t", "ct"):  # statsmodels' extend starts a time trend anew
        np.testing.assert_allclose(found[-1], results.extend(y[STOP:]).forecast(5), rtol=1e-7)


def test_the_likelihood_is_as_great_as_another_search_finds():
    y = autoregression(0.6, 0.2, seed=4)
    baseline, coefficients = fitted(ARIMA((2, 0, 1)), module(y))
    assert list(baseline.coefficients[0]) == ["const", "ar.L1", "ar.L2", "ma.L1"]
    y = y[:STOP]
    ours = statsmodels.ARIMA(y, order=(2, 0, 1), concentrate_scale=True).loglike(coefficients)
    other = SARIMAX(y, order=(2, 0, 1), trend="c").fit(method="nm", maxiter=4000, disp=False)
    assert ours > other.llf - 0.05


def test_starting_values_that_statsmodels_drops_are_nobodys_concern():
    y = autoregression(0.3, seed=1) + 8 * np.sin(np.arange(ROWS) / 50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ARIMA((2, 0, 1)).fit(module(y))
    with pytest.warns(Warning, match="starting"):
        statsmodels.ARIMA(y[:STOP], order=(2, 0, 1), concentrate_scale=True).fit()


def test_the_package_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels.tsa.arima.model", None)
    with pytest.raises(ForecastlabError, match=r"pip install 'forecastlab\[arima\]'"):
        ARIMA()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"order": (1, -1, 1)}, "negative"),
        ({"order": (1, 1)}, "three elements"),
        ({"order": (1, 1, 1), "trend": "c"}, "trend"),
        ({"seasonal_order": (1, 0, 0, 0)}, "periodicity"),
        ({"order": (7, 0, 0), "seasonal_order": (1, 0, 0, 7)}, "both"),
        ({"trend": "linear"}, "trend"),
    ],
)
def test_impossible_orders_are_refused_at_once(arguments, text):
    with pytest.raises(ConfigError, match=f"there is no ARIMA model of order=.*{text}") as caught:
        ARIMA(**arguments)
    assert len(str(caught.value).splitlines()) <= 10


def test_too_few_rows_for_the_order_are_refused():
    raw = pd.DataFrame({"y": np.arange(16.0)}, index=pd.date_range("2020-01-01", periods=16))
    data = Series(raw, features=["y"])
    with pytest.raises(ConfigError, match="needs 9 observed rows of y or more, but fold 1 trains on 4: choose"):
        ARIMA((2, 1, 1)).fit(data)
