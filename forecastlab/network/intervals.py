"""Prediction intervals, calibrated on forecasts whose truth is known."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

_ERRORS_IN_A_BATCH = 1 << 22
"""The largest number of errors that are sorted in one call."""
_LEAST_UNITS = 4
"""If errors in the least unit of windows are more than this on average, their series does not stay as quiet."""
_TIMES_ENOUGH = 4
"""How many times the least number of errors are enough for a series. From one set of errors to the next, the share that
an interval misses then varies by 1 / sqrt(4) of what it should miss. Of twice the least, the margin is the largest."""


class SplitConformal(nn.Module):
    """Split-conformal intervals: wide enough to hold the share `coverage` of known errors.

    Without quantiles the interval is point ± margin. The margin is the ceil((n + 1) coverage)-th smallest of the n
    absolute errors of a step and target. With quantiles the interval is [q_low - margin, q_high + margin], and the
    errors are max(q_low - y, y - q_high). They may be negative: an interval that is too wide shrinks. If these errors
    and future errors are exchangeable, the interval holds the truth with at least that probability. Errors of a time
    series are not quite exchangeable, so measure the coverage. Sources: Lei et al. 2018; with quantiles Romano,
    Patterson and Candès 2019.

    Each series of a panel has its own margins. They come from its own errors alone if it has four times as many as its
    coverage needs at least (36 for 90 %), so that the guarantee holds for each series. If it has fewer, n, the errors
    of all series stand for the missing ones: they are divided by the mean absolute error of their series, multiplied
    by that of this one, and count as 4 least - n errors. The mean of few errors is uncertain. So the errors of the
    others are also multiplied by n ((1 - coverage)^(-1/n) - 1) / -log(1 - coverage), which is exact for errors with an
    exponential distribution, and somewhat wide for normal ones. In simulations of panels whose series differ a
    thousandfold in their unit, intervals of 90 % of a series with 1, 2, 5, 9, 17 and 30 normal errors hold the truth in
    93, 92, 93, 92, 92 and 91 % of the cases. If the errors of a series have heavier tails than those of the others,
    they hold it less often: exponential errors among uniform ones in 85 to 89 %, until there are 30. A series without
    errors, such as a new one, uses the margin of all errors in their unit.

    Errors in the unit of a window count for their series only where this unit tells its size. A series that stood still
    and moves again has errors of thousands of least units. They would make its intervals thousands of times as wide as
    its new changes. So the errors of a series in the least unit do not count for its own margins, if they are more than
    four such units on average. They still count for the margins of all series.

    If a series changes, its errors differ from those of the validation range. With a `window`, the margin of each
    origin comes from the last forecasts before it whose truth is known there (`recent`). Gibbs and Candès 2021 discuss
    calibration over time.

    Args:
        coverages: probabilities with which intervals hold the truth.
        levels: probability levels of the forecast's quantiles, including those of the intervals; () for none.
        horizon: number of steps.
        targets: number of targets.
        window: number of origins whose errors set the margin of each step at an origin; None for the margins of `fit`.
        series: number of series with their own margins.

    Raises:
        ValueError: if a coverage is not a probability, if its quantiles are not among the levels, or if the window is
            too short for a coverage.
    """

    margin: Tensor
    """(coverages, horizon, targets): the margin of `fit` from all errors, in their unit."""
    own: Tensor
    """(series, coverages, horizon, targets): the margins of each series of a panel; NaN where it has no error."""

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
        """The largest number of earlier origins that set the margin of an origin."""
        return 0 if self.window is None else self.window + self.margin.shape[1] - 1

    @property
    def fitted(self) -> bool:
        """Whether the margins are known."""
        return not bool(self.margin.isnan().any())

    def errors(self, point: Tensor, quantiles: Tensor, target: Tensor) -> Tensor:
        """The errors to which the margins are fitted, (..., coverages).

        Args:
            point: (...)
            quantiles: (..., levels)
            target: (...): the truth.
        """
        if not self.given:
            return (target - point).abs().unsqueeze(-1).expand(*point.shape, len(self.pairs))
        ends = ((quantiles[..., low], quantiles[..., high]) for low, high in self.pairs)
        return torch.stack([torch.maximum(low - target, target - high) for low, high in ends], -1)

    def fit(self, errors: Tensor, weight: Tensor, series: Tensor | None = None, least: Tensor | None = None) -> None:
        """Sets the margins.

        Args:
            errors: (samples, horizon, targets, coverages)
            weight: (samples, horizon, targets): 0 where an error does not count.
            series: (samples,), integer: number of each sample's series; None if no series has its own margins.
            least: (samples, targets): whether errors are in the least unit that a window can have; None if none is.

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
            known = weight > 0
            self._fit_each(errors, known if least is None else _comparable(errors, known, series, least), series)

    def _fit_each(self, errors: Tensor, known: Tensor, series: Tensor) -> None:
        """Sets the margins of each series, from its own errors and, as far as these are few, from those of all."""
        order = series.argsort(stable=True)
        numbers, counts = series[order].unique_consecutive(return_counts=True)
        known = known[order]
        kept = errors[order].where(known[..., None], torch.inf)
        scales = torch.stack(
            [
                _mean_size(part, counted)
                for part, counted in zip(kept.split(counts.tolist()), known.split(counts.tolist()), strict=True)
            ]
        )  # (series, targets, coverages)
        pool = _Pool(kept / scales.repeat_interleave(counts, 0)[:, None], self.coverages)
        self.own.fill_(torch.nan)
        parts = zip(numbers, kept.split(counts.tolist()), known.split(counts.tolist()), scales, strict=True)
        for number, part, counted, scale in parts:
            margins = self._ranked(part.permute(1, 2, 3, 0), counted.sum(0)).permute(0, 2, 1)
            margins = pool.fill(margins, part, counted.sum(0), scale)
            self.own[number] = margins.where(margins.isfinite(), torch.nan).permute(2, 0, 1)

    def margins(self, series: Tensor) -> Tensor:
        """The margins of some series, (batch, coverages, horizon, targets): their own, if they have any.

        Args:
            series: (batch,), integer: their numbers; -1 for a series without margins of its own.
        """
        if not self.series:
            return self.margin.expand(len(series), -1, -1, -1)
        own = self.own[series.clamp(min=0)]
        return own.where((series >= 0)[:, None, None, None] & ~own.isnan(), self.margin)

    def recent(self, errors: Tensor, weight: Tensor, margin: Tensor, last: int | None = None) -> Tensor:
        """The margins at consecutive origins of one series, (last, coverages, horizon, targets).

        At origin t the margin of step h comes from the `window` origins t - h - window + 1 .. t - h, whose truth is
        known at t. Errors of weight 0 do not count. If there are not that many origins, or too few errors count for a
        coverage, it is `margin`.

        Args:
            errors: (origins, horizon, targets, coverages)
            weight: (origins, horizon, targets): 0 where an error is not known, or does not count.
            margin: (coverages, horizon, targets): the margin of the series, from `margins`.
            last: number of origins at the end whose margins are computed; None for all.
        """
        assert self.window is not None
        count = len(errors)
        last = count if last is None else last
        margins = margin.expand(count, *margin.shape).clone()
        for step in range(errors.shape[1]):
            first = max(self.window + step, count - last)  # the first origin with a whole window before it
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
        """The margins of windows, (windows, coverages, targets); infinite if too few errors are known.

        Args:
            errors: (windows, targets, coverages, window), infinite where not known.
            known: (windows, targets): number of known errors.
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
            margin: (..., coverages, horizon, targets), for each origin; None for the margin of all errors.
        """
        ends = quantiles.clone() if self.given else point.unsqueeze(-1).repeat(*[1] * point.dim(), len(self.levels))
        margins = (self.margin if margin is None else margin).unbind(-3)
        for (low, high), each in zip(self.pairs, margins, strict=True):
            ends[..., low] -= each
            ends[..., high] += each
        return ends.sort(-1).values


