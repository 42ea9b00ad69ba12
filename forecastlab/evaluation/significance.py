"""How sure a difference between two models is: a paired moving-block bootstrap over the forecast origins.

Both models are scored on the same rows, so that it is their difference on each row that is resampled. Errors of
neighbouring origins resemble each other; blocks of neighbours are drawn, not single rows, or the interval would be too
narrow. Blocks that are not much longer than the dependence leave a part of it out, and few blocks do not tell their own
spread: the interval is widened for both. Sources: Künsch 1989 (the moving-block bootstrap); Politis and White 2004,
corrected by Patton, Politis and White 2009 (the length of the blocks); Kendall 1954 (the bias of an autocorrelation).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.errors import ConfigError
from forecastlab.evaluation.comparison import Comparison, Metric

Floats = NDArray[np.float64]

_CHUNK = 1 << 22  # blocks drawn at a time, so that memory stays small


@dataclass(frozen=True)
class Series:
    """Sums over the values of each forecast origin, in the order of time.

    Attributes:
        total: (origins,): sum over the origin's values (steps, targets, series), such as the first model's error minus
            the second's.
        count: (origins,): how many values that is.
    """

    total: Floats
    count: Floats

    @classmethod
    def single(cls, values: Floats) -> "Series":
        """One value per origin: (origins,)."""
        return cls(np.asarray(values, dtype=np.float64), np.ones(len(values)))

    @property
    def mean(self) -> float:
        """The mean over all values."""
        return float(self.total.sum() / self.count.sum())


@dataclass(frozen=True)
class Difference:
    """The mean error of one model minus that of another, with its interval.

    Attributes:
        first: name of the one.
        second: name of the other.
        mean: mean over the folds of the difference in each; negative where the first is better.
        low: lower end of the interval.
        high: upper end of the interval.
        level: how often such an interval is meant to hold the true difference.
        block_length: origins in a block.
        origins: number of forecast origins.
        resamples: number of resamples.
        seed: seed of the resampling.
    """

    first: str
    second: str
    mean: float
    low: float
    high: float
    level: float
    block_length: int
    origins: int
    resamples: int
    seed: int

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    @property
    def few_blocks(self) -> bool:
        """Whether there are so few independent blocks that the interval itself is a rough guess."""
        return self.origins < 10 * self.block_length

    @property
    def sentence(self) -> str:
        """What it says, in plain words."""
        if self.mean == 0 and self.low == self.high == 0:
            return f"{self.first} and {self.second} have the same error on every row."
        first_is_better = self.mean < 0
        better, worse = (self.first, self.second) if first_is_better else (self.second, self.first)
        low, high = (-self.high, -self.low) if first_is_better else (self.low, self.high)
        interval = f"{self.level:.0%} interval {low:.4f} to {high:.4f}"
        verdict = (
            "the interval leaves out 0: on rows like these the difference is unlikely to be chance"
            if self.decided
            else "the interval holds 0: these rows do not decide which of the two is better"
        )
        rough = f"; only {self.origins} origins, the interval itself is a rough guess" if self.few_blocks else ""
        return f"{better} has the lower error than {worse}, by {abs(self.mean):.4f} ({interval}); {verdict}{rough}."


def paired_difference(
    comparison: Comparison,
    first: str,
    second: str,
    metric: Metric = "mse_scaled",
    *,
    block_length: int | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Compares two models on the same rows; errors are averaged over the seeds first.

    The unit that is resampled is the forecast origin with all of its values, within each fold; folds count equally, as
    in the table.

    Args:
        comparison: the models.
        first: name of one model.
        second: name of the other.
        metric: which error: "mse_scaled" squared and in units of the training variance, "mae" absolute.
        block_length: origins in a block; None for the rule of `block_length_of`, at least the horizon.
        resamples: number of resamples.
        seed: seed of the resampling.
        level: of the interval, between 0 and 1.

    Raises:
        ConfigError: for a block longer than the shortest fold, or a level outside 0 .. 1.
    """
    errors = comparison.errors(metric)
    difference = errors[first] - errors[second]
    folds = by_origin(difference)
    horizon = int(errors.index.get_level_values("step").max())
    length = block_length_of(folds, at_least=horizon) if block_length is None else block_length
    means = block_bootstrap(folds, length, resamples, seed)
    if not 0 < level < 1:
        raise ConfigError(f"level must be between 0 and 1, both excluded, got {level}")
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    mean = float(np.mean([fold.mean for fold in folds]))
    count = sum(len(fold.total) for fold in folds)
    return Difference(first, second, mean, float(low), float(high), level, length, count, resamples, seed)


def by_origin(values: "pd.Series[float]") -> list[Series]:
    """The sums of each forecast origin, in the order of time, for each fold.

    Args:
        values: (rows,), with the levels `fold` and `cutoff` in the index.
    """
    origins = values.groupby(level=["fold", "cutoff"]).agg(["sum", "size"])
    return [
        Series(part["sum"].to_numpy(dtype=np.float64), part["size"].to_numpy(dtype=np.float64))
        for _, part in origins.groupby(level="fold")
    ]


