"""Prediction intervals that are calibrated on forecasts whose truth is known."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

_ERRORS_IN_A_BATCH = 1 << 22
"""Errors that are sorted together."""


class SplitConformal(nn.Module):
    """Split-conformal intervals: as wide as the share `coverage` of known errors asks for.

    Without quantiles the interval is point ± margin, the margin being the ceil((n + 1) coverage)-th smallest of the n
    absolute errors of a step and target. With quantiles it is [q_low - margin, q_high + margin], and the errors are
    max(q_low - y, y - q_high), which may be negative: an interval that is too wide shrinks. Were the errors
    exchangeable with those to come, it would hold the truth with at least that probability; those of a time series are
    not quite, so measure the coverage. Each series of a panel has margins of its own, from its own errors; those of a
    step with too few errors for a coverage, and those of a new series, are of the errors of all series together.
    Sources: Lei et al. 2018; with quantiles Romano, Patterson and Candès 2019.

    A series that changes makes errors of another size than those of the validation range. With a `window` the margin of
    each origin is that of the forecasts from the last origins before it, as far as their truth is known there
    (`recent`). On calibration that follows what comes see Gibbs and Candès 2021.

    Args:
        coverages: probabilities that intervals hold the truth with.
        levels: probability levels of the forecast's quantiles, those of the intervals among them; () without any.
        horizon: number of steps.
        targets: number of targets.
        window: origins whose errors set the margin of an origin, step by step; None for those of `fit` alone.
        series: number of series that have margins of their own.

    Raises:
        ValueError: for a coverage that is no probability, or whose quantiles are not among the levels, and for a window
            that is too short for a coverage.
    """

    margin: Tensor
    """(coverages, horizon, targets): that of `fit`, of all errors, in their unit."""
    own: Tensor
    """(series, coverages, horizon, targets): those of each series; NaN where it has too few errors. Only in panels."""

    def __init__(
        self,
        coverages: Sequence[float],
        levels: Sequence[float],
        horizon: int,
        targets: int,
        window: int | None = None,
        series: int = 0,
    ) -> None:
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
        if series:
            self.register_buffer("own", self.margin.expand(series, -1, -1, -1).clone())
        self.series = series
        if window is not None and window < (least := _least(self.coverages[-1])):
            raise ValueError(
                f"intervals of {100 * self.coverages[-1]:g} % need a window of {least} origins or more, got {window}"
            )
        self.window = window

    @property
    def calibration_origins(self) -> int:
        """How many origins before an origin, at most, have a say in its margin."""
        return 0 if self.window is None else self.window + self.margin.shape[1] - 1

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

    def fit(self, errors: Tensor, weight: Tensor, series: Tensor | None = None) -> None:
        """Sets the margins.

        Args:
            errors: (samples, horizon, targets, coverages)
            weight: (samples, horizon, targets): 0 where an error does not count.
            series: (samples,), integer: number of each sample's series; None where none has margins of its own.

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
                            f"intervals of {100 * coverage:g} % need {_least(coverage)} "
                            f"forecasts of every step in the validation range, step {step + 1} has {len(known)}: "
                            "enlarge it"
                        )
                    self.margin[number, step, target] = known[:, number].kthvalue(rank).values
        if self.series and series is not None:
            self._fit_each(errors, weight, series)

    def _fit_each(self, errors: Tensor, weight: Tensor, series: Tensor) -> None:
        """Sets the margins of each series that has enough errors."""
        order = series.argsort(stable=True)
        numbers, counts = series[order].unique_consecutive(return_counts=True)
        known = (weight > 0)[order]
        kept = errors[order].where(known[..., None], torch.inf)
        self.own.fill_(torch.nan)
        parts = zip(numbers, kept.split(counts.tolist()), known.split(counts.tolist()), strict=True)
        for number, part, counted in parts:
            margins = self._ranked(part.permute(1, 2, 3, 0), counted.sum(0))  # (horizon, coverages, targets)
            self.own[number] = margins.where(margins.isfinite(), torch.nan).transpose(0, 1)

    def margins(self, series: Tensor) -> Tensor:
        """The margins of some series, (batch, coverages, horizon, targets): their own, or else those of all errors.

        Args:
            series: (batch,), integer: their numbers; -1 for a series without margins of its own.
        """
        if not self.series:
            return self.margin.expand(len(series), -1, -1, -1)
        own = self.own[series.clamp(min=0)]
        return own.where((series >= 0)[:, None, None, None] & ~own.isnan(), self.margin)

    def recent(self, errors: Tensor, weight: Tensor, margin: Tensor, last: int | None = None) -> Tensor:
        """The margins at consecutive origins of one series, (last, coverages, horizon, targets).

        At origin t the margin of step h is of the `window` origins t - h - window + 1 .. t - h, whose truth is known
        at t, but for those of weight 0. Where that many origins are not there, or too few of them count for a coverage,
        it is `margin`.

        Args:
            errors: (origins, horizon, targets, coverages)
            weight: (origins, horizon, targets): 0 where an error is not known, or does not count.
            margin: (coverages, horizon, targets): that of the series, as `margins` gives it.
            last: number of origins at the end whose margins are wanted; None for all.
        """
        assert self.window is not None
        count = len(errors)
        last = count if last is None else last
        margins = margin.expand(count, *margin.shape).clone()
        for step in range(errors.shape[1]):
            first = max(self.window + step, count - last)  # of the origins that have a whole window before them
            start, stop = first - step - self.window, count - step - 1
            if first >= count:
                continue
            counts = weight[start:stop, step] > 0
            kept = errors[start:stop, step].where(counts[..., None], torch.inf)
            windows_in_a_batch = max(1, _ERRORS_IN_A_BATCH // (self.window * kept[0].numel()))
            parts = zip(
                _sliding(kept, self.window, windows_in_a_batch),
                _sliding(counts, self.window, windows_in_a_batch),
                strict=True,
            )
            ranked = torch.cat([self._ranked(part, known.sum(-1)) for part, known in parts])
            margins[first:, :, step] = ranked.where(ranked.isfinite(), margins[first:, :, step])
        return margins[count - last :]

    def _ranked(self, errors: Tensor, known: Tensor) -> Tensor:
        """The margins of windows, infinite where too few errors are known: (windows, coverages, targets).

        Args:
            errors: (windows, targets, coverages, window), infinite where not known.
            known: (windows, targets): how many are.
        """
        ascending = errors.sort(-1).values
        coverages = torch.tensor(self.coverages, dtype=torch.float64, device=errors.device)
        rank = ((known[..., None] + 1) * coverages - 1e-9).ceil().long()
        enough = rank <= known[..., None]
        margins = ascending.gather(-1, (rank - 1).clamp(max=errors.shape[-1] - 1)[..., None])[..., 0]
        return margins.where(enough, torch.inf).transpose(1, 2)

    def forward(self, point: Tensor, quantiles: Tensor, margin: Tensor | None = None) -> Tensor:
        """The quantiles of the intervals, (..., horizon, targets, levels), ascending.

        Args:
            point: (..., horizon, targets)
            quantiles: (..., horizon, targets, levels)
            margin: (..., coverages, horizon, targets), of each origin; None for that of all errors.
        """
        ends = quantiles.clone() if self.given else point.unsqueeze(-1).repeat(*[1] * point.dim(), len(self.levels))
        margins = (self.margin if margin is None else margin).unbind(-3)
        for (low, high), each in zip(self.pairs, margins, strict=True):
            ends[..., low] -= each
            ends[..., high] += each
        return ends.sort(-1).values


class RecentMargins:
    """The margins of the origins of some series, found by series and row.

    Args:
        series: (origins,), integer: the number of each origin's series; those of one stand together.
        index: (origins,), integer: its row; consecutive within a series.
        margins: (origins, coverages, horizon, targets)
    """

    def __init__(self, series: Tensor, index: Tensor, margins: Tensor) -> None:
        self._margins = margins
        numbers, counts = torch.unique_consecutive(series, return_counts=True)
        self._first = series.new_zeros(int(numbers.max()) + 1)
        self._first[numbers] = counts.cumsum(0) - counts
        self._row = index[self._first]

    def at(self, series: Tensor, index: Tensor) -> Tensor:
        """(batch, origins, coverages, horizon, targets).

        Args:
            series: (batch,)
            index: (batch, origins): the rows of its origins.
        """
        return self._margins[self._first[series, None] + index - self._row[series, None]]


def _sliding(values: Tensor, window: int, at_once: int) -> Iterator[Tensor]:
    """All windows of consecutive rows, (windows, ..., window), some at a time."""
    return iter(values.unfold(0, window, 1).split(at_once))


def _least(coverage: float) -> int:
    """How many errors an interval needs at least."""
    return math.ceil(coverage / (1 - coverage) - 1e-9)


def _position(levels: Sequence[float], level: float) -> int:
    for position, other in enumerate(levels):
        if math.isclose(level, other, abs_tol=1e-9):
            return position
    raise ValueError(f"an interval needs the quantile {level:g}, but the loss forecasts those of {list(levels)}")
