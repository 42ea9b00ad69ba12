"""`Baseline`: a forecast that a network must beat, under the same evaluation."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Baseline(ABC):
    """Fitted once on the training rows of a fold; then forecasts from any origin with the true past before it.

    The contract is that of the networks. What is fitted depends on the training rows alone, those from
    `data.ranges.train_start` on and before `train_stop`, of which the last fifth may choose hyper-parameters. A
    forecast depends on the rows up to its origin alone, and on the calendar. Nothing is fitted again on test rows.
    Unlike a network, a baseline sees the whole past also with `context: cold`, and it needs no lookback.
    """

    _fitted: tuple[list[str], list[str], int] | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """What tables call it, with the settings that tell it from others of its class."""

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
            The number of each series that has a test sample, and the baseline that forecasts its share of the fold
            (`data.views()`). It holds until the next one is asked for.

        Raises:
            ConfigError: if the training rows of a series are too few.
            DataError: if the training rows of a series hold no value to fit on.
        """
        for number, view in enumerate(data.views()):
            if view.samples("test"):
                self.fit(view)
                yield number, self

    def fitted_on(self, data: ForecastDataModule) -> None:
        """Notes the columns and the horizon of a fit, with which those of a forecast must agree."""
        self._fitted = _shape(data)

    def forecast(self, data: ForecastDataModule, origins: range) -> Array:
        """Forecasts the steps +1..+horizon after each origin.

        Args:
            data: the series; columns and horizon must be those of the fit, the fold may be another.
            origins: rows of the table, increasing; the last row of the table is the last that is possible.

        Returns:
            (origins, horizon, targets), in the targets' units.

        Raises:
            ConfigError: if an origin has too little past or is no row, or the columns are not those of the fit.
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
