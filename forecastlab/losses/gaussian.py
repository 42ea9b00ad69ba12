"""The likelihood of a normal distribution."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn.functional import softplus

from forecastlab.losses.likelihood import Likelihood, in_full_precision, require_positive


class GaussianNLL(Likelihood):
    """Negative log likelihood of a normal distribution, log σ + (y - μ)² / 2σ²; the point forecast is the mean.

    The first output is μ; the second gives σ = min_scale + softplus(output). The constant log(2π) / 2 is left out, as
    in torch.nn.GaussianNLLLoss. The quantiles are those of the distribution, μ + σ Φ⁻¹(level). They cannot cross, and
    the network does not depend on which quantiles are reported.

    Args:
        quantiles: probability levels of the quantiles that are reported, ascending.
        min_scale: the smallest σ, in scaled units, or in units of the window if there is a `window_norm`. Without it,
            the likelihood of a series with a constant stretch has no bound.

    Raises:
        ValueError: for levels that are not probabilities in ascending order, or if `min_scale` is not positive.
    """

    standard_quantiles: Tensor

    def __init__(self, quantiles: Sequence[float] = (0.05, 0.95), min_scale: float = 1e-3) -> None:
        require_positive(min_scale=min_scale)
        super().__init__(quantiles, powers=(1, 1))
        self.min_scale = min_scale
        standard = torch.tensor([NormalDist().inv_cdf(level) for level in self.levels])
        self.register_buffer("standard_quantiles", standard, persistent=False)

    def parameters_of(self, outputs: Tensor) -> Tensor:
        mean, spread = in_full_precision(outputs).unbind(-1)
        return torch.stack([mean, self.min_scale + softplus(spread)], -1)

    def shifted(self, outputs: Tensor, change: Tensor) -> Tensor:
        return torch.stack([outputs[..., 0] + change, outputs[..., 1]], -1)

    def distribution(self, raw: Tensor) -> Normal:
        mean, deviation = raw.unbind(-1)
        return Normal(mean, deviation, validate_args=False)

    def elementwise(self, raw: Tensor, target: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        mean, deviation = raw.unbind(-1)
        return deviation.log() + ((target - mean) / deviation).square() / 2

    def log_prob(self, raw: Tensor, target: Tensor) -> Tensor:
        mean, deviation = raw.unbind(-1)
        return -deviation.log() - ((target - mean) / deviation).square() / 2 - math.log(2 * math.pi) / 2

    def cdf(self, raw: Tensor, target: Tensor) -> Tensor:
        mean, deviation = raw.unbind(-1)
        probability: Tensor = torch.special.ndtr((target - mean) / deviation)
        return probability

    def quantiles(self, raw: Tensor) -> Tensor:
        return raw[..., :1] + raw[..., 1:] * self.standard_quantiles

    def quantiles_at(self, raw: Tensor, levels: Tensor) -> Tensor:
        mean, deviation = raw.double().unsqueeze(-2).unbind(-1)
        quantiles: Tensor = mean + deviation * torch.special.ndtri(levels)
        return quantiles

    def sample(self, raw: Tensor) -> Tensor:
        mean, deviation = raw.unbind(-1)
        return mean + deviation * torch.randn_like(mean)

    def crps(self, raw: Tensor, target: Tensor) -> Tensor:
        """σ (z (2 Φ(z) - 1) + 2 φ(z) - 1/√π) with z = (y - μ) / σ (Gneiting and Raftery 2007, section 4.2)."""
        mean, deviation = raw.unbind(-1)
        z = (target - mean) / deviation
        density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
        score: Tensor = deviation * (z * (2 * torch.special.ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))
        return score
