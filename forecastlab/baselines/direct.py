"""Direct regression: one regressor per step and target, on the rows up to the origin and the calendar of the step."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, get_args

import numpy as np
import torch

from forecastlab.baselines.base import Array, Baseline, Mask, target_values
from forecastlab.data.calendar import Cycle, calendar_covariates, in_zone, longer_than_a_day
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.folds import origins as origins_of
from forecastlab.data.windows import Windows
from forecastlab.errors import ConfigError, DataError

TAIL = 0.2
"""Share of the training rows, at their end, that chooses hyper-parameters, whatever the tail of the networks."""

CLASSES: dict[Cycle, int] = {"hour": 24, "day_of_week": 7}
"""Cycles of which each value is a column of its own, and how many there are."""


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
    """Which inputs a direct regression has: the last rows, the last season, and the calendar of the forecast step.

    Of each of the last `rows` rows, the origin's first, it takes every feature, and every target that is not among the
    features; of each season of `seasons`, the targets of the row so many rows before the forecast step, or the least
    multiple of it that is known at the origin, unless it is among the last rows; of the forecast step, everything known
    in advance: the data module's covariates, and the cycles of `calendar` that are not among them. Of the hour and the
    day of the week, where steps are that short, each has a column that is 1 in it and 0 else.

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

    def inputs(self, data: ForecastDataModule, origins: range) -> "Inputs":
        """The inputs of the forecasts from some origins, none of which lies before `first_origin`."""
        other = [number for number, name in enumerate(data.targets) if name not in data.features]
        values = target_values(data)
        table = [data.rows.features[: len(values), : len(data.features)].numpy(), values[:, other]]
        index = np.array(origins)[:, None]
        past = np.concatenate(table, axis=1)[index - np.arange(self.rows)].reshape(len(index), -1)
        known = np.concatenate([data.rows.known.numpy(), self._calendar(data)], axis=1)
        return Inputs(past, [self._of_step(values, known, index[:, 0], step) for step in range(1, data.horizon + 1)])

    def _of_step(self, values: Array, known: Array, index: Any, step: int) -> Array:
        """(origins, columns): what is known of a step, counted from 1."""
        back = [season * -(-step // season) - step for season in self.seasons]  # rows before the origin
        return np.concatenate([known[index + step], *(values[index - rows] for rows in back if rows >= self.rows)], 1)

    def _calendar(self, data: ForecastDataModule) -> Array:
        """(rows, columns), of the data's own cycles and the further ones."""
        frequency = data.schema["recipe"]["frequency"]
        step = frequency if longer_than_a_day(frequency) else ""
        more = [cycle for cycle in self.calendar if cycle not in data.calendar]
        waves = calendar_covariates(data.times, more, step=step, zone=data.time_zone).to_numpy()
        if step:
            return waves
        times = in_zone(data.times, data.time_zone)
        ones = [
            np.eye(number)[getattr(times, cycle)]
            for cycle, number in CLASSES.items()
            if cycle in (*self.calendar, *data.calendar)
        ]
        return np.concatenate([waves, *ones], axis=1)


class Inputs(NamedTuple):
    """Inputs of direct regressions, in original units."""

    past: Array
    """(origins, columns): the same for every step."""
    ahead: list[Array]
    """Of each step, (origins, columns)."""

    def of_step(self, step: int) -> Array:
        """(origins, columns), for the step of a number from 0."""
        return np.concatenate([self.past, self.ahead[step]], axis=1)


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


Found = TypeVar("Found")


def fit_direct(
    data: ForecastDataModule, inputs: Inputs, samples: Samples, regress: Callable[[Array, Array, Mask], Found]
) -> list[list[Found]]:
    """Fits a regressor per step and target on the samples that are scored.

    Args:
        data: the fold; its names are for messages.
        inputs: those of `samples.origins`.
        samples: the training samples.
        regress: inputs (samples, columns), target (samples,) and tail (samples,) -> what is found with them, such as
            the regressor that is fitted on all of them.

    Raises:
        DataError: if the tail, or the rows before it, have no target.
    """
    fitted: list[list[Found]] = []
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


class DirectRegression(Baseline):
    """A baseline that is one regressor per step and target, with the network's own inputs (see `Lags`).

    Its hyper-parameters are those with the lowest error on the last fifth of the training rows when fitted on the rows
    before; then all training rows are fitted. So is the number of rows that it reads chosen, for all steps alike, of 1
    and the network's lookback.

    Args:
        lags: rows up to the origin whose features are inputs; None to choose.
        calendar: cycles of the forecast step that are inputs beside the data's own.
        seasons: rows in a season, the last of which is an input; None for the data's `season_length`, if it is above 1
            and the training rows hold two seasons.

    Raises:
        ConfigError: if `lags` or a season is not positive, or a cycle unknown.
    """

    title: str
    """What tables call it, whatever its inputs."""

    def __init__(
        self,
        lags: int | None = None,
        calendar: Sequence[Cycle] = ("day_of_year",),
        seasons: Sequence[int] | None = None,
    ) -> None:
        self._given = Lags(1 if lags is None else lags, tuple(calendar), tuple(seasons or ()))
        self._choose = lags is None, seasons is None
        self.lags = self._given

    @property
    def name(self) -> str:
        lags, seasons = (not chosen for chosen in self._choose)
        said = [f"{self._given.rows} lags"] * lags + [f"season {season}" for season in self._given.seasons] * seasons
        return f"{self.title} ({', '.join(said)})" if said else self.title

    @property
    def first_origin(self) -> int:
        return self.lags.first_origin

    def _fit(self, data: ForecastDataModule) -> None:
        given, (choose_rows, choose_season) = self._given, self._choose
        trained = data.ranges.train_stop - data.ranges.train_start
        season, seasons = data.season_length, given.seasons
        if choose_season:
            seasons = (season,) if season > 1 and 2 * season + data.horizon <= trained else ()
        rows = [given.rows]
        if choose_rows and data.lookback != "full" and 4 * (data.lookback + data.horizon) <= trained:
            rows = sorted({1, data.lookback})
        tried = [Lags(number, given.calendar, seasons) for number in rows]
        found = [self._of_each(data, lags, self._setting) for lags in tried]
        errors = np.array([[error for step in each for _, error in step] for each in found])
        least = errors.min(0)
        relative = np.divide(errors, least, out=np.ones_like(errors), where=least > 0)  # targets differ in their units
        best = int(np.argmin(relative.mean(1)))
        self.lags = tried[best]
        settings = iter([setting for step in found[best] for setting, _ in step])
        self.regressors = self._of_each(data, self.lags, lambda x, y, _: self._regress(x, y, next(settings)))

    def _of_each(
        self, data: ForecastDataModule, lags: Lags, regress: Callable[[Array, Array, Mask], Found]
    ) -> list[list[Found]]:
        """What is found for each step and target with some inputs, off the level."""
        samples = training_samples(data, lags.first_origin)
        samples = samples._replace(target=samples.target - self._level(data, samples.origins))
        return fit_direct(data, lags.inputs(data, samples.origins), samples, regress)

    def _forecast(self, data: ForecastDataModule, origins: range) -> Array:
        return forecast_direct(self.lags.inputs(data, origins), self.regressors) + self._level(data, origins)

    def _level(self, data: ForecastDataModule, origins: range) -> Array:
        """What is taken off the targets before they are fitted, as (origins, 1, targets)."""
        return np.zeros((len(origins), 1, len(data.targets)))

    @abstractmethod
    def _setting(self, inputs: Array, target: Array, tail: Mask) -> tuple[Any, float]:
        """The hyper-parameters of least error on the tail when fitted on the samples before it, and that error.

        Args:
            inputs: (samples, columns).
            target: (samples,).
            tail: (samples,).
        """

    @abstractmethod
    def _regress(self, inputs: Array, target: Array, setting: Any) -> Predictor:
        """The regressor fitted on all samples with hyper-parameters as `_setting` gives them.

        Args:
            inputs: (samples, columns).
            target: (samples,).
            setting: the hyper-parameters.
        """
