"""`TestWindows`: what of a task is forecast, and the errors of simple forecasts before it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forecastlab.benchmarks.series import Floats, Integers, SeriesSet
from forecastlab.benchmarks.suites import Sliding, Task

_VALUES_AT_ONCE = 1 << 23
"""Forecast values that are scored together."""


@dataclass(frozen=True, eq=False)
class TestWindows:
    """The test windows of a task, one per series and origin.

    Attributes:
        series: the series.
        horizon: steps that are forecast.
        number: (windows,): number of the series.
        origin: (windows,): rows of the series before the window, which alone may be looked at.
    """

    __test__ = False  # pytest takes it for a test otherwise
    series: SeriesSet
    horizon: int
    number: Integers
    origin: Integers

    @classmethod
    def of(cls, task: Task, series: SeriesSet) -> "TestWindows":
        """The windows of a task: those of one origin after another, each of all series.

        Args:
            task: what is forecast.
            series: its series.
        """
        count = len(series.names)
        if isinstance(task.test, Sliding):
            origins = np.arange(task.test.begin, task.test.end - task.horizon + 1)
            origin = np.repeat(origins[:, None], count, 1)
        else:
            back = np.arange(task.test.windows, 0, -1) * task.horizon
            origin = series.lengths[None] - back[:, None]
        number = np.broadcast_to(np.arange(count), origin.shape)
        return cls(series, task.horizon, number.ravel(), origin.ravel())

    def __len__(self) -> int:
        return len(self.number)

    def chosen(self, which: NDArray[np.bool_] | Integers) -> "TestWindows":
        """Some of the windows, by their numbers or a mask."""
        return TestWindows(self.series, self.horizon, self.number[which], self.origin[which])

    def parts(self) -> Iterator["TestWindows"]:
        """The windows in parts that fit into memory with nine quantiles."""
        size = max(1, _VALUES_AT_ONCE // (10 * self.horizon))
        for begin in range(0, len(self), size):
            yield self.chosen(np.arange(begin, min(begin + size, len(self))))

    def truth(self) -> Floats:
        """What was observed, (windows, horizon)."""
        place = self.series.base[self.number] + self.origin
        return np.asarray(self.series.flat[place[:, None] + np.arange(self.horizon)])

    def seasonal_error(self, season: int) -> Floats:
        """(windows,): the mean absolute change over a season before each window; NaN where there is no such change."""
        with np.errstate(invalid="ignore"):
            total, count = self._changes(season, np.abs)
            return np.where(count > 0, total / count, np.nan)

    def seasonal_naive(self, season: int) -> tuple[Floats, Floats]:
        """The values of the last season, and the standard deviation of their errors if changes are independent.

        A series with fewer rows than a season repeats its last value.

        Args:
            season: rows of it.

        Returns:
            Both (windows, horizon). The standard deviation grows with the root of the seasons ahead.
        """
        length = np.where(self.origin < season, 1, season)
        step = np.arange(self.horizon)
        back = length[:, None] - step % length[:, None]
        point = self.series.flat[(self.series.base[self.number] + self.origin)[:, None] - back]
        variance = np.full(len(self), np.nan)
        for own in np.unique(length):
            total, count = self.chosen(length == own)._changes(int(own), np.square)
            variance[length == own] = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
        return point, np.sqrt(variance[:, None] * (step // length[:, None] + 1))

    def _changes(self, season: int, measure: Callable[[Floats], Floats]) -> tuple[Floats, Integers]:
        """The sum of a measure of the changes over a season before each window, (windows,), and their number."""
        total, count = np.zeros(len(self)), np.zeros(len(self), np.int64)
        order = np.argsort(self.number, kind="stable")
        begins = np.searchsorted(self.number[order], np.arange(len(self.series.names) + 1))
        for number in np.unique(self.number):
            values = self.series.values[number]
            change = measure(values[season:] - values[:-season])
            sums = np.append(0.0, np.cumsum(np.nan_to_num(change)))
            counts = np.append(0, np.cumsum(~np.isnan(change)))
            own = order[begins[number] : begins[number + 1]]
            rows = np.maximum(self.origin[own] - season, 0)
            total[own], count[own] = sums[rows], counts[rows]
        return total, count
