"""The inputs of direct regressions: the last rows, the last season, and the calendar of the forecast step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args, overload

import numpy as np
from pandas.tseries import offsets
from pandas.tseries.frequencies import to_offset

from forecastlab.baselines.base import Array, target_values
from forecastlab.data.calendar import Cycle, calendar_covariates, in_zone, longer_than_a_day
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError

CLASSES: dict[Cycle, int] = {"hour": 24, "day_of_week": 7}
"""The cycles whose values have a column each, and the number of values."""

MONTHS = (
    *(offsets.MonthBegin, offsets.MonthEnd, offsets.BMonthBegin, offsets.BMonthEnd),
    *(offsets.QuarterBegin, offsets.QuarterEnd, offsets.BQuarterBegin, offsets.BQuarterEnd),
)
"""Frequencies for which each month of the year has its own column."""


@dataclass(frozen=True)
class Lags:
    """The inputs of a direct regression: the last rows, the last season, and the calendar of the forecast step.

    The last `rows` rows, the origin first: every feature, and every target that is not a feature. Each season s of
    `seasons`: the targets s rows before the forecast step. If that row is after the origin, the smallest multiple of s
    that is known at the origin counts. A row that is among the last rows is not repeated. The forecast step: everything
    known in advance, which are the data module's covariates and the cycles of `calendar` that are not among them. Each
    hour and each day of the week has a column that is 1 in it and 0 elsewhere, if the steps are that short. So has each
    month of the year, if the steps are months or quarters and `day_of_year` is a cycle.

    Args:
        rows: number of rows.
        calendar: calendar cycles.
        seasons: rows in a season.

    Raises:
        ConfigError: if `rows` or a season is not positive, or a cycle unknown.
    """

    rows: int = 1
    calendar: Sequence[Cycle] = ("day_of_year",)
    seasons: Sequence[int] = ()

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ConfigError(f"lags must be a positive number of rows, got {self.rows}")
        for season in self.seasons:
            if season < 1:
                raise ConfigError(f"seasons must be positive numbers of rows, got {season}")
        for cycle in self.calendar:
            if cycle not in get_args(Cycle):
                raise ConfigError(f"calendar must be of {', '.join(get_args(Cycle))}, got {cycle!r}")

    @property
    def first_origin(self) -> int:
        """The first row that has all of these rows before it."""
        return max(self.rows, *self.seasons, 1) - 1

    def inputs(self, data: ForecastDataModule, origins: range, units: "Units | None" = None) -> "Inputs":
        """The inputs of the forecasts from some origins, none of which lies before `first_origin`.

        Args:
            data: one series.
            origins: rows of the table, increasing.
            units: the units of past rows and seasons; None for original units.
        """
        other = [number for number, name in enumerate(data.targets) if name not in data.features]
        values = target_values(data)
        features = data.rows.features[: len(values), : len(data.features)].numpy()
        if units is not None:
            features = (features - units.feature_center) / units.feature_scale
            values = (values - units.center) / units.scale
        index = np.array(origins)[:, None]
        past = np.concatenate([features, values[:, other]], axis=1)[index - np.arange(self.rows)]
        past = past.reshape(len(index), -1)
        known = np.concatenate([data.rows.known.numpy(), self._calendar(data)], axis=1)
        return Inputs(past, Steps(data.horizon, lambda step: self._of_step(values, known, index[:, 0], step + 1)))

    def _of_step(self, values: Array, known: Array, index: Any, step: int) -> Array:
        """(origins, columns): the known inputs of a step, counted from 1."""
        back = [season * -(-step // season) - step for season in self.seasons]  # rows before the origin
        return np.concatenate([known[index + step], *(values[index - rows] for rows in back if rows >= self.rows)], 1)

    def _calendar(self, data: ForecastDataModule) -> Array:
        """(rows, columns), of the data's own cycles and the further ones."""
        frequency = data.schema["recipe"]["frequency"]
        step = frequency if longer_than_a_day(frequency) else ""
        more = [cycle for cycle in self.calendar if cycle not in data.calendar]
        waves = calendar_covariates(data.times, more, step=step, zone=data.time_zone).to_numpy()
        if step:
            months = isinstance(to_offset(frequency), MONTHS) and "day_of_year" in (*self.calendar, *data.calendar)
            return np.concatenate([waves, np.eye(12)[data.times.month - 1]], axis=1) if months else waves
        times, cycles = in_zone(data.times, data.time_zone), {*self.calendar, *data.calendar}
        ones = [np.eye(number)[getattr(times, cycle)] for cycle, number in CLASSES.items() if cycle in cycles]
        return np.concatenate([waves, *ones], axis=1)


class Units(NamedTuple):
    """Centres and scales of one series in a pool, from its training rows."""

    feature_center: Array
    """(features,)"""
    feature_scale: Array
    """(features,)"""
    center: Array
    """(targets,)"""
    scale: Array
    """(targets,)"""

    @classmethod
    def of(cls, data: ForecastDataModule) -> "Units":
        """The means and standard deviations of what was observed in the training rows of a fold.

        A constant column has scale 1. A column that was never observed has centre 0 and scale 1.
        """
        rows = slice(data.ranges.train_start, data.ranges.train_stop)
        pairs = [_unit(data, names, rows) for names in (data.features, data.targets)]
        return cls(*(unit for pair in pairs for unit in pair))


class Steps(Sequence[Array]):
    """An array for each forecast step, made when it is asked for, so that only one step is in memory at a time.

    Args:
        horizon: number of steps.
        make: the number of a step, from 0 -> its array.
    """

    def __init__(self, horizon: int, make: Callable[[int], Array]) -> None:
        self._range = range(horizon)
        self._make = make

    def __len__(self) -> int:
        return len(self._range)

    @overload
    def __getitem__(self, step: int) -> Array: ...
    @overload
    def __getitem__(self, step: slice) -> list[Array]: ...
    def __getitem__(self, step: int | slice) -> Array | list[Array]:
        numbers = self._range[step]
        return self._make(numbers) if isinstance(numbers, int) else [self._make(each) for each in numbers]


class Inputs(NamedTuple):
    """Inputs of direct regressions."""

    past: Array
    """(origins, columns): the same for every step."""
    ahead: Sequence[Array]
    """Of each step, (origins, columns)."""

    def of_step(self, step: int) -> Array:
        """(origins, columns), for the step of a number from 0."""
        return np.concatenate([self.past, self.ahead[step]], axis=1)


def _unit(data: ForecastDataModule, names: Sequence[str], rows: slice) -> tuple[Array, Array]:
    """Centres and scales of columns, (columns,) each, from their observed values in some rows."""
    seen = data.table.observed[list(names)].to_numpy()[rows]
    values, number = data.table.values[list(names)].to_numpy()[rows], np.maximum(seen.sum(0), 1)
    center = np.where(seen, values, 0.0).sum(0) / number
    scale = np.sqrt(np.where(seen, (values - center) ** 2, 0.0).sum(0) / number)
    return center, np.where(scale > 1e-12 * (1 + np.abs(center)), scale, 1.0)  # smaller values are rounding errors
