"""Numbers that are written as text: with a decimal comma, marks between thousands, or a minus of typography."""

import re
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.errors import DataError

Decimal = Literal[".", ","]
Numbers = NDArray[np.float64]
"""(rows,)"""
_BLANKS = " \u00a0\u202f\u2009"
"""Blanks that separate thousands: the plain one, and those that keep a line together."""
_APOSTROPHES = "'\u2019"
_MINUS = "\u2212\u2013"
"""The minus of typography, and the dash that stands for it."""
_FIRST = 100
"""Rows of a column that are looked at before all."""
_SIGNS = re.compile(r"[%‰€$£¥₹]|\b(?:EUR|USD|GBP|CHF|JPY)\b")


def as_numbers(texts: "pd.Series[Any]", decimal: Decimal, thousands: str | None = None) -> Numbers | None:
    """A column of texts as numbers, (rows,), NaN where a value is missing; None if one of them is no number.

    Thousands are separated in groups of three digits, all by the same mark, of which the first group does not begin
    with 0; so "1.5" is no number if the decimal mark is the comma.

    Args:
        texts: (rows,), text or missing.
        decimal: mark before the fraction.
        thousands: mark between thousands; None for the point or comma that is not `decimal`, blanks and apostrophes.
    """
    if not may_be_numbers(texts, decimal, thousands):
        return None
    there = texts.notna().to_numpy(np.bool_)
    numbers = np.full(len(texts), np.nan)
    if not there.any():
        return numbers
    try:
        together = "\n".join(texts.to_numpy(object)[there])
    except TypeError:  # objects that are no text
        return None
    if together.count("\n") != there.sum() - 1 or not _form(decimal, thousands).fullmatch(together):
        return None
    for mark in _marks(decimal, thousands):
        together = together.replace(mark, "")
    for minus in _MINUS:
        together = together.replace(minus, "-")
    plain = together.replace(decimal, ".").split("\n")
    numbers[there] = np.fromiter(map(float, plain), np.float64, len(plain))
    return numbers


def may_be_numbers(texts: "pd.Series[Any]", decimal: Decimal, thousands: str | None = None) -> bool:
    """Whether the first rows of a column are numbers, which tells nearly all columns that are none, at once.

    Args:
        texts: (rows,), text or missing.
        decimal: see `as_numbers`.
        thousands: see `as_numbers`.
    """
    form = _form(decimal, thousands)
    return all(isinstance(text, str) and form.fullmatch(text) for text in texts.iloc[:_FIRST].dropna())


def decimal_of(texts: "pd.Series[Any]", thousands: str | None = None) -> Decimal | Literal["either", "any"] | None:
    """The decimal mark with which a column of texts is one of numbers.

    Args:
        texts: (rows,), text or missing.
        thousands: mark between thousands, see `as_numbers`.

    Returns:
        "either" if both give numbers that differ, as for "1,234" alone; "any" if both give the same; None if neither
        does.
    """
    point, comma = (None if decimal == thousands else as_numbers(texts, decimal, thousands) for decimal in _DECIMALS)
    if point is None or comma is None:
        return "." if point is not None else "," if comma is not None else None
    return "any" if np.array_equal(point, comma, equal_nan=True) else "either"


def why_no_number(text: str) -> str:
    """What to do about a text that was expected to be a number; empty where nothing special is seen."""
    if found := _SIGNS.search(text):
        return f"write the number without {found[0]}, and the unit into the name of the column"
    if re.search(r"\d,\d", text):
        return (
            "if the comma is the decimal mark, say --data.decimal , and if it separates thousands, --data.thousands ,"
        )
    return ""


def ambiguous(what: str, text: str) -> DataError:
    """The error for a number such as "1,234", of which nobody knows how large it is.

    Args:
        what: where it stands.
        text: the number.
    """
    comma = "," in text
    small, large = text.replace(",", "."), re.sub("[.,]", "", text)
    return DataError(
        f"{what}: {text} may be {small} or {large}, and no other number tells which: if the "
        f"{'comma' if comma else 'point'} is the decimal mark, say --data.decimal {',' if comma else '.'} and if it "
        f"separates thousands, --data.thousands {',' if comma else '.'}"
    )


_DECIMALS: tuple[Decimal, Decimal] = (".", ",")


def _marks(decimal: Decimal, thousands: str | None) -> str:
    if thousands is not None:
        return _BLANKS if thousands in _BLANKS else _APOSTROPHES if thousands in _APOSTROPHES else thousands
    return ("," if decimal == "." else ".") + _BLANKS + _APOSTROPHES


@lru_cache
def _form(decimal: Decimal, thousands: str | None) -> "re.Pattern[str]":
    """Lines that are all numbers."""
    mark, point = f"[{re.escape(_marks(decimal, thousands))}]", re.escape(decimal)
    whole = rf"(?:[0-9]++|[1-9][0-9]{{0,2}}({mark})[0-9]{{3}}(?:\1[0-9]{{3}})*+)"
    number = rf"[ \t]*+[+\-{_MINUS}]?(?:{whole}(?:{point}[0-9]*+)?|{point}[0-9]++)(?:[eE][+-]?[0-9]++)?[ \t]*+"
    return re.compile(rf"(?:{number}(?:\n|\Z))++")
