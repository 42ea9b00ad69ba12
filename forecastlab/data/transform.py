"""Transforms of targets: counts, amounts and shares as values without bounds, and exactly back."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forecastlab.batch import Batch, Schema
from forecastlab.errors import ConfigError, DataError

KINDS = ("log1p", "log", "sqrt", "logit")
Setting = Sequence[Any]
"""The kind of a transform, and of a logit the two bounds: ["logit", 0, 100]."""


@dataclass(frozen=True)
class Transform:
    """An increasing function of a target, and its inverse.

    log1p: ln(1 + y) of y >= 0; log: ln y of y > 0; sqrt: the root of y >= 0; logit: ln((y - low) / (high - y)) of
    low < y < high. A value outside is treated as the one whose image is 0: only what was filled in lies there.

    The inverse gives values of the domain alone: below the image of 0 it is 0 for log1p and sqrt. It increases, so that
    the inverse of a quantile is the quantile.

    Args:
        kind: one of `KINDS`.
        low: lower bound of a logit.
        high: its upper bound.
    """

    kind: str
    low: float = 0.0
    high: float = math.inf

    @classmethod
    def of(cls, setting: Setting) -> "Transform":
        """The transform of a setting.

        Raises:
            ConfigError: if it is none.
        """
        kind, *bounds = setting
        numbers = [bound for bound in bounds if isinstance(bound, int | float) and math.isfinite(bound)]
        fits = kind in KINDS and len(numbers) == len(bounds) == (2 if kind == "logit" else 0)
        if not fits or (numbers and not numbers[0] < numbers[1]):
            raise ConfigError(
                f"transform must be none, {', '.join(KINDS[:-1])} or {{logit: [low, high]}} with two numbers, the "
                f"lower one first; got {' '.join(map(str, setting))}"
            )
        return cls(kind, *map(float, numbers))

    def apply(self, values: Tensor) -> Tensor:
        """The transformed values, of the same shape; NaN stays NaN."""
        if self.kind == "logit":
            outside = (values <= self.low) | (values >= self.high)
            inside = values.masked_fill(outside, (self.low + self.high) / 2)
            return ((inside - self.low) / (self.high - inside)).log()
        if self.kind == "log":
            return values.masked_fill(values <= 0, 1.0).log()
        inside = values.masked_fill(values < 0, 0.0)
        return inside.log1p() if self.kind == "log1p" else inside.sqrt()

    def invert(self, values: Tensor) -> Tensor:
        """The inverse of `apply`."""
        if self.kind == "logit":
            return self.low + (self.high - self.low) * values.sigmoid()
        if self.kind == "log":
            return values.exp()
        above = values.clamp(min=0)
        return above.expm1() if self.kind == "log1p" else above.square()

    def outside(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether values have no image, of the same shape; what is missing is not asked."""
        if self.kind == "logit":
            return (values <= self.low) | (values >= self.high)
        return values <= 0 if self.kind == "log" else values < 0

    @property
    def domain(self) -> str:
        """The values that have an image, in words."""
        if self.kind == "logit":
            return f"values between {self.low:g} and {self.high:g}, without these two"
        return "values above 0" if self.kind == "log" else "values from 0 on"


class Transforms:
    """The transforms of a network's targets, among its features too.

    Args:
        schema: names of the data; its recipe holds the settings.

    Raises:
        ConfigError: if a setting is none.
    """

    def __init__(self, schema: Schema) -> None:
        settings = schema.recipe.get("transform", {})
        made = {name: Transform.of(setting) for name, setting in settings.items()}
        self.targets = [made.get(name) for name in schema.targets]
        self.features = [made.get(name) for name in schema.features]

    def __bool__(self) -> bool:
        return any(self.targets)

    def applied(self, batch: Batch) -> Batch:
        """A batch whose targets are transformed, also where they are features."""
        if not self:
            return batch
        return batch._replace(
            history=_each(self.features, batch.history, Transform.apply),
            last=_each(self.targets, batch.last, Transform.apply),
            target=_each(self.targets, batch.target, Transform.apply),
        )

    def of_columns(self, name: str, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """The columns of "feature" or "target", (rows, columns), transformed; those of others as they are."""
        kinds = {"feature": self.features, "target": self.targets}.get(name, [])
        return _each(kinds, torch.from_numpy(columns), Transform.apply).numpy() if any(kinds) else columns

    def of_targets(self, values: Tensor) -> Tensor:
        """Targets in original units, (..., targets), transformed."""
        return _each(self.targets, values, Transform.apply) if self else values

    def back(self, values: Tensor) -> Tensor:
        """Targets in original units, (..., targets), of transformed ones."""
        return _each(self.targets, values, Transform.invert) if self else values

    def features_back(self, values: Tensor) -> Tensor:
        """Features in original units, (..., features), of transformed ones."""
        return _each(self.features, values, Transform.invert) if self else values


def _each(kinds: Sequence[Transform | None], values: Tensor, function: Callable[[Transform, Tensor], Tensor]) -> Tensor:
    """A function of each column that has a transform, (..., columns); features beyond the first ones have none."""
    columns = list(values.unbind(-1))
    for place, kind in enumerate(kinds):
        if kind is not None:
            columns[place] = function(kind, columns[place])
    return torch.stack(columns, -1)


def transforms_of(given: Any, targets: Sequence[str]) -> dict[str, list[Any]]:
    """The setting `transform` in full: for each target that is transformed the kind, and its bounds.

    Args:
        given: a kind for all targets, or kinds by target: none, log1p, log, sqrt or {logit: [low, high]}.
        targets: names of the targets.

    Raises:
        ConfigError: for a setting that is none, or of a column that is no target.
    """
    if isinstance(given, Mapping) and not (set(given) == {"logit"} and "logit" not in targets):
        if unknown := [name for name in given if str(name) not in targets]:
            raise ConfigError(
                f"transform: {unknown[0]} is no target; only targets are transformed: {', '.join(targets)}"
            )
        kinds = {str(name): kind for name, kind in given.items()}
    else:
        kinds = dict.fromkeys(targets, given)
    made: dict[str, list[Any]] = {}
    for name, kind in kinds.items():
        if kind is None or kind == "none":
            continue
        setting = [kind]
        if isinstance(kind, Mapping) and len(kind) == 1:
            word, bounds = next(iter(kind.items()))
            setting = [word, *bounds] if isinstance(bounds, list | tuple) else [word, bounds]
        Transform.of(setting)
        made[name] = setting
    return made


def require_domain(name: str, setting: Setting, values: NDArray[np.float64], row: Callable[[int], str]) -> None:
    """Raises DataError for a value that the transform of a target has no image of.

    Args:
        name: the target's.
        setting: its transform.
        values: (rows,); NaN where a value is missing.
        row: how messages call a row.
    """
    transform = Transform.of(setting)
    wrong = np.flatnonzero(transform.outside(values))
    if wrong.size:
        raise DataError(
            f"{row(int(wrong[0]))}, column {name}: got {values[wrong[0]]:g}, but transform: {transform.kind} takes "
            f"{transform.domain} ({wrong.size} of {len(values)} rows have others). Choose another transform, or none"
            + (": log1p takes 0 too" if transform.kind == "log" and (values[wrong] == 0).all() else "")
        )
