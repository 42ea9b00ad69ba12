"""What every training criterion is."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn


class Loss(nn.Module, ABC):
    """A criterion on a forecast, which is in scaled units: original = scaled * scale + offset.

    A decoder gives any numbers. `parameters` makes a forecast of them, in the decoder's own unit, and `times` brings it
    to another unit. All other methods take such a forecast, which they call `raw`. For losses of a point or of
    quantiles it is what the decoder gave; for a likelihood it holds the parameters of a distribution.

    Scaled values are in the network's own precision, offset and scale in double precision.

    Attributes:
        outputs: number of values that the decoder gives per target, and of those of a forecast.
        levels: probability levels of the forecast quantiles, ascending; empty if there is only a point forecast.
        has_location: whether a forecast can be moved by a number (`shifted`).
        original_units: whether forecasts are about the target as it is, such as a count. Then no centre is subtracted
            from it, and 0 stays 0.
        support: the smallest and the largest value of a target.
        whole: whether a target is a whole number.
    """

    has_location: ClassVar[bool] = True
    original_units: ClassVar[bool] = False
    support: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    whole: ClassVar[bool] = False
    outputs: int = 1
    levels: tuple[float, ...] = ()

    def parameters_of(self, outputs: Tensor) -> Tensor:
        """The forecast that a decoder's outputs stand for, (..., outputs), in the decoder's unit."""
        return outputs

    def times(self, raw: Tensor, unit: Tensor) -> Tensor:
        """The forecast of the target times a positive number.

        Args:
            raw: (..., outputs)
            unit: it broadcasts to (...).
        """
        return raw * unit.unsqueeze(-1)

    def shifted(self, outputs: Tensor, change: Tensor) -> Tensor:
        """A decoder's outputs, (..., outputs), for the target plus a number (...), if the loss `has_location`."""
        return outputs + change.unsqueeze(-1)

    def fed_back(self, outputs: Tensor) -> Tensor:
        """The point forecast (...) of a decoder's outputs (..., outputs), which its next step reads."""
        return self.point(self.parameters_of(outputs))

    def forward(self, raw: Tensor, target: Tensor, weight: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        """The weighted mean of the criterion.

        Args:
            raw: (batch, origins, horizon, targets, outputs): the forecast.
            target: (batch, origins, horizon, targets)
            weight: (batch, origins, horizon, targets): 0 where a value does not count; its sum must not be 0.
            offset: original = scaled * scale + offset. Its shape broadcasts to the target's.
            scale: as `offset`.
        """
        return (self.elementwise(raw, target, offset, scale) * weight).sum() / weight.sum()

    @abstractmethod
    def elementwise(self, raw: Tensor, target: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        """The criterion of each value, (batch, origins, horizon, targets), from the arguments of `forward`."""

    def point(self, raw: Tensor) -> Tensor:
        """The point forecast, (batch, origins, horizon, targets), in scaled units."""
        return raw[..., 0]

    def quantiles(self, raw: Tensor) -> Tensor:
        """The quantiles, (batch, origins, horizon, targets, levels), in scaled units; ascending, so none cross."""
        return raw[..., :0]

    def crps(self, raw: Tensor, target: Tensor) -> Tensor | None:
        """The continuous ranked probability score of the distribution that is forecast, in scaled units.

        Args:
            raw: (batch, origins, horizon, targets, outputs)
            target: (batch, origins, horizon, targets)

        Returns:
            (batch, origins, horizon, targets); None if only a point or quantiles are forecast.
        """
        return None