def block_bootstrap(folds: Sequence[Series], block_length: int, resamples: int = 10_000, seed: int = 0) -> Floats:
    """Resampled means: (resamples,), the mean over the folds of each fold's mean.

    In each fold, blocks of neighbouring origins are drawn with replacement until the fold is full, the last one cut.
    Three corrections to the plain scheme. The resamples are centred on the observed mean, because origins at the ends
    lie in fewer blocks. Their deviations grow as those of a first-order autoregression must that has the differences'
    own autocorrelation: by sqrt(n / (n - block_length)) without one, and by more where blocks cut the dependence off.
    And each mean's deviation is divided by the spread that so many independent blocks could have shown by chance,
    sqrt(chi²(d) / d), so that a normal distribution becomes Student's with d degrees of freedom, the number of blocks
    less one for each fold.

    Args:
        folds: the differences of each fold.
        block_length: origins in a block.
        resamples: number of resamples.
        seed: seed of the drawing.

    Raises:
        ConfigError: for a block shorter than 1 or not shorter than a fold.
    """
    shortest = min(len(fold.total) for fold in folds)
    if not 1 <= block_length < max(shortest, 2):
        raise ConfigError(
            f"block_length must be at least 1 and less than the {shortest} origins of the shortest fold, got "
            f"{block_length}"
        )
    random = np.random.default_rng(seed)
    correlation = _autocorrelation(folds)
    drawn = [
        _drawn(fold, block_length, resamples, random) * _growth(len(fold.total), block_length, correlation)
        for fold in folds
    ]
    freedom = max(1.0, sum(len(fold.total) / block_length - 1 for fold in folds))
    spread = np.sqrt(random.chisquare(freedom, resamples) / freedom)
    means: Floats = np.mean([fold.mean for fold in folds]) + np.mean(drawn, axis=0) / spread
    return means


def block_length_of(folds: Sequence[Series], at_least: int = 1) -> int:
    """How many neighbouring origins make a block.

    The longest of: the automatic choice of Politis and White, which grows with the autocorrelation; the cube root of
    the number of origins; `at_least` (the horizon: forecasts from origins closer than that overlap). But at most
    half of the shortest fold.
    """
    shortest = min(len(fold.total) for fold in folds)
    centred = np.concatenate([fold.total / fold.count - fold.mean for fold in folds])
    length = max(_politis_white(centred), math.ceil(math.cbrt(len(centred))), at_least)
    return max(1, min(length, shortest // 2))


def _drawn(fold: Series, length: int, resamples: int, random: np.random.Generator) -> Floats:
    """(resamples,): how far the means of one fold's resamples lie from their own mean."""
    n = len(fold.total)
    blocks = math.ceil(n / length)
    last = n - (blocks - 1) * length
    totals, counts = (np.concatenate([[0.0], np.cumsum(values)]) for values in (fold.total, fold.count))
    means = []
    for begin in range(0, resamples, chunk := max(1, _CHUNK // blocks)):
        starts = random.integers(0, n - length + 1, (min(chunk, resamples - begin), blocks))
        ends = starts + length
        ends[:, -1] = starts[:, -1] + last
        means.append((totals[ends] - totals[starts]).sum(1) / (counts[ends] - counts[starts]).sum(1))
    drawn = np.concatenate(means)
    deviations: Floats = drawn - drawn.mean()
    return deviations


def _autocorrelation(folds: Sequence[Series]) -> float:
    """Of the differences of neighbouring origins, 0 .. 0.99, freed of its bias towards 0 in short folds."""
    each = [fold.total / fold.count - fold.mean for fold in folds]
    variation = sum(float(values @ values) for values in each)
    if variation == 0:
        return 0.0
    found = sum(float(values[1:] @ values[:-1]) for values in each) / variation
    n = sum(map(len, each)) / len(each)
    return min(max((n * found + 1) / max(n - 3, 1), 0.0), 0.99)


def _growth(n: int, length: int, correlation: float) -> float:
    """The standard error of the mean of n origins by that of resampled blocks, of a first-order autoregression.

    Blocks of a fold vary about the fold's own mean, by the variance of a block's mean less that of the fold's.
    """

    def variance(size: int) -> float:
        """Of the mean of `size` values of variance 1."""
        beyond = 2 * correlation * (1 - correlation**size) / (size * (1 - correlation) ** 2)
        return ((1 + correlation) / (1 - correlation) - beyond) / size

    if n == length:
        return 1.0  # a fold of one origin
    return math.sqrt(variance(n) / (length / n * (variance(length) - variance(n))))


def _politis_white(values: Floats) -> int:
    """Block length for the circular and the moving-block bootstrap of a mean, from the data's autocovariance.

    Args:
        values: (origins,), centred.
    """
    n = len(values)
    near = 5  # max(5, sqrt(log10 n)) for every n below 10^25
    longest = math.ceil(math.sqrt(n)) + near
    if n < 2 * near or not np.any(values):
        return 1
    spectrum = np.fft.rfft(values, 2 * n)
    covariance = np.fft.irfft(spectrum * spectrum.conj())[: min(longest, n - 1) + 1] / n
    small = np.abs(covariance[1:] / covariance[0]) < 2 * math.sqrt(math.log10(n) / n)
    runs = np.flatnonzero(np.convolve(small, np.ones(near), "valid") == near)  # the first `near` small ones in a row
    correlated = int(runs[0]) if len(runs) else int(np.flatnonzero(~small)[-1]) + 1
    window = min(2 * max(correlated, 1), len(covariance) - 1)
    lags = np.arange(1, window + 1)
    weights = np.minimum(1, 2 * (1 - lags / window))  # flat, then falling to 0
    slope = 2 * float((weights * lags * covariance[1 : window + 1]).sum())
    long_run = float(covariance[0] + 2 * (weights * covariance[1 : window + 1]).sum())
    if long_run <= 0:
        return 1
    length = math.cbrt(2 * slope**2 / (4 / 3 * long_run**2) * n)
    return math.ceil(max(1.0, min(length, 3 * math.sqrt(n), n / 3)))
