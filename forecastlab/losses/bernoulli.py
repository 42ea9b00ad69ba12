"""The likelihood of events that happen or not."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from forecastlab.losses.likelihood import Likelihood, in_full_precision


class Bernoulli(Likelihood):
    """Negative log likelihood of a target that is 1 with probability p and else 0: the binary cross-entropy.

    The output gives p = sigmoid(output), which is the point forecast. A quantile is 0 up to the level 1 - p, and 1
    above it. `test/crps` is the Brier score (p - y)² (half of that of Brier 1950, who counts both outcomes).

    Args:
        quantiles: probability levels of the quantiles that are reported, ascending.

    Raises:
        ValueError: for levels that are not probabilities in ascending order.
    """

    has_location: ClassVar[bool] = False
    original_units: ClassVar[bool] = True
    support: ClassVar[tuple[float, float]] = (0.0, 1.0)
    whole: ClassVar[bool] = True

    def __init__(self, quantiles: Sequence[float] = (0.05, 0.95)) -> None:
        super().__init__(quantiles, powers=(0,))

    def parameters_of(self, outputs: Tensor) -> Tensor:
        return in_full_precision(outputs)

    def distribution(self, raw: Tensor) -> torch.distributions.Bernoulli:
        return torch.distributions.Bernoulli(logits=raw.squeeze(-1), validate_args=False)

    def log_prob(self, raw: Tensor, target: Tensor) -> Tensor:
        return -binary_cross_entropy_with_logits(raw.squeeze(-1), target.to(raw.dtype), reduction="none")

    def cdf(self, raw: Tensor, target: Tensor) -> Tensor:
        return torch.sigmoid(-raw.squeeze(-1)).where(target < 1, 1.0).where(target >= 0, 0.0)

    def point(self, raw: Tensor) -> Tensor:
        return torch.sigmoid(raw.squeeze(-1))

    def quantiles_at(self, raw: Tensor, levels: Tensor) -> Tensor:
        return (levels > torch.sigmoid(-raw.double())).double()

    def sample(self, raw: Tensor) -> Tensor:
        chance = self.point(raw)
        return (torch.rand_like(chance) < chance).to(chance.dtype)

    def crps(self, raw: Tensor, target: Tensor) -> Tensor:
        return (self.point(raw) - target).square()
