"""Direct regression: one regressor per step and target, on the rows up to the origin and the calendar of the step."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch

from forecastlab.baselines.base import Array, Baseline, Mask
from forecastlab.baselines.lags import Inputs, Lags, Steps, Units
from forecastlab.data.calendar import Cycle
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.folds import origins as origins_of
from forecastlab.data.windows import Windows
from forecastlab.errors import ConfigError, DataError

TAIL = 0.2
"""Share of the training rows, at their end, that chooses hyper-parameters. It does not depend on the networks' tail."""


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

    The tail is part of the training rows with `validation: test` too.

    Args:
        data: the fold.
        first_origin: number of rows that an origin needs before it.

    Raises:
        ConfigError: if there is no such origin.
    """
    start, stop = data.ranges.train_start, data.ranges.train_stop
    first_origin += start
    origins = origins_of(range(first_origin + 1, stop), data.horizon, first_origin)
    if not origins:
        raise ConfigError(
            f"fold {data.fold} trains on {stop - start} rows, which leave no forecast origin from row {first_origin} "
            f"on with horizon={data.horizon}: choose a later fold, fewer lags or a shorter horizon"
        )
    index = torch.arange(origins.start, origins.stop)
    batch = Windows(data.rows, torch.zeros_like(index), index, index, index, data.score_gaps)[list(range(len(origins)))]
    tail = stop - max(1, round(TAIL * (stop - start)))
    steps = np.arange(1, data.horizon + 1)
    return Samples(
        origins,
        target=batch.target[:, 0].numpy(),
        scored=(batch.weight[:, 0] > 0).numpy(),
        tail=np.array(origins)[:, None] + steps >= tail,
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
        regress: inputs (samples, columns), target (samples,) and tail (samples,) -> the result for one step and target,
            such as a fitted regressor.

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


@dataclass(frozen=True)
class Member:
    """A series that a direct regression is fitted on.

    Attributes:
        data: the series.
        units: those of its inputs and targets; None for original units.
        own: (columns,): inputs that do not change within the series.
    """

    data: ForecastDataModule
    units: Units | None
    own: Array

    def inputs(self, lags: Lags, origins: range) -> Inputs:
        """The inputs of some origins, with those of the series."""
        inputs = lags.inputs(self.data, origins, self.units)
        own = np.broadcast_to(self.own, (len(origins), len(self.own)))
        return inputs._replace(past=np.concatenate([inputs.past, own], axis=1))


class DirectRegression(Baseline):
    """A baseline that is one regressor per step and target, with the network's own inputs (see `Lags`).

    Hyper-parameters are chosen in two fits. The first fits the training rows without their last fifth, and the setting
    with the lowest error on the last fifth wins. The second fits all training rows with this setting. The number of
    rows that it reads is chosen in the same way, as 1 or the network's lookback, and is the same for all steps.

    A pooled regression is fitted on all series of a panel at once, as a network is. Each series is in units of its own
    training rows. Its inputs include its static covariates and a column that is 1 for this series and 0 elsewhere. A
    series that is too short is left out of the fit and is forecast with the weights of the others. A second pool, which
    reads no season, forecasts the series whose past is too short for the chosen season. The inputs of one step are in
    memory together: 8 bytes for each training row and column.

    Args:
        lags: number of rows up to the origin whose features are inputs; None chooses 1 or the network's lookback.
        calendar: calendar cycles of the forecast step that are inputs, besides those of the data.
        seasons: lengths of seasons in rows; the value one season before the forecast step is an input. None for the
            data's `season_length`, if it is above 1 and the training rows hold two seasons.
        pooled: whether the series of a panel share their regressors. If not, each has its own.

    Raises:
        ConfigError: if `lags` or a season is not positive, or a cycle unknown.
    """

    title: str
    """Its name in tables, without its inputs."""

    def __init__(
        self,
        lags: int | None = None,
        calendar: Sequence[Cycle] = ("day_of_year",),
        seasons: Sequence[int] | None = None,
        pooled: bool = False,
    ) -> None:
        self._given = Lags(1 if lags is None else lags, tuple(calendar), tuple(seasons or ()))
        self._choose = lags is None, seasons is None
        self.lags = self._given
        self.pooled = pooled
        self._units: Units | None = None
        self._own: Array = np.empty(0)

    @property
    def name(self) -> str:
        lags, seasons = (not chosen for chosen in self._choose)
        said = [f"{self._given.rows} lags"] * lags + [f"season {season}" for season in self._given.seasons] * seasons
        said = ["pooled"] * self.pooled + said
        return f"{self.title} ({', '.join(said)})" if said else self.title

    @property
    def first_origin(self) -> int:
        return self.lags.first_origin

    def fit_panel(self, data: ForecastDataModule) -> Iterator[tuple[int, Baseline]]:
        views = data.views()
        if not self.pooled or len(views) == 1:
            yield from super().fit_panel(data)
            return
        static, series = data.rows.static.numpy(), np.eye(len(views))
        members = []
        for number, view in enumerate(views):
            if view.ranges.train_stop > view.ranges.train_start:
                members.append(Member(view, Units.of(view), np.concatenate([static[number], series[number]])))
            elif view.samples("test"):
                raise ConfigError(
                    f"series {data.panel.names[number]} has test rows but no training rows in fold {data.fold}, so "
                    "that a pooled regression does not know its unit: choose a later fold, or leave the series out"
                )
        self._fit_members(members)
        tested = [member for member in members if member.data.samples("test")]
        short = [self._choose[1] and _earliest(member.data) < self.first_origin for member in tested]
        unseasonal = self._without_season(members) if any(short) else self
        for member, is_short in zip(tested, short, strict=True):
            fitted = copy(unseasonal if is_short else self)
            fitted._units, fitted._own = member.units, member.own
            fitted.fitted_on(member.data)
            yield views.index(member.data), fitted

    def _without_season(self, members: Sequence[Member]) -> "DirectRegression":
        """The same regression, fitted on the inputs that need no season before them."""
        other = copy(self)
        other._choose = self._choose[0], False
        other._fit_members(members)
        return other

    def _fit(self, data: ForecastDataModule) -> None:
        self._units, self._own = None, np.empty(0)
        self._fit_members([Member(data, self._units, self._own)])

    def _fit_members(self, members: Sequence[Member]) -> None:
        """Chooses the inputs and the hyper-parameters, and fits the regressors."""
        given, (choose_rows, choose_season) = self._given, self._choose
        data = members[0].data
        trained = max(each.data.ranges.train_stop - each.data.ranges.train_start for each in members)
        season, seasons = data.season_length, given.seasons
        if choose_season:
            seasons = (season,) if season > 1 and 2 * season + data.horizon <= trained else ()
        rows = [given.rows]
        if choose_rows and data.lookback != "full" and 4 * (data.lookback + data.horizon) <= trained:
            rows = sorted({1, data.lookback})
        tried = [Lags(number, given.calendar, seasons) for number in rows]
        results = [self._of_each(members, lags, self._setting) for lags in tried]
        errors = np.array([[error for step in each for _, error in step] for each in results])
        least = errors.min(0)
        relative = np.divide(errors, least, out=np.ones_like(errors), where=least > 0)  # targets differ in their units
        best = int(np.argmin(relative.mean(1)))
        self.lags = tried[best]
        settings = iter([setting for step in results[best] for setting, _ in step])
        self.regressors = self._of_each(members, self.lags, lambda x, y, _: self._regress(x, y, next(settings)))

    def _of_each(
        self, members: Sequence[Member], lags: Lags, regress: Callable[[Array, Array, Mask], Found]
    ) -> list[list[Found]]:
        """The results of `regress` for each step and target with some inputs, relative to the level."""
        parts = []
        for each in members:
            try:
                samples = training_samples(each.data, lags.first_origin)
            except ConfigError:
                if len(members) == 1:
                    raise
                continue  # this series is too short, others are not
            base, scale = self._base(each, samples.origins)
            samples = samples._replace(target=(samples.target - base) / scale)
            parts.append((each.inputs(lags, samples.origins), samples))
        if not parts:
            raise ConfigError(
                f"no series has enough training rows in fold {members[0].data.fold} for {lags.first_origin + 1} lags "
                f"and horizon={members[0].data.horizon}: choose a later fold, fewer lags or a shorter horizon"
            )
        pooled = [inputs for inputs, _ in parts]
        past = np.concatenate([inputs.past for inputs in pooled])
        ahead = Steps(members[0].data.horizon, lambda step: np.concatenate([inputs.ahead[step] for inputs in pooled]))
        target, scored, tail = (
            np.concatenate([getattr(samples, name) for _, samples in parts]) for name in ("target", "scored", "tail")
        )
        pool = parts[0][1]._replace(target=target, scored=scored, tail=tail)
        return fit_direct(members[0].data, Inputs(past, ahead), pool, regress)

    def _forecast(self, data: ForecastDataModule, origins: range) -> Array:
        member = Member(data, self._units, self._own)
        base, scale = self._base(member, origins)
        return forecast_direct(member.inputs(self.lags, origins), self.regressors) * scale + base

    def _base(self, member: Member, origins: range) -> tuple[Array, Array]:
        """The values subtracted from the targets, (origins or 1, 1, targets), and their divisors, (targets,)."""
        units, targets = member.units, len(member.data.targets)
        center, scale = (np.zeros(targets), np.ones(targets)) if units is None else (units.center, units.scale)
        level = self._level(member.data, origins)
        return (center[None, None] if level is None else level), scale

    def _level(self, data: ForecastDataModule, origins: range) -> Array | None:
        """The level that is subtracted from the targets before the fit, (origins, 1, targets); None for none."""
        return None

    @abstractmethod
    def _setting(self, inputs: Array, target: Array, tail: Mask) -> tuple[Any, float]:
        """The hyper-parameters with the lowest error on the tail, after a fit on the samples before it; and that error.

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


def _earliest(data: ForecastDataModule) -> int:
    """The first row from which a fold may forecast in its test: the rows that the network needs lie before it."""
    start = data.ranges.test.start
    return max(start - 1, (start if data.context == "cold" else 0) + data.first_target - 1)
