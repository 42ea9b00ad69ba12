"""The types that every room of the package shares: `Batch`, `Schema`, `State` and `Scaling`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

State: TypeAlias = Tensor | tuple["State", ...]
"""Recurrent state: a tensor or a nested tuple of tensors, each with the batch as its first dimension."""


class Batch(NamedTuple):
    """A batch of forecasting samples in original units, batch first; every value is finite.

    A value that does not exist is filled and its weight is 0. A *forecast origin* is the last observed step; the steps
    +1..+horizon after it are predicted. The origins of a sample are the last `origins` positions of its history.
    """

    history: Tensor
    """(batch, time, features): up to and including each origin; past values of known covariates are among them."""
    known: Tensor
    """(batch, origins, horizon, known): covariates known in advance, at the forecast steps; width 0 without any."""
    static: Tensor
    """(batch, static): width 0 without any."""
    last: Tensor
    """(batch, origins, targets): the target's own value at the origin."""
    target: Tensor
    """(batch, origins, horizon, targets)"""
    weight: Tensor
    """(batch, origins, horizon, targets): 0 where a value is not scored."""
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody needs of a batch
    """(batch, origins), integer: table row of the origin."""
    series: Tensor
    """(batch,), integer: number of the series in a panel."""


@dataclass(frozen=True)
class Schema:
    """Names and sizes that a model needs of its data; columns are matched by name ever after.

    Attributes:
        features: columns of `Batch.history`, in order.
        targets: columns of `Batch.target`, in order.
        known: columns of `Batch.known`, in order; each is among `features` too.
        static: columns of `Batch.static`, in order.
        horizon: number of steps predicted from each origin.
        lookback: number of rows in a window, or "full" for one sequence in which every step is an origin.
    """

    features: tuple[str, ...]
    targets: tuple[str, ...]
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    horizon: int = 1
    lookback: int | str = "full"

    def as_dict(self) -> dict[str, Any]:
        """The schema as plain lists, strings and numbers, which configs and checkpoints can hold."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Schema":
        """The inverse of `as_dict`."""
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**plain)


class Reference(NamedTuple):
    """Units of scaled metrics, from a fold's training rows (its validation tail included), in the target's own unit."""

    variance: Tensor
    """(targets,): variance (ddof 0); `test/mse_scaled` is the MSE divided by it."""
    seasonal_error: Tensor
    """(targets,): mean absolute error of the seasonal naive forecast; MASE is the MAE divided by it."""


class Scaling(nn.Module):
    """Fitted affine scaling of features, known covariates and targets: scaled = (value - centre) / scale.

    It holds plain buffers, so that it is saved with the weights and a checkpoint alone forecasts in original units.
    An unfitted one is the identity.

    Args:
        features: number of features.
        known: number of known covariates.
        targets: number of targets.
    """

    feature_center: Tensor
    feature_scale: Tensor
    known_center: Tensor
    known_scale: Tensor
    target_center: Tensor
    target_scale: Tensor

    def __init__(self, features: int, known: int, targets: int) -> None:
        super().__init__()
        for name, width in (("feature", features), ("known", known), ("target", targets)):
            self.register_buffer(f"{name}_center", torch.zeros(width))
            self.register_buffer(f"{name}_scale", torch.ones(width))

    def scale_features(self, history: Tensor) -> Tensor:
        """(..., features) in original units -> the same shape, scaled."""
        return (history - self.feature_center) / self.feature_scale

    def scale_known(self, known: Tensor) -> Tensor:
        """(..., known) in original units -> the same shape, scaled."""
        return (known - self.known_center) / self.known_scale

    def scale_target(self, target: Tensor) -> Tensor:
        """(..., targets) in original units -> the same shape, scaled."""
        return (target - self.target_center) / self.target_scale

    def unscale_target(self, target: Tensor) -> Tensor:
        """(..., targets) scaled -> the same shape in original units."""
        return target * self.target_scale + self.target_center

    def unscale_change(self, change: Tensor) -> Tensor:
        """(..., targets), a difference of scaled targets -> the same shape in original units; 0 stays exactly 0."""
        return change * self.target_scale
