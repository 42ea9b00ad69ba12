"""What every training criterion is."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn


class Loss(nn.Module, ABC):
    """A criterion on the raw outputs of a decoder, which are in scaled units: original = scaled * scale + offset.

    Scaled values are in the network's own precision, offset and scale in double precision.

    Attributes:
        homogeneous: whether all outputs are in the unit of the target: if the target doubles, they double.
        outputs: number of values that the decoder gives per target.
        levels: probability levels of the forecast quantiles, ascending; empty if there is only a point forecast.
    """

    homogeneous: ClassVar[bool] = True
    outputs: int = 1
    levels: tuple[float, ...] = ()

    def forward(self, raw: Tensor, target: Tensor, weight: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        """The weighted mean of the criterion.

        Args:
            raw: (batch, origins, horizon, targets, outputs): the decoder's outputs.
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
