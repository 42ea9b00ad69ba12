"""The likelihood of a mixture of distributions."""

from collections.abc import Callable

import torch
from torch import Tensor

from forecastlab.losses.base import Loss
from forecastlab.losses.gaussian import GaussianNLL
from forecastlab.losses.likelihood import Likelihood, in_full_precision
from forecastlab.losses.special import bracketed_quantile
from forecastlab.losses.student_t import StudentT


class Mixture(Likelihood):
    """Negative log likelihood of a mixture of normal or of Student's t distributions: -log Σ w_k p_k(y).

    The first outputs give the weights, w = softmax(outputs); the others are those of the components. A mixture can have
    several modes, and be skewed. The point forecast is the mean Σ w_k μ_k. A quantile lies between the smallest and the
    largest one of its components and is found there (`bracketed_quantile`). The probability below it differs from the
    level by less than a millionth of it. Source: Bishop 1994.

    Args:
        distribution: the components, `GaussianNLL` or `StudentT`; their quantile levels are reported.
        components: number of components.

    Raises:
        ValueError: for components of another kind, or fewer than two.
    """

    def __init__(self, distribution: Callable[[], Loss] = GaussianNLL, components: int = 3) -> None:
        part = distribution()
        if not isinstance(part, GaussianNLL | StudentT):
            raise ValueError(f"distribution must be GaussianNLL or StudentT, got {type(part).__name__}")
        if components < 2:
            raise ValueError(f"components must be 2 or more, got {components!r}")
        super().__init__(part.levels, powers=(*[0] * components, *part.powers.tolist() * components))
        self.components = components
        self.part = part

    def parameters_of(self, outputs: Tensor) -> Tensor:
        weights, parts = self._apart(outputs)
        return torch.cat([in_full_precision(weights), self.part.parameters_of(parts).flatten(-2)], -1)

    def shifted(self, outputs: Tensor, change: Tensor) -> Tensor:
        weights, parts = self._apart(outputs)
        return torch.cat([weights, self.part.shifted(parts, change.unsqueeze(-1)).flatten(-2)], -1)

    def distribution(self, raw: Tensor) -> torch.distributions.MixtureSameFamily:
        weights, parts = self._apart(raw)
        categorical = torch.distributions.Categorical(logits=weights, validate_args=False)
        return torch.distributions.MixtureSameFamily(categorical, self.part.distribution(parts), validate_args=False)

    def log_prob(self, raw: Tensor, target: Tensor) -> Tensor:
        weights, parts = self._apart(raw)
        each = self.part.log_prob(parts, target.unsqueeze(-1).expand(weights.shape))
        return torch.logsumexp(weights.log_softmax(-1) + each, -1)

    def cdf(self, raw: Tensor, target: Tensor) -> Tensor:
        weights, parts = self._apart(raw)
        return (weights.softmax(-1) * self.part.cdf(parts, target.unsqueeze(-1).expand(weights.shape))).sum(-1)

    def point(self, raw: Tensor) -> Tensor:
        weights, parts = self._apart(raw)
        return (weights.softmax(-1) * self.part.point(parts)).sum(-1)

    def quantiles_at(self, raw: Tensor, levels: Tensor) -> Tensor:
        raw = raw.double()
        _, parts = self._apart(raw)
        each = self.part.quantiles_at(parts, levels.unsqueeze(-2))  # (..., components, levels)
        raw = raw.unsqueeze(-2).expand(*raw.shape[:-1], each.shape[-1], raw.shape[-1])

        def function(value: Tensor) -> tuple[Tensor, Tensor]:
            return self.cdf(raw, value), self.log_prob(raw, value)

        return bracketed_quantile(function, each.amin(-2), each.amax(-2), levels)

    def sample(self, raw: Tensor) -> Tensor:
        weights, parts = self._apart(raw)
        uniform = torch.rand_like(weights[..., :1])
        chosen = (uniform > weights.softmax(-1).cumsum(-1)[..., :-1]).sum(-1, keepdim=True)
        place = chosen.unsqueeze(-1).expand(*chosen.shape, parts.shape[-1])
        return self.part.sample(parts.gather(-2, place).squeeze(-2))

    def _apart(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """The weights (..., components), and the parameters of the components (..., components, parameters)."""
        weights, parts = raw[..., : self.components], raw[..., self.components :]
        return weights, parts.unflatten(-1, (self.components, -1))
