"""Checks of plain data from a file: a value is what a part must be, or the part is named.

A check takes a value and the dotted name of its part, and raises `UnfitError`. `checkpoint_schema` puts them together.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from forecastlab.errors import DataError

Check = Callable[[Any, str], None]
"""Takes a value and the name of its part; raises `UnfitError` if it is not as it must be."""

MOST = 2**53
"""The largest count: whole numbers up to here are exact as floats too."""
DEEPEST = 32
"""How deep settings may be nested."""
DTYPES = {
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
}
"""The types of weights and states."""


class UnfitError(DataError):
    """A part of a checkpoint that is not what it must be."""


def wrong(value: Any, name: str, expected: str) -> UnfitError:
    """The error for a value that is not what its part must be."""
    return UnfitError(f"{name.removeprefix('.') or 'the whole'} is {told(value)}, expected {expected}")


def told(value: Any) -> str:
    """A value in a few words."""
    if value is None or isinstance(value, bool | int | float):
        said = "null" if value is None else str(value)
        return said if len(said) <= 30 else f"{said[:30]}..."
    if isinstance(value, str):
        return f"the text {value[:30]!r}{'...' if len(value) > 30 else ''}"
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    if isinstance(value, Mapping):
        return f"a mapping of {len(value)}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"of type {type(value).__name__}"


def whole(low: int = 0, high: int = MOST) -> Check:
    """A whole number within bounds."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise wrong(value, name, f"a whole number from {low} to {high}")

    return check


def real(value: Any, name: str) -> None:
    """A finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value) or abs(value) > 1e308:
        raise wrong(value, name, "a finite number")


def score(value: Any, name: str) -> None:
    """The best loss so far, which is infinite before the first."""
    if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
        raise wrong(value, name, "a number")


def rate(value: Any, name: str) -> None:
    """A finite number that is not negative."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise wrong(value, name, "a finite number, 0 or more")


def text(value: Any, name: str) -> None:
    """A text."""
    if not isinstance(value, str):
        raise wrong(value, name, "a text")


def flag(value: Any, name: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong(value, name, "true or false")


def flag_or(check: Check) -> Check:
    """True or false, or what another check asks for."""

    def either(value: Any, name: str) -> None:
        if not isinstance(value, bool):
            check(value, name)

    return either


def anything(value: Any, name: str) -> None:
    """Left to whoever reads it."""


def or_null(check: Check) -> Check:
    """What another check asks for, or nothing."""

    def optional(value: Any, name: str) -> None:
        if value is not None:
            check(value, name)

    return optional


def list_of(item: Check, least: int = 0, length: int | None = None) -> Check:
    """A list whose items all pass a check."""

    def check(value: Any, name: str) -> None:
        size = f"of {length}" if length is not None else f"of {least} or more"
        if not isinstance(value, list | tuple) or len(value) < least or length not in (None, len(value)):
            raise wrong(value, name, f"a list {size}")
        for number, one in enumerate(value):
            item(one, f"{name}.{number}")

    return check


def mapping(fields: Mapping[str, Check], more: Mapping[str, Check] | None = None, others: Check | None = None) -> Check:
    """A mapping with all of some fields.

    Args:
        fields: what must be there.
        more: what may be there.
        others: what further values must be; None if there must be none.
    """
    known = {**fields, **(more or {})}

    def check(value: Any, name: str) -> None:
        if not isinstance(value, Mapping):
            raise wrong(value, name, "a mapping")
        for field in fields:
            if field not in value:
                raise UnfitError(f"{name.removeprefix('.')}{'.' if name else ''}{field} is missing")
        for field, one in value.items():
            if not isinstance(field, str):
                raise UnfitError(f"{name.removeprefix('.') or 'the whole'} has the key {told(field)}, expected texts")
            if field in known:
                known[field](one, f"{name}.{field}")
            elif others is not None:
                others(one, f"{name}.{field}")
            else:
                raise UnfitError(f"{name.removeprefix('.')} has the key {field[:30]!r}, expected {', '.join(known)}")

    return check


def plain(value: Any, name: str, depth: int = 0) -> None:
    """Settings: numbers of a sensible size, texts, and lists and mappings of them."""
    if depth > DEEPEST:
        raise UnfitError(f"{name.removeprefix('.')[:60]}... is nested more than {DEEPEST} deep")
    if isinstance(value, Mapping):
        for key, one in value.items():
            text(key, name)
            plain(one, f"{name}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            plain(one, f"{name}.{number}", depth + 1)
    elif isinstance(value, int) and not isinstance(value, bool):
        whole(-MOST)(value, name)
    elif isinstance(value, float):
        score(value, name)
    elif value is not None and not isinstance(value, bool | str):
        raise wrong(value, name, "plain data")


def tensor(value: Any, name: str) -> None:
    """A tensor that holds all its values: dense, of a plain type, and not one value many times over."""
    if not isinstance(value, Tensor):
        raise wrong(value, name, "a tensor")
    if value.layout != torch.strided or value.dtype not in DTYPES or value.is_meta or value.is_quantized:
        raise wrong(value, name, "a dense tensor of a plain type")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise UnfitError(f"{name.removeprefix('.')} is {told(value)}, but the file does not hold that many values")


def number_tensor(value: Any, name: str) -> None:
    """A tensor of one number."""
    tensor(value, name)
    if value.numel() != 1 or value.isnan().any():
        raise wrong(value, name, "a tensor of one number")
