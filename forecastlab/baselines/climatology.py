"""Climatology: the mean of the time of year."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.baselines.base import Array, Baseline, Mask, target_observed, target_values
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.reading.counted import COUNTED
from forecastlab.errors import ConfigError, DataError

_DAYS = 366


class Climatology(Baseline):
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
        if data.recipe.time_format == COUNTED:
            raise DataError("rows that are counted have no day of the year, by which climatology takes means")
        training = slice(data.ranges.train_start, data.ranges.train_stop)
        times = data.times[training]
        day, clock = times.day_of_year.to_numpy(), _time_of_day(times)
        values, observed = target_values(data)[training], target_observed(data)[training]
        self.means: dict[int, Array] = {
            int(time): self._means_of_days(day[clock == time], values[clock == time], observed[clock == time])
            for time in np.unique(clock)
        }
        """Means of each day of the year, (366, targets), by the time of day in seconds."""

    def _means_of_days(self, day: NDArray[np.int32], values: Array, observed: Mask) -> Array:
        """(rows,), (rows, targets), (rows, targets) -> (366, targets)."""
        counts, sums = np.zeros((2, _DAYS, values.shape[1]))
        np.add.at(counts, day - 1, observed)
        np.add.at(sums, day - 1, values * observed)
        days = np.arange(_DAYS)
        apart = np.abs(days[:, None] - days)
        apart = np.minimum(apart, _DAYS - apart)
        means = np.full(counts.shape, np.nan)
        for target in range(values.shape[1]):
            having = counts[:, target] > 0
            if having.any():
                radius = np.maximum(apart[:, having].min(1), self.window)
                near = apart <= radius[:, None]
                means[:, target] = (near @ sums[:, target]) / (near @ counts[:, target])
        return means

    def _forecast(self, data: ForecastDataModule, origins: range) -> Array:
        rows = np.array(origins)[:, None] + np.arange(1, data.horizon + 1)
        times = data.times[rows.ravel()]
        day, clock = times.day_of_year.to_numpy(), _time_of_day(times)
        forecast = np.full((rows.size, len(data.targets)), np.nan)
        for time, means in self.means.items():
            forecast[clock == time] = means[day[clock == time] - 1]
        if np.isnan(forecast).any():
            unknown = times[np.isnan(forecast).any(1)][0]
            raise DataError(
                f"climatology has no observed value at {unknown:%H:%M:%S} from the training rows of fold "
                f"{data.fold}, which the forecast for {unknown} needs: choose a later fold"
            )
        return forecast.reshape(*rows.shape, -1)


def _time_of_day(times: pd.DatetimeIndex) -> NDArray[np.int64]:
    """Seconds since midnight, (times,)."""
    clock: NDArray[np.int64] = 3600 * times.hour.to_numpy() + 60 * times.minute.to_numpy() + times.second.to_numpy()
    return clock
