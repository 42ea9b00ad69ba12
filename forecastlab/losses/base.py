"""What every training criterion is."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn


class Loss(nn.Module, ABC):
    """A criterion on the raw outputs of a decoder, which are in scaled units: original = scaled * scale + offset.

    Scaled values are in the network's own precision, offset and scale in double precision.

    Attributes:
        homogeneous: whether all outputs are in the unit of the target, and double with it.
        outputs: number of values that the decoder gives per target.
        levels: probability levels of the quantiles that it forecasts, ascending; none for a point forecast alone.
    """

    homogeneous: ClassVar[bool] = True
    outputs: int = 1
    levels: tuple[float, ...] = ()

    def forward(self, raw: Tensor, target: Tensor, weight: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        """The weighted mean of the criterion.

        Args:
            raw: (batch, origins, horizon, targets, outputs): what the decoder gave.
            target: (batch, origins, horizon, targets)
            weight: (batch, origins, horizon, targets): 0 where a value does not count; its sum must not be 0.
            offset: what is added to a scaled value times `scale` to give it in its own unit; of any shape that
                broadcasts to the target's.
            scale: its unit in the target's own, likewise.
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
            (batch, origins, horizon, targets); None where no distribution is forecast, but a point or quantiles.
        """
        return None