class _Pool:
    """The errors of all series in units of their own mean size, which stand for errors that a series lacks.

    Args:
        scaled: (samples, horizon, targets, coverages); not finite where not known, or of a series without errors.
        coverages: ascending.
    """

    def __init__(self, scaled: Tensor, coverages: Sequence[float]) -> None:
        known = scaled.isfinite()
        self._ascending = scaled.where(known, torch.inf).permute(1, 2, 3, 0).sort(-1).values
        self._counts = known.sum(0)
        self._coverages = torch.tensor(coverages, dtype=torch.float64, device=scaled.device)
        least = [_least(coverage) for coverage in coverages]
        self._enough = _TIMES_ENOUGH * torch.tensor(least, device=scaled.device)

    def fill(self, margins: Tensor, errors: Tensor, known: Tensor, scale: Tensor) -> Tensor:
        """The margins of a series, with the errors of all series where its own are few.

        The margin is the smallest v for which the number of own errors up to v, and the share of the pool up to v times
        the number of errors that are missing, are (enough + 1) coverage together. For the m smallest own errors v is at
        least the m-th, and the quantile of the pool for the rest; the best m is the margin.

        Args:
            margins: (horizon, targets, coverages): those of its own errors alone.
            errors: (samples, horizon, targets, coverages): its errors, infinite where not known.
            known: (horizon, targets): number of its errors.
            scale: (targets, coverages): their mean size; NaN if there are none.
        """
        count = known[..., None].double()
        missing = (self._enough - count).clamp(min=0)
        own = torch.arange(len(errors) + 1, device=errors.device)
        wanted = ((self._enough + 1) * self._coverages)[:, None] - own
        share = wanted / missing[..., None]  # (horizon, targets, coverages, own errors + 1)
        place = (share * self._counts[..., None] - 1e-9).ceil().long() - 1
        pooled = self._ascending.gather(-1, place.clamp(0, self._ascending.shape[-1] - 1))
        pooled = pooled * (scale * self._uncertainty(count))[..., None]
        pooled = pooled.where(share <= 1, torch.inf).where(share > 0, -torch.inf)
        lowest = torch.full_like(margins[..., None], -torch.inf)
        smallest = torch.cat([lowest, errors.permute(1, 2, 3, 0).sort(-1).values], -1)
        blended = torch.maximum(smallest, pooled.to(smallest)).amin(-1)
        usable = (count > 0) & (missing > 0) & (self._counts > 0)
        return torch.where(usable, blended, margins).where(count > 0, torch.nan)

    def _uncertainty(self, count: Tensor) -> Tensor:
        """How much wider a quantile is in units of the mean of `count` exponential values than of their expectation."""
        return count * ((1 - self._coverages) ** (-1 / count) - 1) / -torch.log(1 - self._coverages)


def _comparable(errors: Tensor, known: Tensor, series: Tensor, least: Tensor) -> Tensor:
    """Which known errors tell about later windows of their series, (samples, horizon, targets).

    Those in the least unit do not, if they are more than a few such units on average: the series stood still, and moves
    again. Its later windows then have units of their own, a hundred times as large.
    """
    counted = known & least[:, None]
    numbers, place = series.unique(return_inverse=True)
    size = errors.abs().mean(-1).where(counted, 0)
    none = size.new_zeros(len(numbers), *size.shape[1:])
    total, count = (none.index_add(0, place, part).sum(1) for part in (size, counted.to(size)))
    moves = total > _LEAST_UNITS * count
    return known & ~(least & moves[place])[:, None]


def _mean_size(errors: Tensor, known: Tensor) -> Tensor:
    """The mean absolute error (targets, coverages) over samples and steps; NaN if none is known or all are 0.

    Args:
        errors: (samples, horizon, targets, coverages).
        known: (samples, horizon, targets).
    """
    total = errors.abs().where(known[..., None], 0).sum((0, 1))
    mean = total / known.sum((0, 1))[:, None]
    return mean.where(mean > 0, torch.nan)


class RecentMargins:
    """The margins at the origins of some series, looked up by series and row.

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
