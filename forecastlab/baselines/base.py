"""`Baseline`: a forecast that a network must beat, under the same evaluation."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from forecastlab.batch import Batch
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Baseline(ABC):
    """A forecasting method: fitted once on the training rows of a fold, it forecasts from any origin and its true past.

    The rules are those of the networks. A fit uses the training rows only, from `data.ranges.train_start` up to
    `train_stop`. The last fifth of them may choose hyper-parameters. A forecast uses the rows up to its origin and the
    calendar only. Nothing is fitted again on test rows. Unlike a network, a baseline reads the whole past with
    `context: cold` too, and it needs no lookback.
    """

    _fitted: tuple[list[str], list[str], int] | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name in tables, with the settings that distinguish it from others of its class."""

    @property
    def first_origin(self) -> int:
        """First row with enough past to forecast from."""
        return 0

    def fit(self, data: ForecastDataModule) -> None:
        """Fits on the training rows of the data's fold, its validation tail included.

        Raises:
            ConfigError: if the training rows are too few.
            DataError: if the training rows hold no value to fit on.
        """
        self._fit(data)
        self.fitted_on(data)

    def fit_panel(self, data: ForecastDataModule) -> Iterator[tuple[int, "Baseline"]]:
        """Fits the series of a panel that a fold tests, each by itself.

        Args:
            data: the panel.

        Yields:
            The number of each series that has a test sample, and the baseline that forecasts it (see `data.views()`).
            The baseline is valid until the next one is asked for.

        Raises:
            ConfigError: if the training rows of a series are too few.
            DataError: if the training rows of a series hold no value to fit on.
        """
        for number, view in enumerate(data.views()):
            if view.samples("test"):
                self.fit(view)
                yield number, self

    def fitted_on(self, data: ForecastDataModule) -> None:
        """Stores the columns and the horizon of a fit; a forecast must have the same."""
        self._fitted = _shape(data)

    def forecast(self, data: ForecastDataModule, origins: range) -> Array:
        """Forecasts the steps +1..+horizon after each origin.

        Args:
            data: the series. Columns and horizon must be those of the fit; the fold may differ.
            origins: rows of the table, increasing, up to the last row of the table.

        Returns:
            (origins, horizon, targets), in the targets' units.

        Raises:
            ConfigError: if an origin has too little past or is not a row, or if the columns are not those of the fit.
        """
        if self._fitted is None:
            raise RuntimeError(f"{self.name} is not fitted: call fit first")
        if _shape(data) != self._fitted:
            raise ConfigError(
                f"{self.name} was fitted for other features, targets or another horizon than these data have: fit it "
                "again"
            )
        rows = len(data.table.times)
        if not origins or min(origins) < self.first_origin or max(origins) >= rows:
            raise ConfigError(f"{self.name} forecasts from the rows {self.first_origin} .. {rows - 1}, got {origins}")
        return self._forecast(data, origins)

    @abstractmethod
    def _fit(self, data: ForecastDataModule) -> None:
        """`fit`, for subclasses to define."""

    @abstractmethod
    def _forecast(self, data: ForecastDataModule, origins: range) -> Array:
        """`forecast`, for subclasses to define; the arguments are valid."""


class BatchBaseline(Baseline):
    """A baseline that forecasts any series of a panel at once, without a fit of each by itself.

    It is for baselines with little to fit, since a panel may have very many series.
    """

    @abstractmethod
    def forecast_batch(self, data: ForecastDataModule, batch: Batch) -> Tensor:
        """Forecasts from the origins of a batch of any series of a panel.

        Args:
            data: the panel.
            batch: test samples.

        Returns:
            (batch, origins, horizon, targets), in the targets' units, as `forecast` of each series gives them.

        Raises:
            ConfigError: as `fit` and `forecast`.
            DataError: likewise.
        """


def target_values(data: ForecastDataModule) -> Array:
    """The targets of every row, (rows, targets), in their units; missing ones filled forward."""
    values: Array = data.rows.target[: len(data.table.times)].numpy().copy()
    return values


def target_observed(data: ForecastDataModule) -> Mask:
    """Whether each of `target_values` was observed, (rows, targets)."""
    observed: Mask = data.rows.observed[: len(data.table.times)].numpy()
    return observed


def _shape(data: ForecastDataModule) -> tuple[list[str], list[str], int]:
    return data.features, data.targets, data.horizon
