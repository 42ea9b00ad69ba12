"""Least absolute deviations, against scikit-learn's quantile regression and medians by hand."""

import numpy as np
import pytest
from sklearn.linear_model import QuantileRegressor

from forecastlab.baselines import LeastAbsolute, Ridge
from forecastlab.baselines.least_absolute import _path
from forecastlab.errors import ConfigError
from tests.series import Series, noise


@pytest.fixture(scope="module")
def sample():
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(400, 6)) * [1, 10, 0.1, 1, 1, 1] + [0, 100, 0, 0, 0, 5]
    return inputs, 50 + inputs @ [1, 0.2, -5, 0, 0, 2] + generator.standard_t(1.5, size=400)


def test_almost_no_penalty_gives_scikit_learns_median_regression(sample):
    inputs, target = sample
    ours = _path(inputs, target, [1e-3, 1e-9])[-1]
    theirs = QuantileRegressor(quantile=0.5, alpha=0).fit(inputs, target)
    errors = [np.abs(target - each.predict(inputs)).mean() for each in (ours, theirs)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-5)
    np.testing.assert_allclose(ours.weights, theirs.coef_, atol=0.02)


def test_no_change_of_the_weights_lowers_the_penalised_objective(sample):
    inputs, target = sample
    found = _path(inputs, target, [0.1])[0]
    center, scale = inputs.mean(0), inputs.std(0)
    unit = np.abs(target - np.median(target)).mean()

    def objective(weights, intercept):
        error = (target - intercept - (inputs - center) / scale @ weights) / unit
        return np.abs(error).mean() + 0.1 * ((weights / unit) ** 2).sum() / 2

    weights, intercept = found.weights * scale, found.intercept + center @ found.weights
    least = objective(weights, intercept)
    generator = np.random.default_rng(1)
    for size in (1e-3, 1e-2, 0.1):
        for _ in range(50):
            step = generator.normal(size=7) * size * unit
            assert objective(weights + step[:6], intercept + step[6]) > least - 1e-6


def test_more_columns_than_samples_give_the_same_by_the_products_of_the_samples(sample):
    inputs, target = (each[:40] for each in sample)
    wide = np.concatenate([inputs, np.zeros((40, 60))], 1)  # constant columns have no say
    narrow, found = (_path(each, target, [0.1, 0.01])[-1] for each in (inputs, wide))
    np.testing.assert_allclose(found.predict(wide), narrow.predict(inputs), rtol=1e-4)


def test_inputs_that_tell_nothing_leave_the_median():
    found = _path(np.ones((5, 2)), np.array([1.0, 2.0, 3.0, 50.0, 900.0]), [1.0])[0]
    assert found.predict(np.ones((1, 2)))[0] == pytest.approx(3, abs=1e-3)


def test_outliers_move_it_less_than_ridge():
    raw = noise(300)
    raw.iloc[20:200:10, 1] += 400
    data = Series(raw, splits=2, fold=2, test_size=50, lookback=1)
    truth = data.rows.target[251:300, 0].numpy()
    errors = []
    for baseline in (LeastAbsolute(), Ridge()):
        baseline.fit(data)
        errors.append(np.abs(baseline.forecast(data, range(250, 299))[:, 0, 0] - truth).mean())
    assert errors[0] < 0.5 * errors[1]


def test_penalties_that_are_none_are_refused():
    with pytest.raises(ConfigError, match="alphas must be positive"):
        LeastAbsolute(alphas=[0.0])
