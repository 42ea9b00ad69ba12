import numpy as np
import pytest
from statsmodels.tsa.stattools import kpss

from forecastlab.baselines import ARIMA, AutoARIMA
from forecastlab.baselines.auto_arima import _kpss
from forecastlab.errors import ConfigError
from tests.baselines.test_auto_ets import ROWS, STOP, module, values


def test_forecasts_are_those_of_the_arima_with_the_chosen_orders():
    y = values("walk")
    baseline, data = AutoARIMA(season_length=1), module(y)
    baseline.fit(data)
    (model,) = baseline.models
    orders = model.orders
    arima = ARIMA((orders.p, orders.d, orders.q), trend=orders.trend)
    expected = arima.run_on(y, dict(model.coefficients), np.arange(STOP - 1, ROWS), 6)
    np.testing.assert_allclose(baseline.forecast(data, range(STOP - 1, ROWS))[..., 0], expected, rtol=1e-9)


@pytest.mark.parametrize("kind", ["walk", "noise"])
def test_differences_are_taken_where_the_level_wanders(kind):
    y = values("walk") if kind == "walk" else np.diff(values("walk", 3), prepend=10)
    baseline = AutoARIMA(season_length=1, max_models=3)
    baseline.fit(module(y))
    assert baseline.models[0].orders.d == (1 if kind == "walk" else 0)


def test_a_strong_season_is_differenced_and_forecast():
    y = values("additive")
    baseline, data = AutoARIMA(max_models=4), module(y, horizon=4)
    baseline.fit(data)
    assert baseline.models[0].orders.seasonal_d == 1
    errors = np.abs(baseline.forecast(data, range(STOP - 1, STOP))[0, :, 0] - y[STOP : STOP + 4])
    assert errors.max() < 4  # the season swings by 4.5 around its mean, the noise by 1


def test_more_models_never_have_a_higher_criterion():
    y = values("walk", 5)
    likelihoods = []
    for most in (1, 12):
        baseline = AutoARIMA(season_length=1, max_models=most)
        baseline.fit(module(y))
        model = baseline.models[0]
        arima = model.orders.model(1)
        number, rows = len(model.coefficients) + 1, STOP - model.orders.d
        likelihood = arima.log_likelihood(y[:STOP], dict(model.coefficients))
        likelihoods.append(-2 * likelihood + 2 * number * rows / (rows - number - 1))
    assert likelihoods[1] <= likelihoods[0]


@pytest.mark.filterwarnings("ignore:The test statistic is outside", "ignore:kpss currently returns a plain tuple")
@pytest.mark.parametrize("kind", ["walk", "additive"])
def test_the_statistic_of_the_test_for_a_level_is_statsmodels(kind):
    y = values(kind)
    lags = int(4 * (ROWS / 100) ** 0.25)
    assert _kpss(y) == pytest.approx(kpss(y, "c", nlags=lags)[0], rel=1e-9)


def test_no_model_at_all_is_refused():
    with pytest.raises(ConfigError, match="max_models must be a positive number, got 0"):
        AutoARIMA(max_models=0)
