"""Criteria of quantile forecasts."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from forecastlab.losses.base import Loss


def pinball(quantiles: Tensor, target: Tensor, levels: Tensor) -> Tensor:
    """The pinball (quantile, tilted) loss of each quantile: τ (y - q)₊ + (1 - τ) (q - y)₊.

    The τ-quantile minimises its mean. Source: Koenker and Bassett 1978; thesis 2.11, without the factor 2
    that others use.

    Args:
        quantiles: (..., levels)
        target: (...): the truth.
        levels: (levels,): the probability τ of each quantile.

    Returns:
        (..., levels)
    """
    error = target.unsqueeze(-1) - quantiles
    return error * (levels - (error < 0).to(error.dtype))  # a maximum, or a choice by `where`, takes twice as long


class Quantile(Loss):
    """Mean pinball loss over several quantiles; the point forecast is the median.

    Training reads the raw outputs, which may cross. The reported quantiles are sorted. Sorted quantiles never cross,
    and their pinball loss is never higher than that of the raw outputs (Chernozhukov, Fernández-Val and Galichon 2010).

    Args:
        quantiles: probability levels, ascending; 0.5, the point forecast, is among them.

    Raises:
        ValueError: if they are not.
    """

    probabilities: Tensor

    def __init__(self, quantiles: Sequence[float] = (0.05, 0.5, 0.95)) -> None:
        super().__init__()
        self.levels = require_levels(quantiles)
        if 0.5 not in self.levels:
            raise ValueError(f"quantiles must include 0.5, the median, which is the point forecast; got {quantiles}")
        self.outputs = len(self.levels)
        self.register_buffer("probabilities", torch.tensor(self.levels), persistent=False)

    def elementwise(self, raw: Tensor, target: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        return pinball(raw, target, self.probabilities).mean(-1)

    def point(self, raw: Tensor) -> Tensor:
        return self.quantiles(raw)[..., self.levels.index(0.5)]

    def quantiles(self, raw: Tensor) -> Tensor:
        return raw.sort(-1).values


class JointMeanQuantile(Loss):
    """Squared error of a mean plus the pinball losses of quantiles; the point forecast is the mean.

    The first output is the mean, the others are the quantiles. The losses of the quantiles are added up; `Quantile`
    averages them. The reported quantiles are sorted, as in `Quantile`. The mean is separate from them and may lie
    anywhere. Source: Rodrigues and Pereira 2020.

    Args:
        quantiles: probability levels, ascending.

    Raises:
        ValueError: if they are not.
    """

    probabilities: Tensor

    def __init__(self, quantiles: Sequence[float] = (0.05, 0.5, 0.95)) -> None:
        super().__init__()
        self.levels = require_levels(quantiles)
        self.outputs = 1 + len(self.levels)
        self.register_buffer("probabilities", torch.tensor(self.levels), persistent=False)

    def elementwise(self, raw: Tensor, target: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        return (raw[..., 0] - target).square() + pinball(raw[..., 1:], target, self.probabilities).sum(-1)

    def quantiles(self, raw: Tensor) -> Tensor:
        return raw[..., 1:].sort(-1).values


def require_levels(quantiles: Sequence[float]) -> tuple[float, ...]:
    """The probability levels of quantiles as floats.

    Raises:
        ValueError: if there are none, or if they do not ascend strictly between 0 and 1.
    """
    levels = tuple(float(level) for level in quantiles)
    inside = all(0 < level < 1 for level in levels)
    if not levels or not inside or any(low >= high for low, high in pairwise(levels)):
        raise ValueError(
            "quantiles must be probabilities between 0 and 1, each once and in ascending order, such as "
            f"[0.05, 0.5, 0.95]; got {quantiles}"
        )
    return levels
