"""`ForecastDataModule`: from a table to the batches of one walk-forward fold."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from forecastlab.batch import Batch, Reference, Scaling, Schema
from forecastlab.data.calendar import (
    Cycle,
    calendar_covariates,
    in_zone,
    longer_than_a_day,
    require_own_days,
    require_zone,
)
from forecastlab.data.fingerprint import fingerprint
from forecastlab.data.folds import Fold, origins, require_protocol, walk_forward
from forecastlab.data.panel import Panel, left_out
from forecastlab.data.recipe import Recipe, unique_names
from forecastlab.data.scaling import Scaler, fit_scaling
from forecastlab.data.table import Table
from forecastlab.data.times import time_of
from forecastlab.data.trained_on import Seen, TrainedOn, seen
from forecastlab.data.windows import BatchSampler, Loader, Rows, Windows
from forecastlab.errors import ConfigError

Validation = Literal["tail", "test"]
Context = Literal["carried", "cold"]
ScaleBy = Literal["global", "series"]

FORK = "fork" if sys.platform == "linux" else None
"""How a loader's processes begin: at once, and as children of the training, for whose death they watch.

In a job of `crossval`, and in later Pythons, the default is a fork server, whose children would outlive the training.
"""


class ForecastDataModule(LightningDataModule, ABC):
    """One walk-forward fold of one or more series, scaled and cut into windows or sequences.

    Subclasses name the columns and read the tables. What each row belongs to is decided by
    `forecastlab.data.folds`; no row behind a fold's training rows reaches its scaler.

    Args:
        recipe: how raw columns become tables; its frequency may be left open for `read` to find out.
        calendar: calendar cycles that are inputs and known in advance.
        holidays: country whose public holidays are an input that is known in advance, such as "DE".
        time_zone: zone by whose clocks hours and days are reckoned, of times in another; None for that of the times.
        horizon: number of steps predicted from each origin.
        lookback: rows in a window, or "full" for one sequence per fold and series in which every step is an origin.
        stride: rows from one training window to the next; evaluation uses every origin.
        fold: number of the walk-forward fold, from 1; "all" trains on every row.
        splits: number of folds.
        test_size: rows in each test range; None for rows // (splits + 1), or up to the next cutoff.
        cutoffs: times of the first test row of each fold, instead of `splits`.
        train_size: rows that train, a window that slides; None for all rows before the test range.
        gap: rows left out between training and test.
        validation: "tail" stops on the last `val_fraction` of the training targets; "test" on the test range, which
            makes the results optimistic.
        val_fraction: share of the training targets in the tail.
        val_size: rows in the tail; None for `val_fraction`.
        context: "carried" gives the network the true past before a validation or test range; "cold" starts it at the
            first row of the range, so that fewer of its rows are forecast.
        score_gaps: whether targets are trained on and scored that do not follow their origin on the calendar.
        scaler: what the network's inputs and target are scaled with.
        scale_by: "global" scales all series together, "series" each by itself.
        season_length: rows in a season, for MASE and RMSSE.
        batch_size: samples per batch and device.
        num_workers: processes that cut batches beside the training; windows are cut so fast that 0 is usually best.
        passes: how often an epoch goes through the training samples. With `lookback: full` a pass over one series is a
            single batch; several passes make an epoch that is worth a validation and a row of the log.
    """

    def __init__(
        self,
        *,
        recipe: Recipe,
        calendar: Sequence[Cycle],
        holidays: str | None,
        horizon: int,
        lookback: int | Literal["full"],
        stride: int,
        fold: int | Literal["all"],
        splits: int,
        test_size: int | None,
        cutoffs: Sequence[str],
        train_size: int | None,
        gap: int,
        validation: Validation,
        val_fraction: float,
        val_size: int | None,
        context: Context,
        score_gaps: bool,
        scaler: Scaler,
        scale_by: ScaleBy,
        season_length: int,
        batch_size: int,
        num_workers: int,
        time_zone: str | None = None,
        passes: int = 1,
    ) -> None:
        super().__init__()
        for name, size, least in (
            ("horizon", horizon, 1),
            ("stride", stride, 1),
            ("season_length", season_length, 1),
            ("batch_size", batch_size, 1),
            ("num_workers", num_workers, 0),
            ("passes", passes, 1),
        ):
            if not isinstance(size, int) or size < least:
                raise ConfigError(f"{name} must be a whole number, {least} or more, got {size!r}")
        for name, values, choices in (
            ("context", [context], get_args(Context)),
            ("scaler", [scaler], get_args(Scaler)),
            ("scale_by", [scale_by], get_args(ScaleBy)),
            ("calendar", calendar, get_args(Cycle)),
        ):
            for value in values:
                if value not in choices:
                    raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        require_zone(time_zone)
        require_protocol(splits, test_size, gap, validation, val_fraction, train_size, val_size)
        if lookback != "full" and (not isinstance(lookback, int) or lookback < 1):
            raise ConfigError(f'lookback must be a positive number of rows or "full", got {lookback!r}')
        starts = [time_of("cutoffs", cutoff) for cutoff in cutoffs]
        if any(not earlier < later for earlier, later in pairwise(starts)):
            raise ConfigError(f"cutoffs must increase, got {', '.join(map(str, cutoffs))}")
        if lookback == "full" and stride != 1:
            raise ConfigError("stride is the distance of windows, but lookback: full makes one sequence of a fold")
        if lookback == "full" and recipe.missing == "interpolate":
            raise ConfigError(
                "missing: interpolate fills a gap by what comes after it, and with lookback: full every step in the "
                "gap is an origin that must not see that: set an integer lookback, or missing: ffill or mask"
            )
        self.recipe = recipe
        self.calendar = list(calendar)
        self.holidays = holidays
        self.time_zone = time_zone
        unique_names("inputs, those of calendar, holidays and missing: mask included", self._inputs() + recipe.static)
        self.horizon = horizon
        self.lookback = lookback
        self.stride = stride
        self.fold = fold
        self.splits = len(cutoffs) or splits
        self.test_size = test_size
        self.cutoffs = list(cutoffs)
        self.train_size = train_size
        self.gap = gap
        self.validation = validation
        self.val_fraction = val_fraction
        self.val_size = val_size
        self.context = context
        self.score_gaps = score_gaps
        self.scaler = scaler
        self.scale_by = scale_by
        self.season_length = season_length
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.passes = passes

    unscaled: Mapping[int, str] = MappingProxyType({})
    """The series that a network which is to forecast has no scaling for: their numbers, and why they are left out."""

    @abstractmethod
    def read(self) -> Sequence[Table]:
        """Reads the series."""

    @property
    def features(self) -> list[str]:
        """Columns that are inputs and known up to the origin only."""
        return list(self.recipe.features)

    @property
    def targets(self) -> list[str]:
        """Columns to predict."""
        return list(self.recipe.targets)

    @cached_property
    def tables(self) -> Sequence[Table]:
        """The series; read when they are first asked for.

        Raises:
            DataError: for what cannot be read, or a time zone of times that have none.
            ConfigError: for holidays of a country in times that do not tell its days.
        """
        tables = self.read()
        in_zone(tables[0].times, self.time_zone)
        require_own_days(tables[0].times, self.holidays, self.time_zone)
        return tables

    @property
    def table(self) -> Table:
        """The one series.

        Raises:
            ConfigError: if there are several.
        """
        if len(self.tables) > 1:
            raise ConfigError(f"expected one series, the data hold {len(self.tables)}")
        return self.tables[0]

    @property
    def schema(self) -> dict[str, Any]:
        """Names and sizes for the model, as `Schema.as_dict` gives them."""
        times, frequency = self.tables[0].times, self.tables[0].frequency
        calendar = self.calendar or self.holidays
        recipe = replace(
            self.recipe,
            frequency=self.recipe.frequency or frequency,
            zone="" if times.tz is None else str(times.tz),
        )
        names = Schema(
            features=self._inputs(),
            targets=recipe.targets,
            known=self._known(),
            static=recipe.static,
            horizon=self.horizon,
            lookback=self.lookback,
            calendar=tuple(self.calendar),
            holidays=self.holidays,
            time_zone=self.time_zone,
            step=frequency if calendar and longer_than_a_day(frequency) else "",
            series=tuple(table.name for table in self.tables) if self.scale_by == "series" else (),
            panel=tuple(table.name for table in self.tables) if len(self.tables) > 1 else (),
            recipe=recipe.as_dict(),
        )
        return names.as_dict()

    def _known(self) -> tuple[str, ...]:
        """Names of what is known in advance: columns, and what follows from the times."""
        return (*self.recipe.known, *calendar_covariates(pd.DatetimeIndex([]), self.calendar, self.holidays).columns)

    def _inputs(self) -> tuple[str, ...]:
        """Names of the columns of `Batch.history`."""
        observed = [f"{name}_observed" for name in self.features] if self.recipe.missing == "mask" else []
        return (*self.features, *observed, *self._known())

    @property
    def first_target(self) -> int:
        """Number of training rows before the first training target."""
        return 1 if self.lookback == "full" else self.lookback

    @cached_property
    def ranges(self) -> Fold:
        """Which target rows of the axis fit, validate and test."""
        return self.ranges_of(self.fold)

    def ranges_of(self, fold: int | Literal["all"]) -> Fold:
        """Which target rows of the axis a fold has."""
        times = self.times[: -self.horizon]
        return walk_forward(
            len(times),
            fold,
            splits=self.splits,
            test_size=self.test_size,
            cutoffs=[self._row_of(cutoff, times) for cutoff in self.cutoffs],
            train_size=self.train_size,
            gap=self.gap,
            first_target=self.first_target,
            validation=self.validation,
            val_fraction=self.val_fraction,
            val_size=self.val_size,
        )

    @cached_property
    def panel(self) -> Panel:
        """The series on one axis."""
        return Panel.of(self.tables, Schema.from_dict(self.schema))

    @property
    def times(self) -> pd.DatetimeIndex:
        """(rows + horizon,): when each row was observed, and when the steps beyond the data will be."""
        return self.panel.times

    @property
    def rows(self) -> Rows:
        """The series as tensors."""
        return self.panel.rows

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the series, the same for the same data wherever they come from."""
        return fingerprint(self.tables)

    @property
    def about(self) -> dict[str, Any]:
        """What tells these data from others, as plain data: their fingerprint, their number and their times."""
        times = self.times[: -self.horizon]
        return {
            "fingerprint": self.fingerprint,
            "series": len(self.tables),
            "rows": len(times),
            "first": str(times[0]),
            "last": str(times[-1]),
        }

    @cached_property
    def trained_on(self) -> TrainedOn:
        """The record of a training on this fold, which its weights carry."""
        return TrainedOn.of(
            self.panel, self.ranges, fold=self.fold, protocol=self.validation, fingerprint=self.fingerprint
        )

    def seen(
        self,
        records: Sequence[TrainedOn],
        stage: Literal["validation", "test"],
        fold: int | Literal["all"] | None = None,
    ) -> Seen:
        """Which rows of a stage some trainings have seen.

        Args:
            records: the trainings, `model.trained_on`.
            stage: which rows of the fold are scored.
            fold: the fold; None for the data's own.
        """
        fold = self.fold if fold is None else fold
        ranges = self.ranges if fold == self.fold else self.ranges_of(fold)
        return seen(records, self.panel, getattr(ranges, stage), stage=stage, fold=fold)

    @cached_property
    def scaling(self) -> Scaling:
        """The scaling fitted on the rows before the end of the fitting targets, and on no other."""
        start, stop = self.ranges.train_start, self.ranges.fit.stop
        parts = []
        for number, table in enumerate(self.tables):
            first, last = int(self.rows.first[number]), int(self.rows.stop[number])
            seen = slice(*(int(self.rows.base[number]) + min(max(row, first), last) for row in (start, stop)))
            part = {
                name: tensor[seen].numpy().copy()
                for name, tensor in (
                    ("feature", self.rows.features),
                    ("known", self.rows.known),
                    ("target", self.rows.target),
                )
            }
            if self.recipe.missing == "mask":  # what was filled in is no value
                width = len(self.features)
                part["feature"][:, :width][part["feature"][:, width : 2 * width] == 0] = np.nan
                part["target"][~self.rows.observed[seen].numpy()] = np.nan
            if self.scale_by == "series" and not len(part["target"]):
                raise ConfigError(
                    f"series {table.name} has no row that trains in fold {self.fold}, so it cannot be scaled by itself:"
                    " set scale_by: global, choose a later fold or leave the series out"
                )
            parts.append(part)
        static = self.rows.static.numpy()[[len(part["target"]) > 0 for part in parts]]
        if self.scale_by == "global":
            parts = [{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}]
        return fit_scaling(self.scaler, parts, static)

    @cached_property
    def reference(self) -> Reference:
        """The units of scaled metrics, from all training rows of the fold, the validation tail included."""
        units = [self._units(number, table) for number, table in enumerate(self.tables)]
        return Reference(*(torch.as_tensor(np.stack(unit)) for unit in zip(*units, strict=True)))

    def views(self) -> list["ForecastDataModule"]:
        """Each series of the panel by itself, with its share of the fold's rows; the one series as it is."""
        if len(self.tables) == 1:
            return [self]
        views = []
        for number, table in enumerate(self.tables):
            view = copy(self)
            for name in ("panel", "scaling", "reference", "fingerprint", "trained_on"):
                view.__dict__.pop(name, None)
            view.tables = [table]
            view.scale_by = "global"
            view.ranges = self.ranges.after(int(self.rows.first[number]), int(self.rows.stop[number]))
            views.append(view)
        return views

    def refit(self) -> "ForecastDataModule":
        """The same fold for a training without validation: the rows of a validation tail train the weights too.

        It is for the weights that are used in the end. For how many epochs is found out before, with the tail.
        """
        whole = copy(self)
        for name in ("scaling", "trained_on"):
            whole.__dict__.pop(name, None)
        ranges, stop = self.ranges, self.ranges.train_stop
        whole.ranges = replace(ranges, fit=range(ranges.fit.start, stop), validation=range(stop, stop))
        return whole

    def samples(self, name: Literal["fit", "validation", "test"]) -> int:
        """How many samples of a range have a target to score; a series of a panel may have none."""
        return len(self._cut(name).scored())

    def scored(self, fold: int) -> list[int]:
        """How many rows of each series are scored by the test of a fold: those of its range with a target."""
        view = copy(self)
        view.fold = fold
        view.__dict__.pop("ranges", None)
        windows, test = view._cut("test").scored(), view.ranges.test
        counts = [0] * len(self.tables)
        for number in windows.series.unique().tolist():
            base, stop = int(self.rows.base[number]), int(self.rows.stop[number])
            first = int(windows.origins[windows.series == number].min()) + 1
            own = slice(base + max(test.start, first), base + min(test.stop, stop))
            counts[number] = int(self.rows.observed[own].any(1).sum())
        return counts

    def setup(self, stage: str) -> None:
        """Checks that the stage has something to run on, before anything is trained.

        Raises:
            ConfigError: if it has not, or if the fold cannot be spread over the devices.
        """
        self._seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
        if self.trainer:
            self.require_devices(self.trainer.world_size)
        if stage == "fit":
            samples = len(self._windows("fit"))
            if self.trainer and samples < self.trainer.world_size:
                raise ConfigError(
                    f"fold {self.fold} has {samples} training samples, fewer than there are devices "
                    f"({self.trainer.world_size}): set fewer --trainer.devices or choose a later fold"
                )
        if stage == "validate" or (stage == "fit" and self.ranges.validation):
            self._windows("validation")
        if stage == "test":
            self._windows("test")

    def require_devices(self, devices: int) -> None:
        """Raises ConfigError if the fold cannot be spread over this number of devices."""
        if self.lookback == "full" and devices > 1 and len(self.tables) == 1:
            raise ConfigError(
                f"lookback: full makes one sequence of a fold, which {devices} devices cannot share: set "
                "--trainer.devices 1 and train the folds side by side with forecastlab crossval --jobs, or set an "
                "integer lookback"
            )

    def train_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self._windows("fit"), self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The batches of the validation range.

        Raises:
            ConfigError: after `refit`, which leaves none.
        """
        if not self.ranges.validation:
            raise ConfigError(
                "every row trains after data.refit(), so that none validates: give the trainer limit_val_batches=0"
            )
        return self._loader(self._windows("validation"), self.batch_size)

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self._windows("test"), self.batch_size)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The last row of each series that can be forecast, from which the steps beyond it are.

        Every device gets all of them: one without any would not take part in what the devices do together.
        """
        size = 1 if self.lookback == "full" else self.batch_size
        return self._loader(self.panel.at_the_end(self.lookback, 0, self.unscaled), size, shared=False)

    def without_forecast(self) -> list[str]:
        """Sentences that name the series which `predict` leaves out, and say why."""
        return left_out(self.panel.names, {**self.panel.not_at_the_end(self.lookback), **self.unscaled})

    def origins(self, stage: Literal["test", "predict"], before: int) -> Windows:
        """The origins of a stage and, of each series, up to so many before them, in order.

        Whether targets follow their origin on the calendar does not matter: all that are there count.
        """
        if stage == "predict":
            return self.panel.at_the_end(self.lookback, before, self.unscaled)
        windows = self._cut("test", before)
        windows.score_gaps = True
        return windows

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Moves the tensors; Lightning's own way, through any nesting, costs as much as a short step of training."""
        if batch.history.device == device:
            return batch
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in batch))

    def _windows(self, name: Literal["fit", "validation", "test"]) -> Windows:
        targets: range = getattr(self.ranges, name)
        if self.fold == "all" and name == "test":
            raise ConfigError(
                "fold: all trains on every row, so that none is left to test: estimate the error with forecastlab "
                f"crossval of the same config, or test rows after {self.times[-self.horizon - 1]} when there are some: "
                "--data.path of the file that has them, --data.fold 1 and --data.cutoffs '[the first new time]'"
            )
        windows = self._cut(name)
        if not len(windows):
            raise ConfigError(
                f"the {name} range of fold {self.fold} has {len(targets)} target rows, which leave no forecast origin "
                f"with lookback={self.lookback}, horizon={self.horizon} and context={self.context}: choose a shorter "
                "lookback or horizon, or another fold"
            )
        windows = windows.scored()
        if not len(windows):
            raise ConfigError(
                f"the {name} range of fold {self.fold} (rows {targets.start} .. {targets.stop - 1}) has no target to "
                "score: all are missing, or lie behind gaps with score_gaps: false; choose another fold"
            )
        return windows

    def _cut(self, name: Literal["fit", "validation", "test"], before: int = 0) -> Windows:
        """The samples of a range, those of one series after another, with some origins more before each series'."""
        targets: range = getattr(self.ranges, name)
        cold = self.context == "cold" and name != "fit"
        start = targets.start if cold else self.ranges.train_start if name == "fit" else 0
        parts = []
        for number in range(len(self.tables)):
            first, stop = int(self.rows.first[number]), int(self.rows.stop[number])
            begin = max(start, first)
            own = range(targets.start, min(targets.stop, stop))
            earliest = begin if self.lookback == "full" else begin + self.lookback - 1
            found = origins(own, self.horizon, earliest)
            if not found:
                continue
            found = range(max(found.start - before, earliest), found.stop)
            if self.lookback == "full":
                parts.append(torch.tensor([[number], [begin], [found[0]], [found[-1]]]))
            else:
                ends = torch.arange(found.start, found.stop, self.stride if name == "fit" else 1)
                parts.append(torch.stack([torch.full_like(ends, number), ends + 1 - self.lookback, ends, ends]))
        series, begins, firsts, ends = torch.cat(parts, 1) if parts else torch.empty(4, 0, dtype=torch.int64)
        return Windows(self.rows, series, begins, firsts, ends, self.score_gaps)

    def _units(self, number: int, table: Table) -> tuple[NDArray[np.float64], ...]:
        """Variance, and mean absolute and squared error of the seasonal naive forecast, of a series' targets."""
        first, stop = int(self.rows.first[number]), int(self.rows.stop[number])
        start, end = (min(max(row, first), stop) - first for row in (self.ranges.train_start, self.ranges.train_stop))
        target = table.values[self.targets].to_numpy()[start:end]
        if len(target) <= self.season_length and len(self.tables) == 1:
            raise ConfigError(
                f"season_length is {self.season_length}, but fold {self.fold} trains on {len(target)} rows only: "
                "choose a later fold or a shorter season"
            )
        # what was filled in is no value, and no step from or to it is one of the series
        target = np.where(table.observed[self.targets].to_numpy()[start:end], target, np.nan)
        seasonal = target[self.season_length :] - target[: -self.season_length]
        return _variance(target), _mean(np.abs(seasonal)), _mean(np.square(seasonal))

    @staticmethod
    def _row_of(cutoff: str, times: pd.DatetimeIndex) -> int:
        try:
            row = int(times.searchsorted(time_of("cutoffs", cutoff)))
        except TypeError as error:  # times with a zone, and a cutoff without
            raise ConfigError(f"cutoffs: expected times such as {times[0]}, got {cutoff!r}: {error}") from None
        if not 0 < row < len(times):
            raise ConfigError(f"cutoffs: {cutoff} is not within the data, {times[0]} .. {times[-1]}")
        return row

    def _loader(
        self, windows: Windows, batch_size: int, shuffle: bool = False, shared: bool = True
    ) -> DataLoader[Batch]:
        trainer = self.trainer
        sampler = BatchSampler(
            len(windows),
            batch_size,
            seed=self._seed if shuffle else None,
            epoch=trainer.current_epoch if trainer else 0,
            rank=trainer.global_rank if trainer and shared else 0,
            processes=trainer.world_size if trainer and shared else 1,
            passes=self.passes if shuffle else 1,
        )
        return Loader(
            windows,
            sampler=sampler,
            batch_size=None,
            num_workers=self.num_workers,
            multiprocessing_context=FORK if self.num_workers else None,
            persistent_workers=self.num_workers > 0,
            generator=torch.Generator().manual_seed(self._seed),  # leaves the global one to the training
        )


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The means of columns, (columns,), over what is a number; 0, which is no unit, where nothing is."""
    counts = (~np.isnan(values)).sum(0)
    mean: NDArray[np.float64] = np.nansum(values, 0) / np.maximum(counts, 1)
    return mean


def _variance(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The variances (ddof 0) of columns, (columns,), over what is a number; exactly 0 where that is constant."""
    known = ~np.isnan(values)
    constant = np.max(values, 0, where=known, initial=-np.inf) <= np.min(values, 0, where=known, initial=np.inf)
    return np.where(constant, 0.0, _mean(np.square(values - _mean(values))))
