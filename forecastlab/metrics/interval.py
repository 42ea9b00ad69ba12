"""Metrics of prediction intervals."""

import math
from collections.abc import Sequence

from torch import Tensor

from forecastlab.metrics.mean import MeanMetric


def covered(lower: Tensor, upper: Tensor, target: Tensor) -> Tensor:
    """1 for each truth in its interval, including the bounds, else 0; float64."""
    return ((lower <= target) & (target <= upper)).double()


def winkler_score(lower: Tensor, upper: Tensor, target: Tensor, alpha: float) -> Tensor:
    """The width of each interval, plus 2 / alpha times its distance from a truth outside; float64."""
    lower, upper = lower.double(), upper.double()
    missed = (lower - target).clamp(min=0) + (target - upper).clamp(min=0)
    return upper - lower + 2 / alpha * missed


class IntervalCoverage(MeanMetric):
    """Share of the truths in their intervals, including the bounds, from 0 to 1. The nominal level is best."""

    higher_is_better = None

    def update(self, lower: Tensor, upper: Tensor, target: Tensor) -> None:
        """Adds bounds and truth, all of one shape."""
        self._add(covered(lower, upper, target))


class IntervalWidth(MeanMetric):
    """Mean width of the intervals, in the target's unit."""

    def update(self, lower: Tensor, upper: Tensor) -> None:
        """Adds bounds of one shape."""
        self._add(upper.double() - lower)


class WinklerScore(MeanMetric):
    """Mean interval score: the width, plus 2 / alpha times the distance from a truth outside.

    It is in the target's unit. The true quantiles alpha / 2 and 1 - alpha / 2 minimise it. Sources: Winkler 1972;
    Gneiting and Raftery 2007.

    Args:
        alpha: nominal share of the truths outside the interval: 0.1 for an interval of 90 %.

    Raises:
        ValueError: if it is not between 0 and 1.
    """

    def __init__(self, alpha: float) -> None:
        super().__init__()
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, got {alpha!r}")
        self.alpha = alpha

    def update(self, lower: Tensor, upper: Tensor, target: Tensor) -> None:
        """Adds bounds and truth, all of one shape."""
        self._add(winkler_score(lower, upper, target, self.alpha))


def central_interval(levels: Sequence[float]) -> tuple[int, int] | None:
    """Positions of the outermost two levels that are symmetric around 0.5, such as 0.05 and 0.95.

    Args:
        levels: probability levels, ascending.

    Returns:
        The two positions; None if there is no such pair.
    """
    return next(iter(symmetric_pairs(levels)), None)


def symmetric_pairs(levels: Sequence[float]) -> list[tuple[int, int]]:
    """Positions of all pairs of levels that are symmetric around 0.5, the outermost pair first."""
    return [
        (lower, upper)
        for lower, low in enumerate(levels)
        for upper in range(len(levels) - 1, lower, -1)
        if math.isclose(low, 1 - levels[upper], abs_tol=1e-6)
    ]
