"""Persistence: nothing changes."""

import numpy as np
from torch import Tensor

from forecastlab.baselines.base import Array, BatchBaseline, target_values
from forecastlab.batch import Batch
from forecastlab.data.datamodule import ForecastDataModule


class Persistence(BatchBaseline):
    """The forecast of every step is the value at the origin: y(t + h) = y(t).

    It has no parameters. `test/skill` is measured against it, so its own skill is 0. A missing value at the origin is
    filled forward, as it is for the networks.
    """

    name = "persistence"

    def _fit(self, data: ForecastDataModule) -> None:
        pass

    def _forecast(self, data: ForecastDataModule, origins: range) -> Array:
        return np.repeat(target_values(data)[origins][:, None], data.horizon, axis=1)

    def forecast_batch(self, data: ForecastDataModule, batch: Batch) -> Tensor:
        return batch.last[:, :, None].expand(-1, -1, data.horizon, -1)
