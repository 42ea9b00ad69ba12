"""Reconciliation: forecasts and paths of a tree of series that add up."""

from collections.abc import Sequence
from typing import Any, Literal, cast, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from forecastlab.errors import ConfigError, DataError
from forecastlab.network.copula import shrunk_correlation

Method = Literal["bottom_up", "ols", "mint"]
Matrix = NDArray[np.float64]


def reconcile(
    forecasts: pd.DataFrame, tree: pd.DataFrame, method: Method = "mint", errors: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Changes forecasts, or paths, of the series of a tree so that every aggregate is the sum of its parts.

        ỹ = S G ŷ        S: which bottom series a node sums (nodes, bottom)

        bottom_up   G takes the bottom series as they are
        ols         G = (SᵀS)⁻¹ Sᵀ
        mint        G = (SᵀW⁻¹S)⁻¹ SᵀW⁻¹, W the covariance of the errors, its correlations shrunk

    Aggregates are sums of the reconciled bottom series, so they add up to the last digits. Paths are reconciled one by
    one: sample 1 of each series with sample 1 of the others. Quantiles of sums are no sums of quantiles. So columns of
    quantiles are left out; take them from reconciled paths. Reconciled values of positive series may be negative.

    Sources: Hyndman et al. 2011; Wickramasuriya, Athanasopoulos and Hyndman 2019; the shrinkage is that of Schäfer and
    Strimmer 2005.

    Args:
        forecasts: what `forecast` gives, or with `paths`: a row per series, target and step, and sample. Every node of
            the tree is a series; "bottom_up" needs those of the bottom only.
        tree: a row per bottom series: `unique_id` and, in each further column, the name of an aggregate that it belongs
            to. A column with one name for all is the total.
        method: one of the above.
        errors: forecasts whose truth is known, such as predictions.csv, for "mint": `unique_id, target, ds, cutoff, y,
            forecast`. The usual ones are those of the first step.

    Returns:
        The columns `unique_id, target, ds, cutoff`, `sample` of paths, and `forecast` or `value`: aggregates in the
        order of the tree's columns, then the bottom series.

    Raises:
        ConfigError: for an unknown method, or "mint" without errors.
        DataError: if the tree or the tables lack columns or series, or a name stands for two nodes.
    """
    if method not in get_args(Method):
        raise ConfigError(f"reconcile: method must be {', '.join(get_args(Method))}, got {method!r}")
    if method == "mint" and errors is None:
        raise ConfigError(
            "reconcile: mint needs the errors of forecasts whose truth is known: pass errors=, such as the "
            "predictions.csv of a test, or set method='ols'"
        )
    nodes, sums = _summing(tree)
    bottom = nodes[-sums.shape[1] :]
    value = "value" if "value" in forecasts else "forecast"
    keys = ["target", "ds", "cutoff", *(["sample"] if value == "value" else [])]
    wide = _wide(forecasts, keys, value, bottom if method == "bottom_up" else nodes, "forecasts")
    parts = []
    for target, rows in wide.groupby(level="target", sort=False):
        base = rows.to_numpy(np.float64)
        if method == "bottom_up":
            lowest = base
        elif method == "ols":
            lowest = base @ _projection(sums, np.eye(len(nodes))).T
        else:
            assert errors is not None
            lowest = base @ _projection(sums, _covariance(errors, str(target), nodes)).T
        parts.append(pd.DataFrame(lowest @ sums.T, rows.index, nodes))
    together = pd.concat(parts).reset_index()
    long = together.melt(id_vars=keys, value_vars=nodes, var_name="unique_id", value_name=value)
    return long[["unique_id", *keys, value]]


def _summing(tree: pd.DataFrame) -> tuple[list[str], Matrix]:
    """The names of the nodes, aggregates first, and which bottom series each sums, (nodes, bottom)."""
    levels = [column for column in tree.columns if column != "unique_id"]
    if "unique_id" not in tree or not levels or tree.isna().any(axis=None):
        raise DataError(
            "reconcile: the tree needs the column unique_id, and a column for each level above with the names of the "
            f"aggregates, without gaps; got {list(tree.columns)}"
        )
    bottom = [str(name) for name in tree["unique_id"]]
    names, rows = [], []
    for level in levels:
        for name, members in tree.groupby(level, sort=False).indices.items():
            row = np.zeros(len(bottom))
            row[members] = 1
            names.append(str(name))
            rows.append(row)
    nodes = [*names, *bottom]
    if twice := [name for name in nodes if nodes.count(name) > 1]:
        raise DataError(f"reconcile: {twice[0]} stands for two nodes of the tree; expected a name for each")
    return nodes, np.vstack([*rows, np.eye(len(bottom))])


def _wide(table: pd.DataFrame, keys: Sequence[str], value: str, nodes: Sequence[str], what: str) -> pd.DataFrame:
    """A row per key and a column per node."""
    if missing := [name for name in ("unique_id", *keys, value) if name not in table]:
        raise DataError(
            f"reconcile: {what} have no column {missing[0]}; they have {', '.join(map(str, table.columns))}"
        )
    named = table.assign(unique_id=table["unique_id"].astype(str))
    if lacking := [name for name in nodes if name not in set(named["unique_id"])]:
        raise DataError(
            f"reconcile: {what} have no series {lacking[0]}, a node of the tree ({len(lacking)} are missing)"
        )
    if named.duplicated(["unique_id", *keys]).any():
        raise DataError(f"reconcile: {what} have two rows of one series, {', '.join(keys)}")
    order: Any = named[list(keys)].drop_duplicates()
    wide = named.pivot(index=list(keys), columns="unique_id", values=value)
    wide = wide.reindex(pd.MultiIndex.from_frame(order))[list(nodes)]
    if what == "forecasts" and wide.isna().any(axis=None):
        row, column = np.argwhere(wide.isna().to_numpy())[0]
        where = ", ".join(map(str, cast(Any, wide.index)[row]))
        raise DataError(f"reconcile: {wide.columns[column]} has no {value} at {where} ({', '.join(keys)})")
    return wide


def _projection(sums: Matrix, covariance: Matrix) -> Matrix:
    """G, (bottom, nodes)."""
    weighted = np.linalg.solve(covariance, sums).T
    solved: Matrix = np.linalg.solve(weighted @ sums, weighted)
    return solved


def _covariance(errors: pd.DataFrame, target: str, nodes: Sequence[str]) -> Matrix:
    """The covariance of the errors of the nodes, (nodes, nodes), its correlations shrunk."""
    if missing := [name for name in ("y", "forecast", "target") if name not in errors]:
        raise DataError(f"reconcile: errors have no column {missing[0]}; expected those of predictions.csv")
    own = errors[errors["target"] == target]
    own = own.assign(error=own["y"] - own["forecast"])
    known = _wide(own, ["target", "ds", "cutoff"], "error", nodes, "errors").dropna().to_numpy(np.float64)
    if len(known) < 2:
        raise DataError(f"reconcile: mint needs errors of all series at two times or more, got {len(known)}")
    deviation = known.std(0)
    # a node without errors gets a small share of the others' deviation: its forecast is all but kept
    deviation = np.where(deviation > 0, deviation, 1e-3 * (deviation.max() or 1.0))
    correlation: Matrix = shrunk_correlation(torch.tensor(known)).numpy()
    return correlation * deviation[:, None] * deviation
