import numpy as np
import pytest
from sklearn.linear_model import Ridge as Reference
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from forecastlab.baselines import Ridge
from forecastlab.data.calendar import calendar_covariates
from forecastlab.errors import ConfigError
from tests.series import Series, noise

ROWS, STOP = 200, 150


def module(raw, **arguments):
    return Series(raw, **{"splits": 2, "fold": 2, "test_size": ROWS - STOP, **arguments})


def reference(x, y, tail, alphas):
    """Alpha and predictor by scikit-learn: chosen on the tail, fitted on everything."""

    def fitted(alpha, rows):
        return make_pipeline(StandardScaler(), Reference(alpha)).fit(x[rows], y[rows])

    errors = [np.mean((fitted(alpha, ~tail).predict(x[tail]) - y[tail]) ** 2) for alpha in alphas]
    alpha = alphas[int(np.argmin(errors))]
    return alpha, fitted(alpha, slice(None))


@pytest.mark.parametrize("lags", [1, 3])
@pytest.mark.parametrize("horizon", [1, 2])
def test_it_is_scikit_learns_on_every_step(lags, horizon):
    raw = noise(ROWS).assign(constant=3e5)
    missing = [50, 51, 120, 149]
    raw.iloc[missing, 1] = np.nan
    data = module(raw, features=["x", "y", "constant"], horizon=horizon)
    baseline = Ridge(lags)
    baseline.fit(data)
    found = baseline.forecast(data, range(STOP - 1, ROWS - 1))

    values = raw.ffill().to_numpy()
    cycle = calendar_covariates(data.times, ["day_of_year"]).to_numpy()
    for step in range(1, horizon + 1):
        x = np.array([[*values[t - np.arange(lags)].ravel(), *cycle[t + step]] for t in range(lags - 1, ROWS - 1)])
        train = [t for t in range(lags - 1, STOP - horizon) if t + step not in missing]
        rows = np.array(train) - lags + 1
        tail = np.array(train) + step >= STOP - 30
        alpha, predictor = reference(x[rows], values[np.array(train) + step, 1], tail, baseline.alphas)
        assert baseline.regressors[step - 1][0].alpha == alpha
        expected = predictor.predict(x[STOP - lags :])
        np.testing.assert_allclose(found[:, step - 1, 0], expected, rtol=1e-5)


def test_what_follows_from_yesterday_is_found():
    data = module(noise(ROWS))  # y is 5 x of the day before, and a little sine
    baseline = Ridge(1)
    baseline.fit(data)
    linear = baseline.regressors[0][0]
    assert linear.weights[0] == pytest.approx(5, abs=0.2)
    assert abs(linear.weights[1]) < 0.05
    assert linear.alpha < 10


def test_as_many_rows_are_read_as_the_tail_asks_for():
    raw = noise(ROWS)
    raw["y"] = raw["x"].shift(5, fill_value=0.0)
    chosen = []
    for seed in range(1, 8):  # the tail has thirty targets, so that one noise may resemble rows that tell nothing
        near = Ridge()
        noisy = raw["x"].shift(1, fill_value=0.0) + 0.1 * noise(ROWS, seed)["x"]
        near.fit(module(raw.assign(y=noisy), lookback=30))
        chosen.append(near.lags.rows)
    assert chosen.count(1) >= 6
    far = Ridge()
    far.fit(module(raw, lookback=5))
    assert far.lags.rows == 5
    assert far.first_origin == 4
    found = far.forecast(module(raw, lookback=5), range(STOP, ROWS - 1))[:, 0, 0]
    np.testing.assert_allclose(found, raw["y"].to_numpy()[STOP + 1 :], atol=0.3)


def test_weekdays_are_told_apart_one_by_one():
    raw = noise(ROWS)
    week = np.array([100, 140, 95, 150, 105, 60, 130.0])
    raw["y"] = week[raw.index.day_of_week] + raw["x"]
    data = module(raw, features=["y"], calendar=["day_of_week"], horizon=3)
    baseline = Ridge(1)
    baseline.fit(data)
    found = baseline.forecast(data, range(STOP, ROWS - 3))
    ahead = np.arange(STOP, ROWS - 3)[:, None] + np.arange(1, 4)
    assert np.abs(found[..., 0] - week[raw.index.day_of_week.to_numpy()[ahead]]).max() < 3


def test_more_columns_than_samples_have_the_same_solution():
    random = np.random.default_rng(0)
    x, y, tail = random.normal(size=(30, 80)), random.normal(size=30), np.arange(30) >= 24
    found, error = Ridge()._setting(x, y, tail)
    linear = Ridge()._regress(x, y, found)
    alpha, predictor = reference(x, y, tail, Ridge().alphas)
    assert linear.alpha == found == alpha
    np.testing.assert_allclose(linear.predict(x), predictor.predict(x), rtol=1e-8)
    assert error > 0


def test_noise_is_given_the_largest_penalty():
    raw = noise(ROWS)
    raw["y"] = np.random.default_rng(3).normal(size=ROWS)
    raw["x"] = np.random.default_rng(4).normal(size=ROWS)
    baseline = Ridge(lags=10, alphas=(0.01, 1e6))
    baseline.fit(module(raw))
    assert baseline.regressors[0][0].alpha == 1e6


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"lags": 0}, "lags must be a positive number of rows, got 0"),
        ({"alphas": []}, "at least one, got"),
        ({"alphas": [1.0, 0.0]}, "positive numbers"),
        ({"calendar": ["season"]}, "got 'season'"),
    ],
)
def test_impossible_arguments_are_refused(arguments, text):
    with pytest.raises(ConfigError, match=text):
        Ridge(**arguments)


def test_the_penalty_does_not_depend_on_the_tail_that_networks_are_stopped_on():
    forecasts = []
    for val_fraction in (0.01, 0.2, 0.6):
        data = Series(noise(120), fold=2, val_fraction=val_fraction)
        ridge = Ridge()
        ridge.fit(data)
        forecasts.append(ridge.forecast(data, range(80, 90)))
    assert np.array_equal(forecasts[0], forecasts[1])
    assert np.array_equal(forecasts[0], forecasts[2])
