import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from forecastlab.baselines import GradientBoosting
from forecastlab.data.calendar import calendar_covariates
from forecastlab.errors import ConfigError
from tests.series import Series, counting, noise


@pytest.mark.parametrize(("loss", "power"), [("squared_error", 2), ("absolute_error", 1)])
def test_it_is_scikit_learns_with_the_number_of_trees_of_least_error_in_the_tail(loss, power):
    rows, stop, most = 200, 150, 12
    raw = noise(rows)
    data = Series(raw, splits=2, fold=2, test_size=rows - stop)
    baseline = GradientBoosting(1, loss=loss, max_trees=most, learning_rate=0.3, max_leaves=5, min_samples=10)
    baseline.fit(data)
    found = baseline.forecast(data, range(stop - 1, rows - 1))[:, 0, 0]

    cycle = calendar_covariates(data.times, ["day_of_year"]).to_numpy()
    values = raw.to_numpy()
    x, change = np.concatenate([values[:-1], cycle[1:-1]], axis=1), np.diff(values[:, 1])
    train, tail = slice(0, stop - 31), slice(stop - 31, stop - 1)

    def fitted(trees, part):
        settings = {
            "learning_rate": 0.3,
            "max_leaf_nodes": 5,
            "min_samples_leaf": 10,
            "early_stopping": False,
            "loss": loss,
        }
        return HistGradientBoostingRegressor(max_iter=trees, **settings).fit(x[part], change[part])

    errors = [
        np.mean(abs(fitted(trees, train).predict(x[tail]) - change[tail]) ** power) for trees in range(1, most + 1)
    ]
    best = fitted(1 + int(np.argmin(errors)), slice(0, stop - 1))
    np.testing.assert_allclose(found, values[stop - 1 : -1, 1] + best.predict(x[stop - 1 :]), rtol=1e-9)


def samples(columns):
    """Inputs of which the first is what the target follows, and which samples are the tail."""
    random = np.random.default_rng(0)
    x = random.normal(size=(150, columns))
    return x, np.sin(3 * x[:, 0]) + 0.3 * random.normal(size=150), np.arange(150) >= 120


def ensemble(trees, bins=255):
    settings = {"learning_rate": 0.05, "max_leaf_nodes": 15, "min_samples_leaf": 20, "early_stopping": False}
    return HistGradientBoostingRegressor(max_iter=trees, max_bins=bins, **settings)


def test_trees_are_tried_until_thirty_do_not_lower_the_error():
    x, y, tail = samples(3)
    staged = ensemble(400).fit(x[~tail], y[~tail]).staged_predict(x[tail])
    errors = [np.mean((predicted - y[tail]) ** 2) for predicted in staged]
    first = 1 + next(number for number, error in enumerate(errors) if min(errors[number + 1 :][:30]) >= error)
    assert first > 60, "the trees of several rounds are those of one"
    found, error = GradientBoosting(max_trees=10**9)._setting(x, y, tail)
    assert found == first
    assert error == pytest.approx(errors[first - 1])


@pytest.mark.parametrize(("columns", "bins"), [(256, 255), (257, 31)])
def test_more_than_256_columns_have_fewer_bins(columns, bins):
    x, y, _ = samples(columns)
    found = GradientBoosting()._regress(x, y, 20).predict(x)
    np.testing.assert_allclose(found, ensemble(20, bins).fit(x, y).predict(x))
    assert not np.allclose(found, ensemble(20, 286 - bins).fit(x, y).predict(x)), "fewer bins are another ensemble"


def test_a_level_beyond_the_training_rows_is_followed():
    data = Series(counting(200), splits=2, fold=2, test_size=50)
    baseline = GradientBoosting()
    baseline.fit(data)
    np.testing.assert_allclose(baseline.forecast(data, range(149, 199))[:, 0, 0], 100 + np.arange(150, 200))


@pytest.mark.parametrize(
    "arguments", [{"lags": 0}, {"max_trees": 0}, {"max_leaves": 1}, {"min_samples": 0}, {"learning_rate": 0.0}]
)
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        GradientBoosting(**arguments)
