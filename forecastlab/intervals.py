"""Prediction intervals that are calibrated on forecasts whose truth is known."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SplitConformal(nn.Module):
    """Split-conformal intervals: as wide as the share `coverage` of known errors asks for.

    Without quantiles the interval is point ± margin, the margin being the ceil((n + 1) coverage)-th smallest of the n
    absolute errors of a step and target. With quantiles it is [q_low - margin, q_high + margin], and the errors are
    max(q_low - y, y - q_high), which may be negative: an interval that is too wide shrinks. Were the errors
    exchangeable with those to come, it would hold the truth with at least that probability; those of a time series are
    not quite, so measure the coverage. Sources: Lei et al. 2018; with quantiles Romano, Patterson and Candès 2019.

    Args:
        coverages: probabilities that intervals hold the truth with.
        levels: probability levels of the forecast's quantiles, those of the intervals among them; () without any.
        horizon: number of steps.
        targets: number of targets.

    Raises:
        ValueError: for a coverage that is no probability, or whose quantiles are not among the levels.
    """

    margin: Tensor

    def __init__(self, coverages: Sequence[float], levels: Sequence[float], horizon: int, targets: int) -> None:
        super().__init__()
        if any(not 0 < coverage < 1 for coverage in coverages) or len(set(coverages)) < len(coverages):
            raise ValueError(f"intervals must be different probabilities between 0 and 1, got {list(coverages)}")
        self.coverages = tuple(sorted(map(float, coverages)))
        self.given = tuple(levels)
        ends = [(round((1 - coverage) / 2, 12), round((1 + coverage) / 2, 12)) for coverage in self.coverages]
        self.levels = tuple(levels) or tuple(sorted(level for pair in ends for level in pair))
        """Probability levels of what `forward` gives, ascending."""
        self.pairs = [(_position(self.levels, low), _position(self.levels, high)) for low, high in ends]
        self.register_buffer("margin", torch.full((len(self.pairs), horizon, targets), torch.nan))

    @property
    def fitted(self) -> bool:
        """Whether the margins are known."""
        return not bool(self.margin.isnan().any())

    def errors(self, point: Tensor, quantiles: Tensor, target: Tensor) -> Tensor:
        """What the margins are fitted to, (..., coverages).

        Args:
            point: (...)
            quantiles: (..., levels)
            target: (...): the truth.
        """
        if not self.given:
            return (target - point).abs().unsqueeze(-1).expand(*point.shape, len(self.pairs))
        ends = ((quantiles[..., low], quantiles[..., high]) for low, high in self.pairs)
        return torch.stack([torch.maximum(low - target, target - high) for low, high in ends], -1)

    def fit(self, errors: Tensor, weight: Tensor) -> None:
        """Sets the margins.

        Args:
            errors: (samples, horizon, targets, coverages)
            weight: (samples, horizon, targets): 0 where an error does not count.

        Raises:
            ValueError: if a step has too few errors for a coverage.
        """
        for step in range(errors.shape[1]):
            for target in range(errors.shape[2]):
                known = errors[weight[:, step, target] > 0, step, target]
                for number, coverage in enumerate(self.coverages):
                    rank = math.ceil((len(known) + 1) * coverage - 1e-9)
                    if rank > len(known):
                        raise ValueError(
                            f"intervals of {100 * coverage:g} % need {math.ceil(coverage / (1 - coverage) - 1e-9)} "
                            f"forecasts of every step in the validation range, step {step + 1} has {len(known)}: "
                            "enlarge it"
                        )
                    self.margin[number, step, target] = known[:, number].kthvalue(rank).values

    def forward(self, point: Tensor, quantiles: Tensor) -> Tensor:
        """The quantiles of the intervals, (..., horizon, targets, levels), ascending.

        Args:
            point: (..., horizon, targets)
            quantiles: (..., horizon, targets, levels)
        """
        ends = quantiles.clone() if self.given else point.unsqueeze(-1).repeat(*[1] * point.dim(), len(self.levels))
        for (low, high), margin in zip(self.pairs, self.margin, strict=True):
            ends[..., low] -= margin
            ends[..., high] += margin
        return ends.sort(-1).values


def _position(levels: Sequence[float], level: float) -> int:
    for position, other in enumerate(levels):
        if math.isclose(level, other, abs_tol=1e-9):
            return position
    raise ValueError(f"an interval needs the quantile {level:g}, but the loss forecasts those of {list(levels)}")
