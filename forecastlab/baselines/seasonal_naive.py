"""Seasonal naive: as in the last season."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forecastlab.baselines.base import Array, BatchBaseline, target_values
from forecastlab.batch import Batch
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError


class SeasonalNaive(BatchBaseline):
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
        self._require_season(data, data.ranges.train_stop)

    def _require_season(self, data: ForecastDataModule, rows: int) -> None:
        """Raises ConfigError if a series trains on fewer rows than a season has."""
        if self.season_length > rows:
            raise ConfigError(
                f"{self.name} needs a season of {self.season_length} rows, but fold {data.fold} trains on {rows} rows "
                "only: choose a later fold or a shorter season"
            )

    def _forecast(self, data: ForecastDataModule, origins: range) -> Array:
        rows = np.array(origins)[:, None] + self._back(data)
        return target_values(data)[rows]

    def forecast_batch(self, data: ForecastDataModule, batch: Batch) -> Tensor:
        self.season_length = data.season_length if self._given is None else self._given
        rows = data.rows
        for number in batch.series.unique_consecutive().tolist():
            first, stop = int(rows.first[number]), int(rows.stop[number])
            self._require_season(data, data.of_series(number).after(first, stop).train_stop)
        places = (rows.base[batch.series, None] + batch.index)[:, :, None] + torch.from_numpy(self._back(data))
        return rows.target[places]

    def _back(self, data: ForecastDataModule) -> NDArray[np.int64]:
        """(horizon,): how many rows behind the origin the value of each step is; 0 or less."""
        position = np.arange(data.horizon) % self.season_length  # of each step in the season after the origin
        return position + 1 - self.season_length
