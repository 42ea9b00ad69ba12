"""The likelihood of a log-normal distribution."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from forecastlab.losses.likelihood import Likelihood, in_full_precision, require_positive


class LogNormal(Likelihood):
    """Negative log likelihood of a positive target whose logarithm is normal with mean μ and standard deviation σ.

        -log p(y) = log y + log σ + (log y - μ)² / 2σ² + log(2π) / 2

    The outputs are μ, in logarithms of the window's or the scaler's unit, and σ = min_scale + softplus(output). The
    point forecast is the mean exp(μ + σ²/2), the quantiles are exp(μ + σ Φ⁻¹(level)). It is about the target in
    original units: no centre is subtracted, and there is no anchor.

    Args:
        quantiles: probability levels of the quantiles that are reported, ascending.
        min_scale: the smallest σ.

    Raises:
        ValueError: for levels that are not probabilities in ascending order, or if `min_scale` is not positive.
    """

    has_location: ClassVar[bool] = False
    original_units: ClassVar[bool] = True
    support: ClassVar[tuple[float, float]] = (math.ulp(0.0), math.inf)
    filled: ClassVar[float] = 1.0

    def __init__(self, quantiles: Sequence[float] = (0.05, 0.95), min_scale: float = 1e-3) -> None:
        require_positive(min_scale=min_scale)
        super().__init__(quantiles, powers=(0, 0))
        self.min_scale = min_scale

    def parameters_of(self, outputs: Tensor) -> Tensor:
        mean, spread = in_full_precision(outputs).unbind(-1)
        return torch.stack([mean, self.min_scale + softplus(spread)], -1)

    def times(self, raw: Tensor, unit: Tensor) -> Tensor:
        return torch.stack([raw[..., 0] + unit.log(), raw[..., 1]], -1)

    def distribution(self, raw: Tensor) -> torch.distributions.LogNormal:
        mean, deviation = raw.unbind(-1)
        return torch.distributions.LogNormal(mean, deviation, validate_args=False)

    def log_prob(self, raw: Tensor, target: Tensor) -> Tensor:
        mean, deviation = raw.unbind(-1)
        log = target.log()
        return -log - deviation.log() - ((log - mean) / deviation).square() / 2 - math.log(2 * math.pi) / 2

    def cdf(self, raw: Tensor, target: Tensor) -> Tensor:
        mean, deviation = raw.unbind(-1)
        probability: Tensor = torch.special.ndtr((target.where(target > 0, self.filled).log() - mean) / deviation)
        return probability.where(target > 0, 0.0)

    def point(self, raw: Tensor) -> Tensor:
        mean, deviation = raw.unbind(-1)
        return torch.exp(mean + deviation.square() / 2)

    def quantiles_at(self, raw: Tensor, levels: Tensor) -> Tensor:
        mean, deviation = raw.double().unsqueeze(-2).unbind(-1)
        return torch.exp(mean + deviation * torch.special.ndtri(levels))

    def sample(self, raw: Tensor) -> Tensor:
        mean, deviation = raw.unbind(-1)
        return torch.exp(mean + deviation * torch.randn_like(mean))

    def crps(self, raw: Tensor, target: Tensor) -> Tensor:
        """Y (2 Φ(z) - 1) - 2 exp(μ + σ²/2) (Φ(z - σ) + Φ(σ/√2) - 1), z = (log y - μ) / σ (Baran and Lerch 2015)."""
        mean, deviation = raw.unbind(-1)
        normal = torch.special.ndtr
        z = (target.where(target > 0, self.filled).log() - mean) / deviation
        beyond = normal(z - deviation) + normal(deviation / math.sqrt(2)) - 1
        score: Tensor = target * (2 * normal(z) - 1) - 2 * self.point(raw) * beyond
        return score
