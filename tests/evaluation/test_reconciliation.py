"""Reconciliation beside its formulas in NumPy."""

import numpy as np
import pandas as pd
import pytest

import forecastlab
from forecastlab.errors import ConfigError, DataError

TREE = pd.DataFrame({"unique_id": ["a1", "a2", "b1", "b2", "b3"], "total": "all", "region": ["A", "A", "B", "B", "B"]})
NODES = ["all", "A", "B", "a1", "a2", "b1", "b2", "b3"]
SUMS = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], *np.eye(5)])
DAYS = pd.date_range("2024-01-01", periods=3)


def forecasts(samples=None, seed=0):
    random = np.random.default_rng(seed)
    rows = [
        {"unique_id": name, "target": "y", "ds": day, "cutoff": DAYS[0] - pd.Timedelta(days=1), "sample": sample}
        for name in NODES
        for sample in range(1, (samples or 1) + 1)
        for day in DAYS
    ]
    values = pd.Series(random.normal(10, 3, len(rows)), name="forecast")
    table = pd.concat([pd.DataFrame(rows), values], axis=1)
    return table.drop(columns="sample") if samples is None else table.rename(columns={"forecast": "value"})


def errors(rows=40, seed=1):
    random = np.random.default_rng(seed)
    drawn = random.multivariate_normal(np.zeros(5), 0.5 + np.eye(5), rows) @ SUMS.T + random.normal(size=(rows, 8))
    days = pd.date_range("2023-01-01", periods=rows)
    parts = [
        pd.DataFrame({"unique_id": name, "target": "y", "ds": days, "cutoff": days, "y": drawn[:, k], "forecast": 0.0})
        for k, name in enumerate(NODES)
    ]
    return pd.concat(parts), drawn


def wide(table, value="forecast"):
    keys = [key for key in ("ds", "sample") if key in table]
    return table.pivot(index=keys, columns="unique_id", values=value)[NODES].to_numpy()


def shrunk(drawn):
    """The covariance of Schäfer and Strimmer, with deviations of ddof 0, element by element."""
    n = len(drawn)
    z = (drawn - drawn.mean(0)) / drawn.std(0)
    r = np.corrcoef(drawn.T)
    top = bottom = 0.0
    for i in range(8):
        for j in range(8):
            if i != j:
                products = z[:, i] * z[:, j]
                top += products.var() / (n - 1)
                bottom += r[i, j] ** 2
    shrinkage = min(1, top / bottom)
    r = np.where(np.eye(8, dtype=bool), 1, (1 - shrinkage) * r)
    return r * np.outer(drawn.std(0), drawn.std(0))


@pytest.mark.parametrize("method", ["bottom_up", "ols", "mint"])
@pytest.mark.parametrize("samples", [None, 4])
def test_reconciled_values_are_the_formula_and_add_up(method, samples):
    table, (known, drawn) = forecasts(samples), errors()
    found = forecastlab.reconcile(table, TREE, method, known if method == "mint" else None)
    base, value = wide(table, "value" if samples else "forecast"), "value" if samples else "forecast"
    weight = np.linalg.inv(shrunk(drawn)) if method == "mint" else np.eye(8)
    g = np.linalg.inv(SUMS.T @ weight @ SUMS) @ SUMS.T @ weight
    if method == "bottom_up":
        g = np.hstack([np.zeros((5, 3)), np.eye(5)])
    result = wide(found, value)
    np.testing.assert_allclose(result, base @ g.T @ SUMS.T, rtol=1e-9)
    np.testing.assert_allclose(result[:, :3], result[:, 3:] @ SUMS[:3].T, rtol=1e-13)


@pytest.mark.parametrize("method", ["bottom_up", "ols", "mint"])
def test_forecasts_that_add_up_are_kept(method):
    table = forecasts()
    bottom = wide(table)[:, 3:]
    coherent = pd.DataFrame(bottom @ SUMS.T, DAYS, NODES).T.stack()
    table["forecast"] = [coherent[name, day] for name, day in zip(table["unique_id"], table["ds"], strict=True)]
    found = forecastlab.reconcile(table, TREE, method, errors()[0])
    np.testing.assert_allclose(wide(found), wide(table), rtol=1e-9)


def test_the_bottom_alone_is_enough_to_go_up_from_it_and_the_order_is_that_of_the_tree():
    table = forecasts()
    found = forecastlab.reconcile(table[table["unique_id"].isin(NODES[3:])].iloc[::-1], TREE, "bottom_up")
    assert found["unique_id"].drop_duplicates().tolist() == NODES
    assert list(found.columns) == ["unique_id", "target", "ds", "cutoff", "forecast"]


def test_mint_trusts_the_node_with_small_errors():
    known, _ = errors(400)
    known.loc[known["unique_id"] != "all", "y"] *= 1000
    table = forecasts()
    found = forecastlab.reconcile(table, TREE, "mint", known)
    np.testing.assert_allclose(wide(found)[:, 0], wide(table)[:, 0], rtol=0.01)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"method": "top_down"}, ConfigError, "method must be bottom_up, ols, mint, got 'top_down'"),
        ({"errors": None}, ConfigError, "mint needs the errors of forecasts whose truth is known"),
        ({"tree": TREE[["unique_id"]]}, DataError, "the tree needs the column unique_id, and a column for each level"),
        ({"tree": TREE.assign(region="all")}, DataError, "all stands for two nodes of the tree"),
        ({"forecasts": forecasts()[lambda t: t["unique_id"] != "A"]}, DataError, "forecasts have no series A"),
        ({"forecasts": forecasts().drop(columns="cutoff")}, DataError, "forecasts have no column cutoff"),
        ({"forecasts": forecasts().iloc[1:]}, DataError, "all has no forecast at"),
        ({"forecasts": pd.concat([forecasts()] * 2)}, DataError, "two rows of one series"),
        ({"errors": errors(1)[0]}, DataError, "errors of all series at two times or more, got 1"),
        ({"errors": forecasts()}, DataError, "errors have no column y"),
    ],
)
def test_what_cannot_be_reconciled_is_refused(change, kind, words):
    arguments = {"forecasts": forecasts(), "tree": TREE, "method": "mint", "errors": errors()[0], **change}
    with pytest.raises(kind, match=words):
        forecastlab.reconcile(**arguments)
