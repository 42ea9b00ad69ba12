"""Numbers of a frame's columns: of any type, also as text, with markers of missing values."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_complex_dtype, is_numeric_dtype, is_object_dtype, is_string_dtype

from forecastlab.data.reading.numbers import Decimal, ambiguous, as_numbers, decimal_of, why_no_number
from forecastlab.data.reading.places import Given, row_name, shown
from forecastlab.errors import DataError

Numbers = NDArray[np.float64]
"""(rows,)"""


def numbers_of(
    column: "pd.Series[Any]", na_values: Sequence[str | float] = (), decimal: str = "", thousands: str = ""
) -> Numbers:
    """A column's numbers, (rows,), finite; NaN where a value is missing.

    Args:
        column: (rows,).
        na_values: texts and numbers that stand for a missing value.
        decimal: decimal mark of numbers that are text; "" to find it out.
        thousands: mark between their thousands; "" to find it out.

    Raises:
        DataError: for a value that is no number, or may be two, or none that the network's float32 holds.
    """
    if is_bool_dtype(column) or (is_numeric_dtype(column) and not is_complex_dtype(column)):
        numbers = column.astype(np.float64)
    elif is_text(column):
        given = column.astype(object)
        if texts := [marker for marker in na_values if isinstance(marker, str)]:
            given = given.where(~given.isin(texts), None)
        column, numbers = given, _from_text(given, decimal, thousands)
    else:
        raise DataError(f"column {column.name}: expected numbers, got values of type {column.dtype}")
    wrong = np.flatnonzero(numbers.isna() & column.notna())
    if wrong.size:
        row = int(wrong[0])
        hint = why_no_number(str(column.iloc[row])) or "if it marks a missing value, name it: --data.na_values"
        raise DataError(
            f"{row_name(column, row)}, column {column.name}: expected a number, got {shown(column.iloc[row])}; {hint}"
        )
    values = cast(Numbers, numbers.to_numpy())
    if markers := [float(marker) for marker in na_values if _is_number(marker)]:
        values = np.where(np.isin(values, markers), np.nan, values)
    require_finite(str(column.name), values, column)
    return values


def _from_text(given: "pd.Series[Any]", decimal: str, thousands: str) -> "pd.Series[float]":
    """Numbers that are text or objects, (rows,); NaN where there is none."""
    plain = pd.to_numeric(given, errors="coerce").astype(np.float64)
    if (not decimal and not thousands and not (plain.isna() & given.notna()).any()) or not len(given.dropna()):
        return plain
    texts = given.map(lambda value: value if isinstance(value, str) else str(value), na_action="ignore")
    mark = decimal or decimal_of(texts, thousands or None)
    if mark == "either":
        first = int(np.flatnonzero(plain.isna() & given.notna())[0])
        raise ambiguous(f"{row_name(given, first)}, column {given.name}", str(given.iloc[first]))
    found = as_numbers(texts, cast(Decimal, "." if mark in (None, "any") else mark), thousands or None)
    return plain if found is None else pd.Series(found, given.index)


def is_text(column: "pd.Series[Any]") -> bool:
    """Whether a column holds text, categories or objects of any kind."""
    return bool(is_object_dtype(column) or is_string_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype))


def require_finite(name: str, values: Numbers, given: Given) -> None:
    """Raises DataError for a number that the network's float32 does not hold."""
    wrong = np.flatnonzero(np.abs(values) > np.finfo(np.float32).max)
    if wrong.size:
        row = int(wrong[0])
        raise DataError(
            f"{row_name(given, row)}, column {name}: expected a finite number below 3.4e38, got {values[row]}. Leave "
            "the cell empty if the value is not known"
        )


def _is_number(marker: str | float) -> bool:
    try:
        float(marker)
    except ValueError:
        return False
    return True
