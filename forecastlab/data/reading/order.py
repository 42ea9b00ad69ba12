"""The order of rows: by series and time, and what becomes of rows that share both."""

from typing import Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

Duplicates = Literal["error", "first", "last", "mean", "sum"]


class Order(NamedTuple):
    """Where the rows go."""

    rows: NDArray[np.int64]
    """(rows,): row numbers by series and time; those that share both are in the frame's order."""
    first: NDArray[np.bool_]
    """(rows,): of the rows in this order, whether no row before has the same series and time."""
    moved: int
    """How many rows have an earlier time than the row of their series before them."""
    reversed: bool
    """Whether every row does."""
    kept: bool
    """Whether the rows are in this order already, so that none needs to be copied."""


def order_of(codes: NDArray[np.int64], stamps: NDArray[np.int64]) -> Order:
    """Finds the order of rows.

    Args:
        codes: (rows,), the number of each row's series.
        stamps: (rows,), the rows' times.
    """
    rows = np.argsort(codes, kind="stable")
    same, steps = np.diff(codes[rows]) == 0, np.diff(stamps[rows])
    moved = same & (steps < 0)
    if moved.any():
        rows = np.lexsort((stamps, codes))
    first = np.ones(len(rows), np.bool_)
    first[1:] = (np.diff(codes[rows]) != 0) | (np.diff(stamps[rows]) != 0)
    kept = bool((rows[1:] > rows[:-1]).all())
    return Order(rows, first, int(moved.sum()), bool(moved.any() and moved[same].all()), kept)


def merged(
    values: NDArray[np.float64], first: NDArray[np.bool_], how: Duplicates, computed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """One row for each series and time, (groups, columns).

    Args:
        values: (rows, columns), in order; NaN where a value is missing.
        first: (rows,), as `Order` has it.
        how: "first" and "last" take the values of that row, "mean" and "sum" those that are there together.
        computed: (columns,), which columns "mean" and "sum" are for; of the others they take the first row's value.
    """
    starts: NDArray[np.int64] = np.flatnonzero(first)
    if how == "first":
        return values[starts]
    if how == "last":
        ends: NDArray[np.int64] = np.append(starts[1:], len(values)) - 1
        return values[ends]
    there = ~np.isnan(values)
    counts = np.add.reduceat(there.astype(np.int64), starts, axis=0)
    together = np.add.reduceat(np.where(there, values, 0.0), starts, axis=0)
    if how == "mean":
        together = together / np.maximum(counts, 1)
    together[counts == 0] = np.nan
    return cast(NDArray[np.float64], np.where(computed, together, values[starts]))
