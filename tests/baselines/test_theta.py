import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa.forecasting.theta import ThetaModel

from forecastlab.baselines import Theta
from tests.baselines.test_auto_ets import ROWS, STOP, module, values


@pytest.mark.parametrize("kind", ["multiplicative", "additive", "walk"])
def test_forecasts_from_the_last_training_row_are_statsmodels(kind):
    y = values(kind)
    baseline, data = Theta(), module(y, horizon=7)
    baseline.fit(data)
    theirs = ThetaModel(pd.Series(y[:STOP]), period=4).fit().forecast(7)
    np.testing.assert_allclose(baseline.forecast(data, range(STOP - 1, STOP))[0, :, 0], theirs, rtol=1e-6)


@pytest.mark.parametrize("kind", ["multiplicative", "additive"])
def test_later_forecasts_run_the_equations_on_with_the_same_parameters(kind):
    y = values(kind) - 20 * (kind == "additive")
    baseline, data = Theta(), module(y, horizon=5)
    baseline.fit(data)
    (model,) = baseline.models
    found = baseline.forecast(data, range(STOP - 1, ROWS))[..., 0]
    season = np.resize(model.seasons, ROWS + 5)
    multiplied = kind == "multiplicative"
    assert model.multiplied == multiplied
    x = y / model.unit / season[:ROWS] if multiplied else y / model.unit - season[:ROWS]
    for origin in (STOP, ROWS - 1):
        level = x[0]
        for value in x[1 : origin + 1]:
            level = model.alpha * value + (1 - model.alpha) * level
        T = origin + 1
        h = np.arange(1, 6)
        line = h - 1 + 1 / model.alpha - (1 - model.alpha) ** T / model.alpha
        ahead = level + model.slope / 2 * line
        ahead = ahead * season[T : T + 5] if multiplied else ahead + season[T : T + 5]
        np.testing.assert_allclose(found[origin - STOP + 1], ahead * model.unit, rtol=1e-9)


def test_data_without_a_season_are_forecast_without_one():
    baseline = Theta()
    baseline.fit(module(values("multiplicative"), season_length=1))
    assert baseline.models[0].seasons == (1.0,)
