from typing import ClassVar

import numpy as np
import pytest

from forecastlab.baselines import ARIMA, Persistence, ResidualRegression, SeasonalNaive
from forecastlab.errors import ConfigError
from tests.series import Series, counting, noise

ROWS, STOP = 200, 150


def module(raw, **arguments):
    return Series(raw, **{"splits": 2, "fold": 2, "test_size": ROWS - STOP, **arguments})


class Recorder:
    """Keeps what it is given, and predicts a constant."""

    seen: ClassVar[list] = []

    def __init__(self, constant=0.0):
        self.constant = constant

    def fit(self, X, y):
        type(self).seen.append((X, y))

    def predict(self, X):
        return np.full((len(X), 1), self.constant)


@pytest.fixture
def recorder():
    Recorder.seen = []
    return Recorder


def standardised(columns):
    scale = columns.std(0)
    return (columns - columns.mean(0)) / np.where(scale > 0, scale, 1)


def test_the_regressor_learns_the_errors_of_each_step_from_the_past(recorder):
    raw = noise(ROWS)
    data = module(raw, horizon=2)
    baseline = ResidualRegression(Persistence(), recorder(), lags=2, calendar=())
    baseline.fit(data)
    x, y = raw.to_numpy().T
    origins = np.arange(2, STOP - 2)
    assert baseline.first_origin == 2  # the error of row 1, a row before, needs a forecast from row 0
    change = np.diff(y, prepend=np.nan)
    past = np.stack([x[origins], y[origins], x[origins - 1], y[origins - 1], change[origins], change[origins - 1]], 1)
    assert len(recorder.seen) == 2
    for step, (inputs, target) in enumerate(recorder.seen, start=1):
        np.testing.assert_allclose(inputs, standardised(past), atol=1e-5)
        np.testing.assert_allclose(target, standardised(y[origins + step] - y[origins]), atol=1e-5)


def test_what_the_regressor_says_is_added_in_the_targets_unit(recorder):
    raw = noise(ROWS)
    data = module(raw)
    baseline = ResidualRegression(Persistence(), recorder(2.0))
    baseline.fit(data)
    found = baseline.forecast(data, range(STOP - 1, ROWS))[:, 0, 0]
    change = np.diff(raw["y"].to_numpy())[1 : STOP - 1]
    np.testing.assert_allclose(found, raw["y"].to_numpy()[STOP - 1 :] + change.mean() + 2 * change.std(), rtol=1e-5)


def test_an_error_that_is_not_known_counts_as_none(recorder):
    raw = counting(ROWS)
    raw["y"] += np.arange(ROWS) ** 2
    raw.iloc[100, 1] = np.nan
    ResidualRegression(Persistence(), recorder(), calendar=()).fit(module(raw, features=["x"], targets=["y"]))
    ((inputs, target),) = recorder.seen
    origins = np.array([row for row in range(1, STOP - 1) if row != 99])  # whose target is row 100
    assert len(target) == len(origins)
    y = raw["y"].ffill().to_numpy()
    errors = np.where(origins == 100, 0, y[origins] - y[origins - 1])
    np.testing.assert_allclose(inputs[:, 2], standardised(errors), atol=1e-5)


def test_what_arima_cannot_see_is_learnt_from_the_features():
    raw = noise(ROWS)
    raw["y"] = 20 + 5 * np.abs(raw["x"].shift(1, fill_value=0.0))
    data, truth = module(raw), raw["y"].to_numpy()[STOP:]
    errors = {}
    for baseline in (ARIMA((1, 0, 0)), ResidualRegression(ARIMA((1, 0, 0)))):
        baseline.fit(data)
        errors[type(baseline)] = np.mean((baseline.forecast(data, range(STOP - 1, ROWS - 1))[:, 0, 0] - truth) ** 2)
    assert errors[ResidualRegression] < 0.2 * errors[ARIMA]


def test_its_default_is_arima_and_a_network_with_a_fixed_seed():
    baseline, other, data = ResidualRegression(), ResidualRegression(), module(noise(ROWS))
    assert baseline.name == "ARIMA(2,1,1) + MLPRegressor"
    for each in (baseline, other):
        each.fit(data)
    np.testing.assert_array_equal(baseline.forecast(data, range(STOP, ROWS)), other.forecast(data, range(STOP, ROWS)))


def test_the_regressor_that_was_given_is_copied_not_fitted(recorder):
    given = recorder()
    baseline = ResidualRegression(Persistence(), given)
    baseline.fit(module(noise(ROWS), horizon=2, targets=["y", "x"]))
    assert len({id(each.regressor) for step in baseline.regressors for each in step} | {id(given)}) == 5


def test_it_begins_where_its_baseline_and_its_lags_can():
    assert ResidualRegression(SeasonalNaive(7), lags=3).first_origin == 9


def test_no_lags_are_refused():
    with pytest.raises(ConfigError, match="lags must be a positive number of rows, got 0"):
        ResidualRegression(Persistence(), lags=0)
