"""Linear maps from a history to the horizon that all series and targets share, fitted in closed form."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from copy import copy
from typing import NamedTuple

import numpy as np

from forecastlab.baselines.base import Array, Baseline, Mask, target_values
from forecastlab.baselines.direct import TAIL, training_samples
from forecastlab.baselines.lags import Units
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError, DataError

ALPHAS = tuple(float(alpha) for alpha in np.logspace(-3, 6, 19))
"""0.001 .. 1000000 in halves of a decade."""


class SharedLinear(Baseline):
    """A linear map from the last values of a target to all steps, the same for every target and series.

    The map reads one target of one series at a time, in units of the standard deviation of its training rows, and no
    other column. Its weights W and intercepts b minimise |Y - b - X W|² + alpha |W|² in double precision, over all
    training origins of all series and targets. All steps have the same alpha. It is chosen by the squared error of a
    fit on the targets before the last fifth of the training rows of each series. A fit on all training rows follows.

    A history that is shorter than the lookback is continued backwards with its first value. The fit uses the origins
    that have a whole lookback before them; a series that has none gives all of its origins. An origin of which a step
    is not observed, or does not count, is left out of the fit.

    Args:
        lookback: number of values up to the origin that are read. None for the network's lookback; with
            `lookback: full` it is twice the horizon or two seasons, whichever is more.
        alphas: penalties to choose from.

    Raises:
        ConfigError: if `lookback` or a penalty is not positive; on `fit` if the training rows are too few.
        DataError: on `fit` if no training origin has all of its steps observed.
    """

    title: str
    """Its name in tables, without its settings."""

    def __init__(self, lookback: int | None = None, alphas: Sequence[float] = ALPHAS) -> None:
        if lookback is not None and lookback < 1:
            raise ConfigError(f"lookback must be a positive number of rows, got {lookback}")
        if not alphas or min(alphas) <= 0:
            raise ConfigError(f"alphas must be positive numbers, at least one, got {list(alphas)}")
        self._given = lookback
        self.lookback = lookback or 1
        """Number of values that are read; if none was given, that of the last fit."""
        self.alphas = np.array(alphas)

    @property
    def name(self) -> str:
        return self.title if self._given is None else f"{self.title} (lookback {self._given})"

    @abstractmethod
    def columns(self, history: Array) -> tuple[Array, Array]:
        """What the linear map reads.

        Args:
            history: (samples, lookback): the last values, in the unit of the series, the origin's own last.

        Returns:
            The columns (samples, columns), and what is subtracted from the target before the fit and added to the
            forecast (samples,).
        """

    def fit_panel(self, data: ForecastDataModule) -> Iterator[tuple[int, Baseline]]:
        views = data.views()
        trained = [view for view in views if view.ranges.train_stop > view.ranges.train_start]
        units = self._fit_all(trained)
        for number, view in enumerate(views):
            if not view.samples("test"):
                continue
            if view not in trained:
                raise ConfigError(
                    f"series {data.panel.names[number]} has test rows but no training rows in fold {data.fold}, so "
                    f"that {self.name} does not know its unit: choose a later fold, or leave the series out"
                )
            fitted = copy(self)
            fitted._units = units[trained.index(view)]
            fitted.fitted_on(view)
            yield number, fitted

    def _fit(self, data: ForecastDataModule) -> None:
        (self._units,) = self._fit_all([data])

    def _fit_all(self, views: Sequence[ForecastDataModule]) -> list[Units]:
        """Fits the shared map, and gives the units of each series."""
        if not views:
            raise ConfigError(f"no series has training rows for {self.name}: choose a later fold")
        first = views[0]
        self.lookback = self._given or (
            max(2 * first.horizon, 2 * first.season_length) if first.lookback == "full" else int(first.lookback)
        )
        units = [Units.of(view) for view in views]
        parts = [part for view, unit in zip(views, units, strict=True) for part in self._samples(view, unit)]
        if not parts:
            raise ConfigError(
                f"no series has enough training rows in fold {first.fold} for horizon={first.horizon} of {self.name}: "
                "choose a later fold or a shorter horizon"
            )
        columns, target = (np.concatenate([getattr(part, name) for part in parts]) for name in ("columns", "target"))
        before, tail = (np.concatenate([getattr(part, name) for part in parts]) for name in ("before", "tail"))
        if not before.any() or not tail.any():
            raise DataError(
                f"fold {first.fold} has no training origin of {self.name} whose {first.horizon} steps are all observed "
                "before, or in, the last fifth of its training rows: choose a later fold or a shorter horizon"
            )
        tried = _solve(columns[before], target[before], self.alphas)
        errors = [
            float(np.mean((columns[tail] @ each.weights + each.intercepts - target[tail]) ** 2)) for each in tried
        ]
        self.alpha = float(self.alphas[np.argmin(errors)])
        (self.map,) = _solve(columns, target, np.array([self.alpha]))
        return units

    def _samples(self, view: ForecastDataModule, units: Units) -> Iterator["_Samples"]:
        """The training samples of each target of a series, if there are any."""
        start, stop = view.ranges.train_start, view.ranges.train_stop
        whole = self.lookback - 1 if stop - start >= self.lookback + view.horizon else 0
        try:
            samples = training_samples(view, whole)
        except ConfigError:  # this series is too short for the horizon
            return
        chosen_on = min(stop - max(1, round(TAIL * (stop - start))), stop - view.horizon)  # one origin at least
        origins = np.array(samples.origins)
        before, tail = origins + view.horizon < chosen_on, origins + 1 >= chosen_on
        for number in range(len(view.targets)):
            kept = samples.scored[:, :, number].all(1)
            columns, base = self.columns(self._history(view, units, samples.origins, number, start))
            target = (samples.target[:, :, number] - units.center[number]) / units.scale[number] - base[:, None]
            yield _Samples(columns[kept], target[kept], before[kept], tail[kept])

    def _history(self, data: ForecastDataModule, units: Units, origins: range, target: int, start: int) -> Array:
        """The last values of a target, (origins, lookback), oldest first; before `start`, the value there."""
        values = (target_values(data)[:, target] - units.center[target]) / units.scale[target]
        rows = np.array(origins)[:, None] - np.arange(self.lookback)[::-1]
        history: Array = values[np.maximum(rows, start)]
        return history

    def _forecast(self, data: ForecastDataModule, origins: range) -> Array:
        units, forecasts = self._units, []
        for number in range(len(data.targets)):
            columns, base = self.columns(self._history(data, units, origins, number, 0))
            ahead = columns @ self.map.weights + self.map.intercepts + base[:, None]
            forecasts.append(ahead * units.scale[number] + units.center[number])
        return np.stack(forecasts, axis=-1)


class Map(NamedTuple):
    """A fitted linear map to all steps, in units of the series."""

    weights: Array
    """(columns, horizon)"""
    intercepts: Array
    """(horizon,)"""


class _Samples(NamedTuple):
    """The training samples of one target of one series, in its units."""

    columns: Array
    """(samples, columns)"""
    target: Array
    """(samples, horizon)"""
    before: Mask
    """(samples,): whether all targets lie before the rows that choose the penalty."""
    tail: Mask
    """(samples,): whether all targets are among the rows that choose the penalty."""


def _solve(columns: Array, target: Array, alphas: Array) -> list[Map]:
    """A ridge regression of all steps for each penalty, from one decomposition."""
    center, mean = columns.mean(0), target.mean(0)
    centred = columns - center
    variances, axes = np.linalg.eigh(centred.T @ centred)
    projected = axes.T @ (centred.T @ (target - mean))
    weights = [axes @ (projected / (variances[:, None].clip(0) + alpha)) for alpha in alphas]
    return [Map(each, mean - center @ each) for each in weights]
