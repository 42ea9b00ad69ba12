"""What every likelihood is: a criterion whose forecast is a distribution."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from forecastlab.losses.base import Loss
from forecastlab.losses.quantile import require_levels


class Likelihood(Loss):
    """The negative logarithm of the probability, or of its density, that the forecast gives to the truth.

    The network does not depend on which quantiles are reported. They are those of the distribution, so they cannot
    cross. The point forecast is the mean.

    Args:
        quantiles: probability levels of the quantiles that are reported, ascending.

    Attributes:
        powers: for each parameter, the power of a unit that it is multiplied by if the target is multiplied by the
            unit: 1 for a mean, 0 for degrees of freedom.

    Raises:
        ValueError: for levels that are not probabilities in ascending order.
    """

    filled: ClassVar[float] = 0.0
    """A target that the distribution can take; it stands for a value outside the support, which has no weight."""
    powers: Tensor

    def __init__(self, quantiles: Sequence[float], powers: Sequence[float]) -> None:
        super().__init__()
        self.levels = require_levels(quantiles)
        self.outputs = len(powers)
        self.register_buffer("powers", torch.tensor(powers), persistent=False)

    @abstractmethod
    def log_prob(self, raw: Tensor, target: Tensor) -> Tensor:
        """The logarithm of the probability or density of targets (...) under forecasts (..., outputs)."""

    @abstractmethod
    def cdf(self, raw: Tensor, target: Tensor) -> Tensor:
        """The probability (...) of a value up to the target (...), under forecasts (..., outputs)."""

    @abstractmethod
    def quantiles_at(self, raw: Tensor, levels: Tensor) -> Tensor:
        """The quantiles, (..., levels), in double precision.

        Args:
            raw: (..., outputs)
            levels: (levels,), or (..., levels): probabilities, in double precision.
        """

    @abstractmethod
    def sample(self, raw: Tensor) -> Tensor:
        """A draw from each forecast, (...), from torch's global generator."""

    def distribution(self, raw: Tensor) -> Distribution | None:
        """The forecasts (..., outputs) as a distribution of torch; None if torch has none of this kind."""
        return None

    def times(self, raw: Tensor, unit: Tensor) -> Tensor:
        return raw * unit.unsqueeze(-1) ** self.powers

    def elementwise(self, raw: Tensor, target: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        low, high = self.support
        inside = (target >= low) & (target <= high)
        return -self.log_prob(raw, target.where(inside, self.filled))

    def quantiles(self, raw: Tensor) -> Tensor:
        levels = torch.tensor(self.levels, dtype=torch.float64, device=raw.device)
        return self.quantiles_at(raw, levels).to(raw.dtype)


def in_full_precision(outputs: Tensor) -> Tensor:
    """Outputs in single precision at least: half a precision is too coarse for a likelihood."""
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))


def require_positive(**numbers: float) -> None:
    """Raises ValueError for a number that is not positive."""
    for name, number in numbers.items():
        if not number > 0:
            raise ValueError(f"{name} must be a positive number, got {number!r}")
