"""The likelihood of a normal distribution."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from forecastlab.losses.base import Loss
from forecastlab.losses.quantile import require_levels


class GaussianNLL(Loss):
    """Negative log likelihood of a normal distribution, log σ + (y - μ)² / 2σ²; the point forecast is the mean.

    The first output is μ; the second gives σ = min_scale + softplus(output). The constant log(2π) / 2 is left out, as
    in torch.nn.GaussianNLLLoss. The quantiles are those of the distribution, μ + σ Φ⁻¹(level). They cannot cross, and
    the network does not depend on which quantiles are reported.

    Args:
        quantiles: probability levels of the quantiles that are reported, ascending.
        min_scale: the smallest σ, in scaled units. Without it, the likelihood of a series with a constant stretch has
            no bound.

    Raises:
        ValueError: for levels that are not probabilities in ascending order, or if `min_scale` is not positive.
    """

    homogeneous: ClassVar[bool] = False
    outputs = 2
    standard_quantiles: Tensor

    def __init__(self, quantiles: Sequence[float] = (0.05, 0.95), min_scale: float = 1e-3) -> None:
        super().__init__()
        if not min_scale > 0:
            raise ValueError(f"min_scale must be a positive number, got {min_scale!r}")
        self.levels = require_levels(quantiles)
        self.min_scale = min_scale
        standard = torch.tensor([NormalDist().inv_cdf(level) for level in self.levels])
        self.register_buffer("standard_quantiles", standard, persistent=False)

    def elementwise(self, raw: Tensor, target: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        deviation = self._deviation(raw)
        return deviation.log() + ((target - raw[..., 0]) / deviation).square() / 2

    def quantiles(self, raw: Tensor) -> Tensor:
        return raw[..., :1] + self._deviation(raw).unsqueeze(-1) * self.standard_quantiles

    def crps(self, raw: Tensor, target: Tensor) -> Tensor:
        """σ (z (2 Φ(z) - 1) + 2 φ(z) - 1/√π) with z = (y - μ) / σ (Gneiting and Raftery 2007, section 4.2)."""
        deviation = self._deviation(raw)
        z = (target - raw[..., 0]) / deviation
        density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
        score: Tensor = deviation * (z * (2 * torch.special.ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))
        return score

    def _deviation(self, raw: Tensor) -> Tensor:
        """σ, (batch, origins, horizon, targets)."""
        return self.min_scale + softplus(raw[..., 1])
