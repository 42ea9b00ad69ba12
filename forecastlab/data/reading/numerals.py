"""How the numbers of a whole file are written: with a decimal point or a decimal comma, never with both."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype, is_numeric_dtype

from forecastlab.data.reading.dialect import Dialect
from forecastlab.data.reading.numbers import Decimal, Numbers, ambiguous, as_numbers, decimal_of, may_be_numbers
from forecastlab.errors import DataError

_MONTH = re.compile(r"(?:0?[1-9]|1[0-2])\.(?:1[89]|20|21)\d\d")
"""A month such as 01.2020, which is a number for who has a decimal point."""


def in_numbers(
    read: Callable[[str], pd.DataFrame],
    dialect: Dialect,
    what: str,
    line_of: Callable[[int], int],
    texts: Sequence[str],
) -> pd.DataFrame:
    """The frame of a file, (rows, columns), whose columns of numbers are numbers; the others stay text.

    One column whose numbers have one reading only, such as 2,6 or 1.234,5, decides for the file.

    Args:
        read: reads the file with a decimal mark; it leaves as text what is no number then.
        dialect: what is known already.
        what: the file, for messages.
        line_of: the number of the line of a row, for messages.
        texts: columns that are no numbers, however they look.

    Raises:
        DataError: if two columns contradict each other, or if no column decides.
    """
    read = lru_cache(read)
    frame = read(dialect.decimal or ".")
    decimal = dialect.decimal or ("." if dialect.thousands == "," else "," if dialect.thousands == "." else None)
    columns = {name: _Written(name, frame[name], dialect.thousands, read) for name in _texts(frame, texts)}
    if decimal is None:
        decimal = _decimal(read, frame, columns, dialect, what, line_of, texts)
    if decimal == "," and dialect.decimal is None:
        pointed, frame = frame, read(",")
        _require_agreement(pointed, frame, dialect, what, line_of, texts)
    for name in _texts(frame, texts):
        written = columns.get(name)
        numbers = as_numbers(frame[name], decimal, dialect.thousands) if written is None else written.numbers(decimal)
        if numbers is not None:
            frame[name] = numbers
    return without(frame, dialect.na_values, texts)


class _Written:
    """A column of text and its numbers by either mark, which are made when they are asked for, and once.

    Args:
        name: of the column.
        texts: (rows,), text or missing.
        thousands: mark between thousands.
        read: see `in_numbers`.
    """

    def __init__(
        self, name: Any, texts: "pd.Series[Any]", thousands: str | None, read: Callable[[str], pd.DataFrame]
    ) -> None:
        self.name, self.texts, self.thousands, self.read = name, texts, thousands, read
        self.numbers = lru_cache(self._numbers)

    def _numbers(self, decimal: Decimal) -> Numbers | None:
        """The numbers, (rows,); None if they are none."""
        if decimal == "," and self.may_be(",") and is_float_dtype(quick := self.read(",")[self.name]):
            numbers: Numbers = quick.to_numpy()
            if not np.isinf(numbers).any():  # which may be a word
                return numbers
        return as_numbers(self.texts, decimal, self.thousands)

    def may_be(self, decimal: Decimal) -> bool:
        """Whether its first rows are numbers."""
        return may_be_numbers(self.texts, decimal, self.thousands)


def without(frame: pd.DataFrame, na_values: Sequence[str | float], texts: Sequence[str]) -> pd.DataFrame:
    """The frame without the values that stand for missing ones, (rows, columns).

    Args:
        frame: (rows, columns).
        na_values: texts, and numbers, which stand for the equal number however it is written.
        texts: columns that are left as they are.
    """
    markers = [number for number in map(_number, na_values) if number is not None]
    words = [marker for marker in na_values if isinstance(marker, str)]
    if not na_values:
        return frame
    frame = frame.copy(deep=False)
    for name in frame:
        column = frame[name]
        if name in texts or is_bool_dtype(column):
            continue
        marked = column.isin(markers if is_numeric_dtype(column) else words)
        if marked.any():
            frame[name] = column.astype(np.float64).mask(marked) if is_numeric_dtype(column) else column.mask(marked)
    return frame


def _decimal(
    read: Callable[[str], pd.DataFrame],
    frame: pd.DataFrame,
    columns: Mapping[Any, _Written],
    dialect: Dialect,
    what: str,
    line_of: Callable[[int], int],
    texts: Sequence[str],
) -> Decimal:
    pointed = [name for name, column in columns.items() if column.numbers(",") is None]
    points = [name for name in pointed if columns[name].numbers(".") is not None]
    others = [name for name in columns if name not in pointed]
    if not points and any(not columns[name].may_be(".") for name in others):
        return ","  # for which the others need not be read with a point
    commas = [name for name in others if columns[name].numbers(".") is None]
    if commas and points:
        raise _contradiction(what, _cell(frame, commas[0], ",", line_of), _cell(frame, points[0], ".", line_of))
    if commas:
        return ","
    unsure = [name for name in others if decimal_of(frame[name], dialect.thousands) == "either"]
    if not unsure or points or _against_comma(frame, read(","), dialect, texts):
        return "."
    place, text = _cell(frame, unsure[0], "", line_of)
    raise ambiguous(f"{what}, {place}", text)


def _against_comma(pointed: pd.DataFrame, frame: pd.DataFrame, dialect: Dialect, texts: Sequence[str]) -> list[Any]:
    """Columns of numbers that are none with a decimal comma."""
    return [
        name
        for name in _texts(frame, texts)
        if is_float_dtype(pointed[name])
        and as_numbers(frame[name], ",", dialect.thousands) is None
        and not all(_MONTH.fullmatch(text) for text in frame[name].dropna().unique())
    ]


def _require_agreement(
    pointed: pd.DataFrame,
    frame: pd.DataFrame,
    dialect: Dialect,
    what: str,
    line_of: Callable[[int], int],
    texts: Sequence[str],
) -> None:
    against = _against_comma(pointed, frame, dialect, texts)
    if not against:
        return
    comma = next(name for name in _texts(pointed, texts) if decimal_of(pointed[name], dialect.thousands) == ",")
    place = next(
        row for row, text in enumerate(frame[against[0]]) if isinstance(text, str) and _is_pointed(text, dialect)
    )
    point = f"line {line_of(place)}, column {against[0]}", str(frame[against[0]].iloc[place])
    raise _contradiction(what, _cell(pointed, comma, ",", line_of), point)


def _is_pointed(text: str, dialect: Dialect) -> bool:
    return as_numbers(pd.Series([text]), ",", dialect.thousands) is None


def _cell(frame: pd.DataFrame, name: Any, decimal: str, line_of: Callable[[int], int]) -> tuple[str, str]:
    """Where the first number stands that has the mark, and how it is written."""
    column = frame[name]
    for row, text in enumerate(column):
        if isinstance(text, str) and decimal_of(pd.Series([text])) in ((decimal,) if decimal else ("either",)):
            return f"line {line_of(row)}, column {name}", text
    row = int(np.flatnonzero(column.notna())[0])
    return f"line {line_of(row)}, column {name}", str(column.iloc[row])


def _contradiction(what: str, comma: tuple[str, str], point: tuple[str, str]) -> DataError:
    return DataError(
        f"{what} has a decimal comma in {comma[1]} ({comma[0]}) and a decimal point in {point[1]} ({point[0]}): "
        "expected one way to write numbers. --data.decimal , or --data.decimal . decides, "
        "and columns that are no numbers then stay text"
    )


def _texts(frame: pd.DataFrame, texts: Sequence[str]) -> list[Any]:
    return [name for name in frame if name not in texts and not is_numeric_dtype(frame[name])]


def _number(marker: str | float) -> float | None:
    try:
        return float(marker)
    except ValueError:
        return None
