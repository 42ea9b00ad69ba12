"""Climatology: the mean of the time of year."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from forecastlab.baselines.base import Array, BatchBaseline, Mask, target_observed, target_values
from forecastlab.batch import Batch
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.reading.counted import COUNTED
from forecastlab.errors import ConfigError, DataError

_DAYS = 366
_CELLS = 1 << 20
"""Means that are computed in one call: those of all days and times of day of some series."""


class Climatology(BatchBaseline):
    """The forecast of a step is the mean of the training rows at the same time of the year.

    The data may have any frequency. The mean is over the training rows whose day of the year is at most `window` days
    away, also across the turn of the year. If steps are shorter than a day, the time of day must be the same too. A day
    without such rows uses the mean of the nearest day that has some, which happens if the training rows cover less than
    a year. Missing values do not count. The value at the origin is not used.

    Args:
        window: days on each side.

    Raises:
        ConfigError: if `window` is negative.
        DataError: on `forecast` if a target was never observed in training at a time of day.
    """

    name = "climatology"

    def __init__(self, window: int = 15) -> None:
        if window < 0:
            raise ConfigError(f"window must be a number of days, 0 or more, got {window}")
        self.window = window

    def _fit(self, data: ForecastDataModule) -> None:
        training = np.arange(data.ranges.train_start, data.ranges.train_stop)
        self.seasons = _Seasons.of(data)
        values, observed = target_values(data)[training], target_observed(data)[training]
        cells = self.seasons.cells(training)
        self.means: Array = self._means(cells, values, observed, self.seasons.number)
        """Means of each day of the year at each time of day, (times of day * 366, targets)."""

    def _forecast(self, data: ForecastDataModule, origins: range) -> Array:
        rows = np.array(origins)[:, None] + np.arange(1, data.horizon + 1)
        forecast: Array = self.means[_Seasons.of(data).cells(rows)]
        self._require_known(data, forecast, rows)
        return forecast

    def forecast_batch(self, data: ForecastDataModule, batch: Batch) -> Tensor:
        rows, seasons = data.rows, _Seasons.of(data)
        wanted = batch.index.numpy()[:, :, None] + np.arange(1, data.horizon + 1)
        forecast = np.empty((*wanted.shape, len(data.targets)))
        numbers, which = np.unique(batch.series.numpy(), return_inverse=True)
        for part in np.array_split(np.arange(len(numbers)), -(-len(numbers) * seasons.number // _CELLS)):
            training = []
            for place, number in enumerate(numbers[part]):
                first, stop = int(rows.first[number]), int(rows.stop[number])
                ranges = data.of_series(int(number)).after(first, stop)
                own = first + np.arange(ranges.train_start, ranges.train_stop)
                training.append((own + int(rows.base[number]), seasons.cells(own) + place * seasons.number))
            places, cells = (np.concatenate(arrays) for arrays in zip(*training, strict=True))
            values, observed = rows.target[places].numpy(), rows.observed[places].numpy()
            means = self._means(cells, values, observed, len(part) * seasons.number)
            here = (which >= part[0]) & (which <= part[-1])
            own_means = (which[here] - part[0])[:, None, None] * seasons.number
            forecast[here] = means[seasons.cells(wanted[here]) + own_means]
        self._require_known(data, forecast, wanted)
        return torch.from_numpy(forecast)

    def _means(self, cells: NDArray[np.int64], values: Array, observed: Mask, count: int) -> Array:
        """The cell of each row, (rows,), values and whether observed, (rows, targets) -> means, (count, targets)."""
        means = np.empty((count, values.shape[1]))
        for target in range(values.shape[1]):
            seen = observed[:, target]
            counts = np.bincount(cells[seen], minlength=count).reshape(-1, _DAYS).astype(float)
            sums = np.bincount(cells[seen], values[seen, target], count).reshape(-1, _DAYS)
            days = np.arange(_DAYS)
            apart = np.abs(days[:, None] - days)
            near = (np.minimum(apart, _DAYS - apart) <= self.window).astype(float)
            around, total = counts @ near, sums @ near
            alone = (around == 0).any(1)
            around[alone], total[alone] = _or_nearest(counts[alone], sums[alone], around[alone], total[alone])
            with np.errstate(invalid="ignore"):
                means[:, target] = (total / around).ravel()
        return means

    def _require_known(self, data: ForecastDataModule, forecast: Array, rows: NDArray[np.int64]) -> None:
        """Raises DataError if a forecast, (..., targets), of the rows, (...), is of a time that was never observed."""
        unknown = np.isnan(forecast).any(-1)
        if unknown.any():
            time = data.times[rows[unknown][0]]
            raise DataError(
                f"climatology has no observed value at {time:%H:%M:%S} from the training rows of fold "
                f"{data.fold}, which the forecast for {time} needs: choose a later fold"
            )


class _Seasons(NamedTuple):
    """The time of the year of each row of an axis."""

    day: NDArray[np.int64]
    """(rows + horizon,): the day of the year, from 0."""
    clock: NDArray[np.int64]
    """(rows + horizon,): the number of the time of day among those of the axis."""
    number: int
    """Number of cells, one for each day and time of day."""

    @classmethod
    def of(cls, data: ForecastDataModule) -> "_Seasons":
        """Raises DataError if rows are counted."""
        if data.recipe.time_format == COUNTED:
            raise DataError("rows that are counted have no day of the year, by which climatology takes means")
        different, clock = np.unique(_time_of_day(data.times), return_inverse=True)
        return cls(data.times.day_of_year.to_numpy().astype(np.int64) - 1, clock, _DAYS * len(different))

    def cells(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The cell of each row."""
        cells: NDArray[np.int64] = _DAYS * self.clock[rows] + self.day[rows]
        return cells


def _or_nearest(counts: Array, sums: Array, around: Array, total: Array) -> tuple[Array, Array]:
    """Counts and sums around each day, and those of the nearest day that has any where there are none around.

    Args:
        counts: (rows, 366), of each day.
        sums: likewise.
        around: likewise, of the days around each day.
        total: likewise.
    """
    days, row = np.arange(_DAYS), np.arange(len(counts))[:, None]
    twice = np.tile(counts > 0, 2)
    before = np.maximum.accumulate(np.where(twice, np.arange(2 * _DAYS), -2 * _DAYS), axis=1)[:, _DAYS:]
    after = np.minimum.accumulate(np.where(twice, np.arange(2 * _DAYS), 4 * _DAYS)[:, ::-1], axis=1)[:, ::-1][:, :_DAYS]
    back, ahead = days + _DAYS - before, after - days
    # at the same distance both count, once if they are one day
    use_before = back <= ahead
    use_after = (ahead <= back) & ~(use_before & (before % _DAYS == after % _DAYS))
    found = []
    for own, near in ((counts, around), (sums, total)):
        nearest = use_before * own[row, before % _DAYS] + use_after * own[row, after % _DAYS]
        found.append(np.where(around > 0, near, nearest))
    return found[0], found[1]


def _time_of_day(times: pd.DatetimeIndex) -> NDArray[np.int64]:
    """Seconds since midnight, (times,)."""
    clock: NDArray[np.int64] = 3600 * times.hour.to_numpy() + 60 * times.minute.to_numpy() + times.second.to_numpy()
    return clock
