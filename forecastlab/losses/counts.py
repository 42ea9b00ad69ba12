"""Likelihoods of counts."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from forecastlab.losses.likelihood import Likelihood, in_full_precision
from forecastlab.losses.special import betainc, count_quantile

SMALLEST = 1e-6
"""The smallest mean and the smallest dispersion, in the unit of the window or of the scaler."""


class Counts(Likelihood):
    """A likelihood of whole numbers from 0 on, in original units.

    No centre is subtracted from a count and there is no anchor, so a forecast is never negative. The mean is the first
    parameter. It is softplus(output) times a unit: the level of the window with `window_norm: level`, and the scaler's
    unit of the target with `window_norm: none`.

    A quantile is the smallest count that is reached with at least its probability. `count_quantile` finds it exactly,
    up to counts whose probability comes within 1e-7 of the level.
    """

    has_location: ClassVar[bool] = False
    original_units: ClassVar[bool] = True
    support: ClassVar[tuple[float, float]] = (0.0, math.inf)
    whole: ClassVar[bool] = True

    @abstractmethod
    def variance(self, raw: Tensor) -> Tensor:
        """The variance (...) of forecasts (..., outputs)."""

    def point(self, raw: Tensor) -> Tensor:
        return raw[..., 0]

    def quantiles_at(self, raw: Tensor, levels: Tensor) -> Tensor:
        raw = raw.double().unsqueeze(-2)

        def function(count: Tensor) -> tuple[Tensor, Tensor]:
            each = raw.expand(*count.shape, raw.shape[-1])
            return self.cdf(each, count), self.log_prob(each, count)

        return count_quantile(function, self.point(raw), self.variance(raw), levels)


class Poisson(Counts):
    """Negative log likelihood of a Poisson distribution, λ - y log λ + log y!; its mean and its variance are λ.

    The output gives λ = (1e-6 + softplus(output)) times the unit of the window or of the scaler.

    Args:
        quantiles: probability levels of the quantiles that are reported, ascending.

    Raises:
        ValueError: for levels that are not probabilities in ascending order.
    """

    def __init__(self, quantiles: Sequence[float] = (0.05, 0.95)) -> None:
        super().__init__(quantiles, powers=(1,))

    def parameters_of(self, outputs: Tensor) -> Tensor:
        return SMALLEST + softplus(in_full_precision(outputs))

    def distribution(self, raw: Tensor) -> torch.distributions.Poisson:
        return torch.distributions.Poisson(raw.squeeze(-1), validate_args=False)

    def log_prob(self, raw: Tensor, target: Tensor) -> Tensor:
        logarithm: Tensor = self.distribution(raw).log_prob(target)
        return logarithm

    def cdf(self, raw: Tensor, target: Tensor) -> Tensor:
        probability: Tensor = torch.special.gammaincc(target.double() + 1, raw.double().squeeze(-1))
        return probability

    def variance(self, raw: Tensor) -> Tensor:
        return raw[..., 0]

    def sample(self, raw: Tensor) -> Tensor:
        return torch.poisson(raw.squeeze(-1))

    def crps(self, raw: Tensor, target: Tensor) -> Tensor:
        """(y - λ) (2 F(y) - 1) + 2 λ p(y) - λ exp(-2λ) (I₀(2λ) + I₁(2λ)) (Wei and Held 2014)."""
        rate = raw.double().squeeze(-1)
        probability = self.log_prob(raw.double(), target.double()).exp()
        bessel = torch.special.i0e(2 * rate) + torch.special.i1e(2 * rate)
        score: Tensor = (target - rate) * (2 * self.cdf(raw, target) - 1) + 2 * rate * probability - rate * bessel
        return score


class NegativeBinomial(Counts):
    """Negative log likelihood of a negative binomial distribution with mean μ and dispersion α, as in DeepAR.

        p(y) = Γ(y + 1/α) / (Γ(y + 1) Γ(1/α)) (1 / (1 + αμ))^(1/α) (αμ / (1 + αμ))^y        variance μ + α μ²

    With the unit ν of the window or of the scaler, the outputs give μ = ν (1e-6 + softplus(output)) and
    α = (1e-6 + softplus(output)) / √ν (Salinas et al. 2020, section 3). α near 0 is a Poisson distribution.

    Args:
        quantiles: probability levels of the quantiles that are reported, ascending.

    Raises:
        ValueError: for levels that are not probabilities in ascending order.
    """

    def __init__(self, quantiles: Sequence[float] = (0.05, 0.95)) -> None:
        super().__init__(quantiles, powers=(1, -0.5))

    def parameters_of(self, outputs: Tensor) -> Tensor:
        return SMALLEST + softplus(in_full_precision(outputs))

    def distribution(self, raw: Tensor) -> torch.distributions.NegativeBinomial:
        mean, dispersion = raw.unbind(-1)
        odds = mean.log() + dispersion.log()
        return torch.distributions.NegativeBinomial(1 / dispersion, logits=odds, validate_args=False)

    def log_prob(self, raw: Tensor, target: Tensor) -> Tensor:
        # in double precision: the logarithms of gamma functions of 1 / α cancel
        mean, dispersion = raw.double().unbind(-1)
        count, size = target.double(), 1 / dispersion
        odds = mean.log() + dispersion.log()
        ways = torch.lgamma(count + size) - torch.lgamma(size) - torch.lgamma(count + 1)
        return (ways + size * logsigmoid(-odds) + count * logsigmoid(odds)).to(raw.dtype)

    def cdf(self, raw: Tensor, target: Tensor) -> Tensor:
        mean, dispersion = raw.double().unbind(-1)
        return betainc(1 / dispersion, target.double() + 1, -mean.log() - dispersion.log())[0]

    def variance(self, raw: Tensor) -> Tensor:
        mean, dispersion = raw.unbind(-1)
        return mean + dispersion * mean.square()

    def sample(self, raw: Tensor) -> Tensor:
        mean, dispersion = raw.unbind(-1)
        return torch.poisson(torch.distributions.Gamma(1 / dispersion, 1 / (dispersion * mean)).sample())
