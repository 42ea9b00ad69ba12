"""The likelihood of Student's t distribution."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

from forecastlab.losses.likelihood import Likelihood, in_full_precision, require_positive
from forecastlab.losses.special import student_t_cdf, student_t_quantile


class StudentT(Likelihood):
    """Negative log likelihood of Student's t distribution with location μ, scale σ and ν degrees of freedom.

        -log p(y) = log σ + (ν + 1) / 2 log(1 + z² / ν) + log B(1/2, ν/2) + log(ν) / 2      z = (y - μ) / σ

    Its tails are heavier than those of a normal distribution, so outliers move the forecast less. The outputs are μ,
    σ = min_scale + softplus(output) and ν = 2 + softplus(output), so that the mean, which is the point forecast, and
    the variance exist. The quantiles have a relative error below 1e-8 (`student_t_quantile`).

    Args:
        quantiles: probability levels of the quantiles that are reported, ascending.
        min_scale: the smallest σ, in scaled units, or in units of the window if there is a `window_norm`.

    Raises:
        ValueError: for levels that are not probabilities in ascending order, or if `min_scale` is not positive.
    """

    def __init__(self, quantiles: Sequence[float] = (0.05, 0.95), min_scale: float = 1e-3) -> None:
        require_positive(min_scale=min_scale)
        super().__init__(quantiles, powers=(1, 1, 0))
        self.min_scale = min_scale

    def parameters_of(self, outputs: Tensor) -> Tensor:
        location, spread, freedom = in_full_precision(outputs).unbind(-1)
        # the smallest ν is above 2 also where softplus is 0 in single precision
        return torch.stack([location, self.min_scale + softplus(spread), 2.001 + softplus(freedom)], -1)

    def shifted(self, outputs: Tensor, change: Tensor) -> Tensor:
        return torch.cat([(outputs[..., 0] + change).unsqueeze(-1), outputs[..., 1:]], -1)

    def distribution(self, raw: Tensor) -> torch.distributions.StudentT:
        location, scale, freedom = raw.unbind(-1)
        return torch.distributions.StudentT(freedom, location, scale, validate_args=False)

    def log_prob(self, raw: Tensor, target: Tensor) -> Tensor:
        # in double precision: the logarithms of gamma functions of many degrees of freedom cancel
        logarithm: Tensor = self.distribution(raw.double()).log_prob(target.double())
        return logarithm.to(raw.dtype)

    def cdf(self, raw: Tensor, target: Tensor) -> Tensor:
        location, scale, freedom = raw.double().unbind(-1)
        return student_t_cdf(freedom, (target - location) / scale)

    def point(self, raw: Tensor) -> Tensor:
        return raw[..., 0]

    def quantiles_at(self, raw: Tensor, levels: Tensor) -> Tensor:
        location, scale, freedom = raw.double().unsqueeze(-2).unbind(-1)
        return location + scale * student_t_quantile(freedom, levels)

    def sample(self, raw: Tensor) -> Tensor:
        return self.distribution(raw).sample()

    def crps(self, raw: Tensor, target: Tensor) -> Tensor:
        """The closed form of Jordan, Krüger and Lerch 2019 (appendix A.2)."""
        location, scale, df = raw.double().unbind(-1)
        z = (target - location) / scale
        standard = torch.distributions.StudentT(df, validate_args=False)
        density: Tensor = standard.log_prob(z).exp()

        def log_beta(b: Tensor) -> Tensor:
            return torch.lgamma(b) - torch.lgamma(b + 0.5)  # the factor Γ(1/2) is left to the sum

        ratio = torch.exp(log_beta(df - 0.5) - 2 * log_beta(df / 2)) / torch.pi**0.5
        score: Tensor = z * (2 * student_t_cdf(df, z) - 1) + 2 * density * (df + z.square()) / (df - 1)
        score = score - 2 * df.sqrt() * ratio / (df - 1)
        return scale * score
