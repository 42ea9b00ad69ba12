from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.inspection import permutation_importance as of_scikit_learn

from forecastlab.backbones.rnn import RNN
from forecastlab.batch import Schema
from forecastlab.explanation import tracing
from forecastlab.explanation.features import groups_of
from forecastlab.explanation.permutation import (
    block_orders,
    default_block,
    permutation_importance,
    rows_to_permute,
)
from tests.explanation.cases import COLUMNS, data, linear, network, samples, weather

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


def test_a_linear_network_has_the_importance_that_scikit_learn_finds():
    """The orders are read off what it asks, so that both shuffle alike."""
    module = data(lookback=1)
    model = linear(module, WEIGHTS)
    x, y = weather().to_numpy()[14:29], weather()["y"].to_numpy()[15:30]
    estimator = Recorded(model)
    expected = of_scikit_learn(estimator, x, y, scoring="neg_mean_squared_error", n_repeats=6, random_state=1)
    orders = [[int(np.flatnonzero(x[:, 0] == value)[0]) for value in asked[:, 0]] for asked in estimator.asked[1:7]]
    found, error = importance(model, module, {name: [name] for name in COLUMNS}, np.array(orders))
    np.testing.assert_allclose(found["mse"], expected.importances_mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["mse_std"], expected.importances_std, rtol=1e-4, atol=1e-5)
    assert error["mse"] == pytest.approx(np.mean((estimator.predict(x) - y) ** 2), rel=1e-5)
    absolute = of_scikit_learn(estimator, x, y, scoring="neg_mean_absolute_error", n_repeats=6, random_state=1)
    np.testing.assert_allclose(found["mae"], absolute.importances_mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["mae_std"], absolute.importances_std, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("lookback", "first"), [(5, 10), ("full", 0)])
def test_rows_of_all_histories_change_places_and_groups_together(lookback, first):
    module = data(lookback=lookback)
    model = linear(module, WEIGHTS)
    assert rows_to_permute(samples(module), model.schema) == 29 - first
    orders = block_orders(29 - first, 3, repeats=4)
    found, error = importance(model, module, groups_of(COLUMNS), orders)
    assert list(found.index) == ["T"]
    truth, estimator = weather()["y"].to_numpy()[15:30], Recorded(model)
    increases = []
    for order in orders:
        x = weather().to_numpy()[first:29].copy()
        x[:, :2] = x[order, :2]
        increases.append(np.abs(estimator.predict(x[14 - first :]) - truth).mean() - error["mae"])
    assert found.loc["T", "mae"] == pytest.approx(np.mean(increases), rel=1e-4)
    assert found.loc["T", "mae_std"] == pytest.approx(np.std(increases), rel=1e-4)


def test_a_feature_that_is_not_used_has_no_importance():
    module = data(lookback=5)
    found, _ = importance(linear(module, WEIGHTS), module, {"wind": ["wind"]}, block_orders(19, 1, 3))
    # not exactly: the variants are run together, and a matrix product of another size is rounded otherwise
    np.testing.assert_allclose(found.to_numpy(), 0, atol=1e-6)


def test_what_is_known_in_advance_is_permuted_with_its_past():
    """A network that reads a calendar column of the next day alone does not mind its past."""
    module = data(lookback=2, calendar=["day_of_year"])
    model = linear(module, {})
    names = model.schema.known
    with torch.no_grad():
        model.decoder.linear.weight[0, -len(names) :] = torch.tensor([2.0, 0.0])
    windows = samples(module)
    rows = rows_to_permute(windows, model.schema)
    assert rows == 17  # from the first row of the first history to the last target
    orders = block_orders(rows, 1, 5)
    found, error = importance(model, module, {name: [name] for name in names}, orders)
    assert found.loc[names[1], "mse"] == 0
    known = module.rows.known[13:30, 0].numpy()
    center, scale = model.scaling.known_center[0, 0].item(), model.scaling.known_scale[0, 0].item()
    truth = weather()["y"].to_numpy()[15:30]
    unit, middle = float(model.scaling.target_scale), float(model.scaling.target_center)

    def mse(values):
        return np.mean(((0.1 + 2 * (values[2:] - center) / scale) * unit + middle - truth) ** 2)

    assert error["mse"] == pytest.approx(mse(known), rel=1e-5)
    expected = np.mean([mse(known[order]) for order in orders]) - mse(known)
    assert found.loc[names[0], "mse"] == pytest.approx(expected, rel=1e-4)


def test_a_target_among_several_has_errors_of_its_own():
    module = data(lookback=1, targets=("y", "wind"))
    model = network(module, partial(RNN, hidden_size=3))
    windows = samples(module)
    truth = torch.stack([torch.tensor(weather()[name].to_numpy()[15:30]) for name in ("y", "wind")], 1)
    with model.evaluating():
        forecast = model(windows[list(range(15))])[:, 0, 0]
        for number in (0, 1):
            _, error = permutation_importance(model, windows, {}, block_orders(15, 1, 1), number)
            assert error["mae"] == pytest.approx(float((forecast - truth).abs().mean(0)[number]), rel=1e-5)


def test_many_permutations_at_once_are_as_one_by_one(monkeypatch):
    module = data(lookback=5)
    model, features = network(module, partial(RNN, hidden_size=3)), {name: [name] for name in COLUMNS}
    at_once, _ = importance(model, module, features, block_orders(19, 3, 6))
    monkeypatch.setattr(tracing, "ROWS_IN_A_BATCH", 20)
    one_by_one, _ = importance(model, module, features, block_orders(19, 3, 6))
    np.testing.assert_allclose(one_by_one, at_once, rtol=1e-4, atol=1e-6)


# Orders


@pytest.mark.parametrize(("rows", "block"), [(1, 1), (10, 1), (10, 3), (10, 10), (10, 50)])
def test_an_order_has_every_row_once(rows, block):
    for order in block_orders(rows, block, 5):
        assert sorted(order) == list(range(rows))


def test_neighbours_stay_together_in_blocks():
    for order in block_orders(100, 10, 20):
        seams = (np.diff(order) % 100 != 1).sum()
        assert seams <= 9


def test_orders_differ_and_follow_from_the_seed():
    orders = block_orders(40, 4, 5)
    assert len({tuple(order) for order in orders}) == 5
    np.testing.assert_array_equal(block_orders(40, 4, 5), orders)
    assert (block_orders(40, 4, 5, seed=1) != orders).any()


@pytest.mark.parametrize(("rows", "lookback", "block"), [(500, "full", 22), (500, 14, 14), (500, 336, 22), (1, 5, 1)])
def test_blocks_are_as_long_as_the_lookback_but_leave_enough_to_shuffle(rows, lookback, block):
    assert default_block(rows, Schema(("x",), ("x",), lookback=lookback)) == block
