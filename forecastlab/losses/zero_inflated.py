"""The likelihood of counts with more zeros than their distribution has."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from forecastlab.losses.base import Loss
from forecastlab.losses.counts import Counts, NegativeBinomial
from forecastlab.losses.likelihood import in_full_precision


class ZeroInflated(Counts):
    """Negative log likelihood of a count that is 0 with probability π, and else has a distribution of counts f.

        p(0) = π + (1 - π) f(0)      p(y) = (1 - π) f(y) for y > 0

    The first output gives π = sigmoid(output), the others are those of f. The point forecast is the mean (1 - π) times
    that of f; a quantile is that of f at the level (level - π) / (1 - π), and 0 if this is not positive. Source:
    Lambert 1992.

    Args:
        distribution: f, `Poisson` or `NegativeBinomial`; its quantile levels are reported.

    Raises:
        ValueError: if it is no likelihood of counts.
    """

    def __init__(self, distribution: Callable[[], Loss] = NegativeBinomial) -> None:
        counts = distribution()
        if not isinstance(counts, Counts) or isinstance(counts, ZeroInflated):
            raise ValueError(f"distribution must be Poisson or NegativeBinomial, got {type(counts).__name__}")
        super().__init__(counts.levels, powers=(0, *counts.powers.tolist()))
        self.counts = counts

    def parameters_of(self, outputs: Tensor) -> Tensor:
        return torch.cat([in_full_precision(outputs[..., :1]), self.counts.parameters_of(outputs[..., 1:])], -1)

    def log_prob(self, raw: Tensor, target: Tensor) -> Tensor:
        inflation = raw[..., 0]
        counted = logsigmoid(-inflation) + self.counts.log_prob(raw[..., 1:], target)
        return torch.where(target == 0, torch.logaddexp(logsigmoid(inflation), counted), counted)

    def cdf(self, raw: Tensor, target: Tensor) -> Tensor:
        zero = torch.sigmoid(raw[..., 0].double())
        return zero + (1 - zero) * self.counts.cdf(raw[..., 1:], target)

    def point(self, raw: Tensor) -> Tensor:
        return torch.sigmoid(-raw[..., 0]) * self.counts.point(raw[..., 1:])

    def variance(self, raw: Tensor) -> Tensor:
        zero, mean = torch.sigmoid(raw[..., 0]), self.counts.point(raw[..., 1:])
        return (1 - zero) * (self.counts.variance(raw[..., 1:]) + zero * mean.square())

    def quantiles_at(self, raw: Tensor, levels: Tensor) -> Tensor:
        zero = torch.sigmoid(raw[..., :1].double())
        return self.counts.quantiles_at(raw[..., 1:], (levels - zero) / (1 - zero))

    def sample(self, raw: Tensor) -> Tensor:
        counted = self.counts.sample(raw[..., 1:])
        return counted * (torch.rand_like(counted) >= torch.sigmoid(raw[..., 0]))
