"""Seasonal naive: as in the last season."""

import numpy as np

from forecastlab.baselines.base import Array, Baseline, target_values
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError


class SeasonalNaive(Baseline):
    """The forecast of a step is the value at the same step of the last season that is known at the origin.

    y(t + h) = y(t + h - k s), with the smallest k for which that row is not after the origin t. Seasons are counted in
    rows. If the data leave steps out, rows are not steps of the calendar. It has no parameters.

    Args:
        season_length: rows in a season, s. 1 is persistence; None uses the `season_length` of the data.

    Raises:
        ConfigError: if `season_length` is not positive; on `fit` if the training rows do not hold a full season.
    """

    def __init__(self, season_length: int | None = None) -> None:
        if season_length is not None and season_length < 1:
            raise ConfigError(f"season_length must be a positive number of rows, got {season_length}")
        self._given = season_length
        self.season_length = 1 if season_length is None else season_length
        """Rows in a season; if none were given, those of the data of the last fit."""

    @property
    def name(self) -> str:
        return f"seasonal naive ({self.season_length})"

    @property
    def first_origin(self) -> int:
        return self.season_length - 1

    def _fit(self, data: ForecastDataModule) -> None:
        self.season_length = data.season_length if self._given is None else self._given
        if self.season_length > data.ranges.train_stop:
            raise ConfigError(
                f"{self.name} needs a season of {self.season_length} rows, but fold {data.fold} trains on "
                f"{data.ranges.train_stop} rows only: choose a later fold or a shorter season"
            )

    def _forecast(self, data: ForecastDataModule, origins: range) -> Array:
        position = np.arange(data.horizon) % self.season_length  # of each step in the season after the origin
        rows = np.array(origins)[:, None] + 1 - self.season_length + position
        return target_values(data)[rows]
