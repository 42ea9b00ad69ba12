"""The criterion of implicit quantile networks."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from forecastlab.losses.base import Loss
from forecastlab.losses.quantile import pinball, require_levels
from forecastlab.losses.samples import crps_of_samples

SCORED = 100
"""Number of quantiles that stand for the distribution in its continuous ranked probability score."""


class ImplicitQuantile(Loss):
    """Pinball loss at random levels: a forecast is a whole quantile function, and any quantile can be read from it.

        q(τ) = r_0 + Σ_j r_j φ_j(τ),   φ(τ) = relu(W c(τ) + b),   c_i(τ) = cos(π i τ),  i = 0 ... frequencies - 1

    The decoder gives r, for each step and target. W and b are learned and the same for all forecasts. In training, τ is
    drawn from torch's generator for each batch, once in each of `samples` equal parts of the interval from 0 to 1, and
    the criterion is the mean of the pinball losses. In evaluation the levels are the middles of these parts. So the
    validation loss has no noise; twice it is the CRPS of the quantiles at these levels.

    The network does not depend on which quantiles are reported. The point forecast is the median. A q that is learned
    need not ascend, so the median and the reported quantiles are sorted, as in `Quantile`: they then never cross, and
    their pinball loss is never higher. (A q that ascends by construction needs r ≥ 0 and a φ that ascends. Such a
    forecast could not be moved by a negative change.)

    Sources: Dabney et al. 2018, eq. 4; for forecasts Gouttes et al. 2021. There layers follow the product of r and
    φ(τ), and each value has a level of its own. Here the product is added up. A forecast times a unit, or moved by an
    anchor, is then exactly r times the unit, or r_0 moved. All values of a batch share their levels, which costs a
    fraction of the time; the expected gradient is the same.

    Args:
        quantiles: probability levels of the quantiles that are reported, ascending.
        features: number of functions φ_j of the level.
        frequencies: number of cosines.
        samples: number of levels that are drawn for a batch.

    Raises:
        ValueError: for levels that are not probabilities in ascending order, or a number below 1.
    """

    def __init__(
        self,
        quantiles: Sequence[float] = (0.05, 0.5, 0.95),
        features: int = 16,
        frequencies: int = 64,
        samples: int = 32,
    ) -> None:
        super().__init__()
        for name, number in (("features", features), ("frequencies", frequencies), ("samples", samples)):
            if number < 1:
                raise ValueError(f"{name} must be 1 or more, got {number!r}")
        self.levels = require_levels(quantiles)
        self.outputs = 1 + features
        self.samples = samples
        self.embedding = nn.Linear(frequencies, features)

    def shifted(self, outputs: Tensor, change: Tensor) -> Tensor:
        return torch.cat([outputs[..., :1] + change.unsqueeze(-1), outputs[..., 1:]], -1)

    def elementwise(self, raw: Tensor, target: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        levels = _middles(self.samples, raw.device)
        if self.training:
            levels = levels + (torch.rand_like(levels) - 0.5) / self.samples
        return pinball(self._at(raw, levels), target, levels.to(raw.dtype)).mean(-1)

    def point(self, raw: Tensor) -> Tensor:
        return self._reported(raw)[..., sorted({*self.levels, 0.5}).index(0.5)]

    def quantiles(self, raw: Tensor) -> Tensor:
        places = [place for place, level in enumerate(sorted({*self.levels, 0.5})) if level in self.levels]
        return self._reported(raw)[..., places]

    def quantiles_at(self, raw: Tensor, levels: Tensor) -> Tensor:
        """The quantiles, (..., levels), sorted.

        Args:
            raw: (..., outputs)
            levels: (levels,): probabilities, ascending.
        """
        return self._at(raw, levels).sort(-1).values

    def crps(self, raw: Tensor, target: Tensor) -> Tensor:
        """The score of the distribution whose quantiles at the middles of `SCORED` equal parts are equally probable."""
        return crps_of_samples(self.quantiles_at(raw, _middles(SCORED, raw.device)), target)

    def _reported(self, raw: Tensor) -> Tensor:
        """The reported quantiles and the median, sorted together."""
        levels = sorted({*self.levels, 0.5})
        return self.quantiles_at(raw, torch.tensor(levels, dtype=torch.float64, device=raw.device))

    def _at(self, raw: Tensor, levels: Tensor) -> Tensor:
        """The function q, (..., levels).

        Args:
            raw: (..., outputs)
            levels: (levels,), in double precision: half a precision is too coarse for i τ.
        """
        frequency = torch.arange(self.embedding.in_features, dtype=levels.dtype, device=levels.device)
        cosines = torch.cos(math.pi * frequency * levels.unsqueeze(-1)).to(self.embedding.weight.dtype)
        functions = pad(torch.relu(self.embedding(cosines)), (1, 0), value=1.0)
        return raw @ functions.to(raw.dtype).mT


def _middles(number: int, device: torch.device) -> Tensor:
    """The middles of equal parts of the interval from 0 to 1, (number,), in double precision."""
    return (torch.arange(number, dtype=torch.float64, device=device) + 0.5) / number
