import numpy as np
import pytest
from sklearn.linear_model import ElasticNet as Reference
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from forecastlab.baselines import ElasticNet, Lasso
from forecastlab.data.calendar import calendar_covariates
from forecastlab.errors import ConfigError
from tests.series import Series, noise

ROWS, STOP = 200, 150


def greatest(x, y, ratio):
    """The least penalty that leaves every column out."""
    return np.abs(StandardScaler().fit_transform(x).T @ (y - y.mean())).max() / len(y) / ratio


@pytest.mark.parametrize(("baseline", "ratios"), [(Lasso(3), [1.0]), (ElasticNet(3), [0.1, 0.5, 0.9])])
def test_it_is_scikit_learns_with_the_penalty_of_least_error_in_the_tail(baseline, ratios):
    raw = noise(ROWS)
    data = Series(raw, splits=2, fold=2, test_size=ROWS - STOP)
    baseline.fit(data)
    found = baseline.forecast(data, range(STOP - 1, ROWS - 1))[:, 0, 0]

    values = raw.to_numpy()
    cycle = calendar_covariates(data.times, ["day_of_year"]).to_numpy()
    x = np.array([[*values[t - np.arange(3)].ravel(), *cycle[t + 1]] for t in range(2, ROWS - 1)])
    y = values[3:, 1]

    def unit(rows):
        """Target in units of its own, on which the balance of the two penalties depends."""
        return (y - y[rows].mean()) / y[rows].std()

    train, tail = slice(0, STOP - 33), slice(STOP - 33, STOP - 3)
    errors = {}
    for ratio in ratios:
        for alpha in greatest(x[train], unit(train)[train], ratio) * np.logspace(0, -3, 31):
            net = make_pipeline(StandardScaler(), Reference(alpha=alpha, l1_ratio=ratio, tol=1e-8, max_iter=100_000))
            predicted = net.fit(x[train], unit(train)[train]).predict(x[tail])
            errors[ratio, alpha] = np.mean((predicted - unit(train)[tail]) ** 2)
    ratio, alpha = min(errors, key=errors.get)
    assert baseline.regressors[0][0].alpha == pytest.approx(alpha, rel=1e-3)
    best = make_pipeline(StandardScaler(), Reference(alpha=alpha, l1_ratio=ratio, tol=1e-8, max_iter=100_000))
    every = slice(0, STOP - 3)
    expected = best.fit(x[every], unit(every)[every]).predict(x[STOP - 3 :])
    np.testing.assert_allclose(
        found, y[every].mean() + y[every].std() * expected, rtol=2e-2
    )  # it ends at a gap of 1e-4


def test_what_tells_nothing_is_left_out():
    raw = noise(ROWS)
    data = Series(raw, splits=2, fold=2, test_size=ROWS - STOP)
    baseline = Lasso(4)
    baseline.fit(data)
    weights = baseline.regressors[0][0].weights
    assert weights[0] == pytest.approx(5, abs=0.3)  # x of the day before
    assert np.mean(weights == 0) >= 0.4


def test_a_target_that_does_not_change_in_training_is_forecast_to_stay():
    raw = noise(ROWS)
    raw.iloc[:STOP, 1] = 7.0
    data = Series(raw, splits=2, fold=2, test_size=ROWS - STOP)
    baseline = Lasso(2)
    baseline.fit(data)
    np.testing.assert_allclose(baseline.forecast(data, range(STOP, ROWS)), 7.0)


@pytest.mark.parametrize("ratios", [[], [0.0], [0.5, 1.5]])
def test_impossible_shares_are_refused(ratios):
    with pytest.raises(ConfigError, match="l1_ratios must be numbers above 0 up to 1"):
        ElasticNet(l1_ratios=ratios)
