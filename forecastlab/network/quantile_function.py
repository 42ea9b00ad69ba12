"""A distribution from a few of its quantiles."""

from collections.abc import Sequence

import torch
from torch import Tensor


class QuantileFunction:
    """A quantile function that is linear in the normal score Φ⁻¹(level) between the levels, and goes on so beyond them.

    Two levels give a normal distribution; more give its skewness and its tails.

    Args:
        levels: probabilities, ascending; two or more.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self._knots = torch.special.ndtri(torch.tensor(levels, dtype=torch.float64))

    def at(self, quantiles: Tensor, scores: Tensor) -> Tensor:
        """The quantiles at normal scores, (..., scores).

        Args:
            quantiles: (..., levels), ascending.
            scores: (..., scores)
        """
        knots = self._knots.to(scores.device)
        place = torch.bucketize(scores, knots[1:-1])
        low, slope = quantiles[..., :-1], quantiles.diff(dim=-1) / knots.diff()
        found: Tensor = low.gather(-1, place) + slope.gather(-1, place) * (scores - knots[place])
        return found

    def score(self, quantiles: Tensor, values: Tensor) -> Tensor:
        """The normal scores (...) at which values (...) are the quantiles (..., levels)."""
        knots = self._knots.to(values.device)
        place = (values.unsqueeze(-1) > quantiles[..., 1:-1]).sum(-1, keepdim=True)
        low, width = quantiles[..., :-1].gather(-1, place), quantiles.diff(dim=-1).gather(-1, place)
        share = (values.unsqueeze(-1) - low) / torch.where(width > 0, width, 1.0)
        within = knots[place] + share * knots.diff()[place]
        score: Tensor = within.where(width > 0, knots[place]).squeeze(-1)
        return score
