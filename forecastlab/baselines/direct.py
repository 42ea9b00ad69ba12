"""Direct regression: one regressor per step and target, on the rows up to the origin and the calendar of the step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, get_args

import numpy as np
import torch

from forecastlab.baselines.base import Array, Mask, target_values
from forecastlab.data.calendar import Cycle, calendar_covariates
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.folds import origins as origins_of
from forecastlab.data.windows import Windows
from forecastlab.errors import ConfigError, DataError

TAIL = 0.2
"""Share of the training rows, at their end, that chooses hyper-parameters, whatever the tail of the networks."""


class Regressor(Protocol):
    """What scikit-learn calls a regressor: any object with `fit` and `predict`."""

    def fit(self, X: Any, y: Any) -> Any:
        """Fits (samples, columns) to (samples,)."""

    def predict(self, X: Any) -> Any:
        """(samples, columns) -> (samples,)."""


class Predictor(Protocol):
    """A fitted regressor."""

    def predict(self, X: Any) -> Any:
        """(samples, columns) -> (samples,)."""


@dataclass(frozen=True)
class Lags:
    """Which inputs a direct regression has: the last rows, and the calendar of the forecast step.

    Of each of the last `rows` rows, the origin's first, it takes every feature, and every target that is not among the
    features; of the forecast step, everything known in advance: the data module's covariates and the cycles of
    `calendar` that are not among them.

    Args:
        rows: number of rows.
        calendar: calendar cycles.

    Raises:
        ConfigError: if `rows` is not positive, or a cycle unknown.
    """

    rows: int = 1
    calendar: Sequence[Cycle] = ("day_of_year",)

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ConfigError(f"lags must be a positive number of rows, got {self.rows}")
        for cycle in self.calendar:
            if cycle not in get_args(Cycle):
                raise ConfigError(f"calendar must be of {', '.join(get_args(Cycle))}, got {cycle!r}")

    def inputs(self, data: ForecastDataModule, origins: range) -> "Inputs":
        """The inputs of the forecasts from some origins, each of which has `rows` rows up to itself."""
        other = [number for number, name in enumerate(data.targets) if name not in data.features]
        values = target_values(data)
        table = [data.rows.features[: len(values), : len(data.features)].numpy(), values[:, other]]
        cycles = [cycle for cycle in self.calendar if cycle not in data.calendar]
        known = [data.rows.known.numpy(), calendar_covariates(data.times, cycles).to_numpy()]
        index = np.array(origins)[:, None]
        past = np.concatenate(table, axis=1)[index - np.arange(self.rows)]
        ahead = np.concatenate(known, axis=1)[index + np.arange(1, data.horizon + 1)]
        return Inputs(past.reshape(len(index), -1), ahead)


class Inputs(NamedTuple):
    """Inputs of direct regressions, in original units."""

    past: Array
    """(origins, columns): the same for every step."""
    ahead: Array
    """(origins, horizon, known)"""

    def of_step(self, step: int) -> Array:
        """(origins, columns + known), for the step of a number from 0."""
        return np.concatenate([self.past, self.ahead[:, step]], axis=1)


class Samples(NamedTuple):
    """The training samples of a fold."""

    origins: range
    target: Array
    """(origins, horizon, targets), in original units."""
    scored: Mask
    """(origins, horizon, targets): whether the target was observed and counts."""
    tail: Mask
    """(origins, horizon): whether the target is among the last rows, which choose hyper-parameters."""


def training_samples(data: ForecastDataModule, first_origin: int) -> Samples:
    """The origins whose targets are all training rows of the fold; the tail is the last fifth of these rows.

    The tail is the training rows' own also with `validation: test`.

    Args:
        data: the fold.
        first_origin: number of rows that an origin needs before it.

    Raises:
        ConfigError: if there is no such origin.
    """
    start, stop = data.ranges.train_start, data.ranges.train_stop
    first_origin += start
    found = origins_of(range(first_origin + 1, stop), data.horizon, first_origin)
    if not found:
        raise ConfigError(
            f"fold {data.fold} trains on {stop - start} rows, which leave no forecast origin from row {first_origin} "
            f"on with horizon={data.horizon}: choose a later fold, fewer lags or a shorter horizon"
        )
    index = torch.arange(found.start, found.stop)
    batch = Windows(data.rows, torch.zeros_like(index), index, index, index, data.score_gaps)[list(range(len(found)))]
    tail = stop - max(1, round(TAIL * (stop - start)))
    steps = np.arange(1, data.horizon + 1)
    return Samples(
        found,
        target=batch.target[:, 0].numpy(),
        scored=(batch.weight[:, 0] > 0).numpy(),
        tail=np.array(found)[:, None] + steps >= tail,
    )


Regress = Callable[[Array, Array, Mask], Predictor]
"""Inputs (samples, columns), target (samples,) and tail (samples,) -> the regressor fitted on all of them."""


def fit_direct(data: ForecastDataModule, inputs: Inputs, samples: Samples, regress: Regress) -> list[list[Predictor]]:
    """Fits a regressor per step and target on the samples that are scored.

    Args:
        data: the fold; its names are for messages.
        inputs: those of `samples.origins`.
        samples: the training samples.
        regress: fits one regressor.

    Raises:
        DataError: if the tail, or the rows before it, have no target.
    """
    fitted: list[list[Predictor]] = []
    for step in range(data.horizon):
        of_step, tail = inputs.of_step(step), samples.tail[:, step]
        fitted.append([])
        for number, name in enumerate(data.targets):
            scored = samples.scored[:, step, number]
            for part, rows in (("before", ~tail), ("in", tail)):
                if not (scored & rows).any():
                    raise DataError(
                        f"fold {data.fold} has no observed target {name} to fit step {step + 1} on {part} the last "
                        f"{TAIL:.0%} of its training rows: choose a later fold or a shorter horizon"
                    )
            fitted[-1].append(regress(of_step[scored], samples.target[scored, step, number], tail[scored]))
    return fitted


def forecast_direct(inputs: Inputs, fitted: Sequence[Sequence[Predictor]]) -> Array:
    """Forecasts (origins, horizon, targets) with the regressors of `fit_direct`."""
    steps = []
    for step, regressors in enumerate(fitted):
        of_step = inputs.of_step(step)
        steps.append(np.stack([regressor.predict(of_step) for regressor in regressors], axis=-1))
    forecast: Array = np.stack(steps, axis=1)
    return forecast
