"""Metrics of quantile forecasts."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from forecastlab.losses import pinball
from forecastlab.metrics.mean import MeanMetric

FEWEST_LEVELS = 9
"""The number of levels that determine a distribution well enough, such as the deciles."""


class PinballLoss(MeanMetric):
    """Mean pinball loss over values and levels, in the target's unit; half the mean absolute error at level 0.5.

    Compare it only between forecasts of the same levels. It does not approximate the CRPS.

    Args:
        levels: probability levels of the quantiles.
    """

    levels: Tensor

    def __init__(self, levels: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("levels", torch.tensor(tuple(levels), dtype=torch.float64), persistent=False)

    def update(self, quantiles: Tensor, target: Tensor) -> None:
        """Adds quantiles, (..., levels), and truth, (...)."""
        self._add(pinball(quantiles.double(), target.double(), self.levels).mean(-1))


class QuantileCRPS(MeanMetric):
    """Mean continuous ranked probability score of the distribution through the quantiles, as `crps_of_quantiles`.

    It is in the target's unit. For a point forecast it is the mean absolute error. With few levels the shape between
    and beyond them is an assumption: see `determines_crps`.

    Args:
        levels: probability levels of the quantiles, ascending.
    """

    levels: Tensor

    def __init__(self, levels: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("levels", torch.tensor(tuple(levels), dtype=torch.float64), persistent=False)

    def update(self, quantiles: Tensor, target: Tensor) -> None:
        """Adds quantiles, (..., levels), ascending, and truth, (...)."""
        self._add(crps_of_quantiles(quantiles, target, self.levels))


def determines_crps(levels: Sequence[float]) -> bool:
    """Whether quantiles of these levels determine a distribution well enough to compute its CRPS.

    They do if there are nine or more, if they reach to 0.1 and 0.9 or beyond, and if neighbours are at most a quarter
    apart. For exponential, uniform, Laplace and two-peaked distributions, the score of such quantiles is within two
    percent of the distribution's own score.

    Args:
        levels: probability levels, ascending.
    """
    return (
        len(levels) >= FEWEST_LEVELS
        and levels[0] <= 0.1 + 1e-6
        and levels[-1] >= 0.9 - 1e-6
        and all(high - low <= 0.25 + 1e-6 for low, high in pairwise(levels))
    )


def crps_of_quantiles(quantiles: Tensor, target: Tensor, levels: Tensor) -> Tensor:
    """The continuous ranked probability score ∫ (F(x) - 1{x ≥ y})² dx of each value, float64, in closed form.

    F is the distribution through the quantiles. It is normal between two neighbours and beyond the outermost: x is
    linear in Φ⁻¹(F). So the score is exact for any quantiles of a normal distribution. A single level is a point
    forecast, whose score is the absolute error. Sources: Matheson and Winkler 1976; Gneiting and Raftery 2007.

    Args:
        quantiles: (..., levels), ascending.
        target: (...): the truth y.
        levels: (levels,): their probabilities, ascending.
    """
    x, y = quantiles.double(), target.double().unsqueeze(-1)
    if x.shape[-1] == 1:
        alone: Tensor = (x - y).abs()[..., 0]
        return alone
    z = torch.special.ndtri(levels.to(x))
    low, high = z[:-1].clone(), z[1:].clone()
    slope = x.diff(dim=-1) / z.diff()
    # a jump of F becomes a very steep line
    slope = slope.clamp(min=0).maximum((y - x[..., :-1]).abs() * 1e-30 + 1e-300)
    at = z[:-1] + (y - x[..., :-1]) / slope
    low[0], high[-1] = -torch.inf, torch.inf
    at = at.maximum(low).minimum(high)
    parts = slope * (_squared_normal(at) - _squared_normal(low) + _squared_normal(-at) - _squared_normal(-high))
    score: Tensor = parts.sum(-1)
    return score


def _squared_normal(z: Tensor) -> Tensor:
    """∫ Φ(t)² dt from -∞ to z."""
    normal = torch.special.ndtr(z)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    area: Tensor = (
        z * normal.square() + 2 * normal * density - torch.special.ndtr(z * math.sqrt(2)) / math.sqrt(math.pi)
    )
    return torch.where(z == -torch.inf, 0.0, area)
