"""Values of a single row, as they are read in a frame's."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from forecastlab.data.recipe import Recipe
from forecastlab.data.transform import require_domain
from forecastlab.errors import DataError

MOST = float(np.finfo(np.float32).max)
"""The largest number that the network can read."""


def value_of(row: Mapping[str, Any], column: str, recipe: Recipe) -> float:
    """A column of a row; NaN where it is missing. Derived ones are added up, and those of a text are 0 or 1.

    Args:
        row: raw values by name.
        column: name of a column of the tables.
        recipe: how these are made.

    Raises:
        DataError: if it is no finite number.
    """
    parts = recipe.derive.get(column)
    if parts is not None:
        total = sum(factor * value_of(row, name, recipe) for name, factor in sorted(parts.items()))
        return _bounded(column, total, recipe)
    for source, values in recipe.categories.items():
        if column in (f"{source}={value}" for value in values):
            given = row.get(source)
            return float("nan") if _is_missing(given, recipe) else float(column == f"{source}={given}")
    given = row.get(column)
    try:
        value = float("nan") if _is_missing(given, recipe) else float(given)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        raise DataError(f"{column}: expected a number, got {given!r}") from None
    return _bounded(column, value, recipe)


def _bounded(column: str, value: float, recipe: Recipe) -> float:
    if abs(value) > MOST:
        raise DataError(f"{column}: expected a finite number below 3.4e38, got {value}")
    if column in recipe.transform:
        require_domain(column, recipe.transform[column], np.array([value]), lambda _: "the row")
    return value


def _is_missing(given: Any, recipe: Recipe) -> bool:
    return given is None or given is pd.NA or given in recipe.na_values
