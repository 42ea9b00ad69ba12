"""Statistical models of one series at a time, fitted in parallel, with a forecast in the place of fits that fail."""

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray

from forecastlab.baselines.arima import observed_series
from forecastlab.baselines.base import Array, Baseline
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError, FittingNote

Rows = NDArray[np.int64]
"""Numbers of rows, (origins,)."""

FITS_PER_PROCESS = 8
"""A further process is begun for so many fits; it takes seconds to start."""


class PerSeries(Baseline):
    """A model of the past of one target of one series, with the data's own season.

    The parameters come from the training rows alone. They stay as they are on the test rows, over which only the state
    of the model runs on. Where a model cannot be fitted, since the series is too short or constant or the search fails,
    the forecast is the value one season before, or the last value if the training rows hold no season. A note says how
    many these are, and why the first one was not fitted.

    The series of a panel are fitted in parallel processes, one for each eight fits, and at most `jobs`.

    Args:
        season_length: rows in a season; None for the `season_length` of the data.
        jobs: the most processes; None for one per processor.

    Raises:
        ConfigError: if `season_length` or `jobs` is not positive.
    """

    title: str
    """Its name in tables, without its settings."""

    def __init__(self, season_length: int | None = None, jobs: int | None = None) -> None:
        if season_length is not None and season_length < 1:
            raise ConfigError(f"season_length must be a positive number of rows, got {season_length}")
        if jobs is not None and jobs < 1:
            raise ConfigError(f"jobs must be a positive number of processes, got {jobs}")
        self._given = season_length
        self.jobs = jobs
        self._start = 0
        self.models: list[Any] = []
        """Of each target, what was fitted; None where that failed."""

    @property
    def name(self) -> str:
        return self.title if self._given is None else f"{self.title} (season {self._given})"

    @property
    def first_origin(self) -> int:
        return self._start

    @abstractmethod
    def fit_one(self, series: Array, season: int) -> Any:
        """The model of a series.

        Args:
            series: (rows,), the training rows; NaN where a value was not observed.
            season: rows in a season, 1 for none.

        Raises:
            CannotFitError: with the reason, if there is none.
        """

    @abstractmethod
    def run_on(self, model: Any, series: Array, origins: Rows, horizon: int) -> Array:
        """Forecasts (origins, horizon) of a fitted model.

        Args:
            model: as `fit_one` gave it.
            series: (rows,), from the first training row on up to the last origin.
            origins: (origins,), integer: rows of the series.
            horizon: number of steps.
        """

    def fit_panel(self, data: ForecastDataModule) -> Iterator[tuple[int, Baseline]]:
        views = [(number, view) for number, view in enumerate(data.views()) if view.samples("test")]
        fitted = self._fit_all([view for _, view in views], [data.panel.names[number] for number, _ in views])
        for (number, view), each in zip(views, fitted, strict=True):
            each.fitted_on(view)
            yield number, each

    def _fit(self, data: ForecastDataModule) -> None:
        (fitted,) = self._fit_all([data], data.panel.names)
        self.__dict__.update(vars(fitted))

    def _fit_all(self, views: Sequence[ForecastDataModule], names: Sequence[str]) -> list["PerSeries"]:
        """Of each series, a copy of this baseline that is fitted to it."""
        trained = [(view.ranges.train_start, view.ranges.train_stop) for view in views]
        of_views = [observed_series(view, *rows) for view, rows in zip(views, trained, strict=True)]
        series = [(each, self._season(view)) for view, of_view in zip(views, of_views, strict=True) for each in of_view]
        jobs = min(self.jobs or joblib.cpu_count(), max(1, len(series) // FITS_PER_PROCESS))
        found = joblib.Parallel(n_jobs=jobs)(joblib.delayed(_attempt)(self, *each) for each in series)
        targets = views[0].targets if views else []
        labels = [f"{target} of {name}" for name in names for target in targets]
        if failed := [(label, each.reason) for label, each in zip(labels, found, strict=True) if each.reason]:
            label, reason = failed[0]
            warnings.warn(
                f"{self.name}: {len(failed)} of {len(found)} fits failed; the seasonal naive forecast stands in their "
                f"place. The first is that of {label}: {reason}",
                FittingNote,
                stacklevel=2,
            )
        copies = []
        for number, (start, _) in enumerate(trained):
            fitted = copy(self)
            fitted._start = start
            of_series = found[number * len(targets) : (number + 1) * len(targets)]
            fitted.models = [each.model for each in of_series]
            copies.append(fitted)
        return copies

    def _season(self, data: ForecastDataModule) -> int:
        return data.season_length if self._given is None else self._given

    def _forecast(self, data: ForecastDataModule, origins: range) -> Array:
        forecasts, rows = [], np.array(origins) - self._start
        season, trained = self._season(data), data.ranges.train_stop - self._start
        for series, model in zip(observed_series(data, self._start, max(origins) + 1), self.models, strict=True):
            if model is None:
                forecasts.append(_naive(filled(series), rows, season if season <= trained else 1, data.horizon))
            else:
                forecasts.append(self.run_on(model, series, rows, data.horizon))
        return np.stack(forecasts, axis=-1)


class CannotFitError(Exception):
    """There is no model of a series; the message says why."""


class _Fit(NamedTuple):
    """A fitted model, or None and the reason."""

    model: Any
    reason: str


def _attempt(baseline: PerSeries, series: Array, season: int) -> _Fit:
    observed = np.isfinite(series)
    if not observed.any() or np.ptp(series[observed]) == 0:
        return _Fit(None, "its training rows are constant or empty")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # a search that ends early still gives a model
            return _Fit(baseline.fit_one(series, season), "")
    except (CannotFitError, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        return _Fit(None, str(error).partition("\n")[0] or type(error).__name__)


def filled(series: Array) -> Array:
    """A series (rows,) whose missing values hold the one before; before the first, they hold that."""
    known = np.isfinite(series)
    if not known.any():
        return np.zeros_like(series)
    last = np.maximum.accumulate(np.where(known, np.arange(len(series)), int(np.argmax(known))))
    held: Array = series[last]
    return held


def _naive(series: Array, origins: Rows, season: int, horizon: int) -> Array:
    """The values one season before each step (origins, horizon); the last value where there is no such row."""
    rows = origins[:, None] + 1 - season + np.arange(horizon) % season
    forecast: Array = series[np.where(rows < 0, origins[:, None], rows)]
    return forecast
