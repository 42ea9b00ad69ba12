"""Training criteria: from raw decoder outputs to a number to minimise, and to the forecasts that are reported."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn


class Loss(nn.Module, ABC):
    """A criterion in scaled units.

    Attributes:
        outputs: number of values that the decoder gives per target.
    """

    outputs: ClassVar[int] = 1

    def forward(self, raw: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """The weighted mean of the criterion.

        Args:
            raw: (batch, origins, horizon, targets, outputs): what the decoder gave.
            target: (batch, origins, horizon, targets)
            weight: (batch, origins, horizon, targets): 0 where a value does not count; its sum must not be 0.
        """
        return (self.elementwise(raw, target) * weight).sum() / weight.sum()

    @abstractmethod
    def elementwise(self, raw: Tensor, target: Tensor) -> Tensor:
        """The criterion of each value, (batch, origins, horizon, targets)."""

    def point(self, raw: Tensor) -> Tensor:
        """The point forecast, (batch, origins, horizon, targets)."""
        return raw[..., 0]


class MSE(Loss):
    """Mean squared error; its point forecast is the mean."""

    def elementwise(self, raw: Tensor, target: Tensor) -> Tensor:
        return (raw[..., 0] - target).square()


class MAE(Loss):
    """Mean absolute error; its point forecast is the median."""

    def elementwise(self, raw: Tensor, target: Tensor) -> Tensor:
        return (raw[..., 0] - target).abs()
