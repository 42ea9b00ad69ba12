"""`ForecastDataModule`: from a table to the batches of one walk-forward fold."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from forecastlab.batch import ELAPSED, Batch, Reference, Scaling, Schema
from forecastlab.data.batch_scaling import BatchScaling
from forecastlab.data.calendar import in_zone, longer_than_a_day, require_own_days
from forecastlab.data.cutting import cut
from forecastlab.data.facts import Fact, facts_of
from forecastlab.data.fingerprint import fingerprint
from forecastlab.data.folds import Fold, row_of, walk_forward
from forecastlab.data.loading import loader
from forecastlab.data.options import DataOptions
from forecastlab.data.panel import Panel, left_out
from forecastlab.data.sampling import WindowSampling
from forecastlab.data.scaling import FittingRows, fit_each, fit_together, put_usual_step
from forecastlab.data.seen import Seen, seen
from forecastlab.data.table import Table
from forecastlab.data.trained_on import TrainedOn
from forecastlab.data.transform import Transforms
from forecastlab.data.units import fit_reference
from forecastlab.data.windows import Rows, Windows
from forecastlab.errors import ConfigError

Storage = Literal["memory", "mapped"]


class ForecastDataModule(DataOptions, LightningDataModule, ABC):
    """One walk-forward fold of one or more series, scaled and cut into windows or sequences.

    Subclasses name the columns and read the tables. Their options are their own and those of `DataOptions`. What each
    row belongs to is decided by `forecastlab.data.folds`; no row behind a fold's training rows reaches its scaler.
    """

    unscaled: Mapping[int, str] = MappingProxyType({})
    """The series that a network which is to forecast has no scaling for: their numbers, and why they are left out."""

    storage: Storage = "memory"
    """Where the rows are held."""

    notes: Sequence[str] = ()
    """What was decided about the data, or done to their rows, when they were read."""

    @abstractmethod
    def read(self) -> Sequence[Table]:
        """Reads the series."""

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
        return self._schema_of(self.tables).as_dict()

    def _schema_of(self, tables: Sequence[Table]) -> Schema:
        times, frequency = tables[0].times, tables[0].frequency
        calendar = self.calendar or self.holidays
        recipe = replace(
            self.recipe,
            frequency=self.recipe.frequency or frequency,
            zone="" if times.tz is None else str(times.tz),
            weight="",  # no forecast needs it
        )
        return Schema(
            features=self._inputs(),
            targets=recipe.targets,
            known=self._known(),
            static=recipe.static,
            horizon=self.horizon,
            season_length=self.season_length,
            lookback=self.lookback,
            min_history=self.min_history,
            elapsed=self.elapsed,
            calendar=tuple(self.calendar),
            holidays=self.holidays,
            time_zone=self.time_zone,
            step=frequency if calendar and longer_than_a_day(frequency) else "",
            series=tuple(table.name for table in tables) if self.scale_by == "series" else (),
            panel=tuple(table.name for table in tables) if len(tables) > 1 else (),
            recipe=recipe.as_dict(),
        )

    @cached_property
    def ranges(self) -> Fold:
        """Which target rows of the fold's axis fit, validate and test; `of_series` gives those of one series."""
        return self.ranges_of(self.fold)

    def ranges_of(self, fold: int | Literal["all"]) -> Fold:
        """Which target rows a fold has: of the common calendar, or of the longest series with `fold_by: series`."""
        times = self.times[: -self.horizon]
        return walk_forward(
            len(times) if self.fold_by == "calendar" else self._longest,
            fold,
            splits=self.splits,
            test_size=self.test_size,
            cutoffs=[row_of(cutoff, times) for cutoff in self.cutoffs],
            train_size=self.train_size,
            gap=self.gap,
            first_target=self.first_target,
            horizon=self.horizon,
            validation=self.validation,
            val_fraction=self.val_fraction,
            val_size=self.val_size,
        )

    def of_series(self, number: int, ranges: Fold | None = None) -> Fold:
        """Which target rows of the panel's axis fit, validate and test one series; rows that it lacks are among them.

        Args:
            number: number of the series.
            ranges: those of a fold, as `ranges_of` gives them; None for the data's own fold.
        """
        ranges = self.ranges if ranges is None else ranges
        return ranges if self.fold_by == "calendar" else ranges.shifted(int(self.rows.stop[number]) - self._longest)

    @property
    def folds(self) -> list[Fold]:
        """Of each series, the target rows of the panel's axis, as `of_series` gives them."""
        ranges = self.ranges
        if self.fold_by == "calendar":
            return [ranges] * len(self.tables)
        return [ranges.shifted(rows) for rows in (self.rows.stop - self._longest).tolist()]

    @property
    def _longest(self) -> int:
        """Number of rows of the longest series."""
        return int((self.rows.stop - self.rows.first).max())

    @cached_property
    def panel(self) -> Panel:
        """The series on one axis."""
        return Panel.of(self.tables, Schema.from_dict(self.schema), self.recipe.weight)

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

    def facts(self, values: bool = True) -> list[Fact]:
        """What the series hold, in words.

        Args:
            values: whether the values and what is missing are among the facts, for which all rows are read.
        """
        tables = self.tables  # reading them finds out the recipe
        recipe = self.recipe
        calendar = [name for name in self.schema["known"] if name not in recipe.known]
        return facts_of(tables, recipe, self.features, calendar, values)

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
            self.panel,
            self.folds,
            fold=self.fold,
            protocol=self.validation,
            fingerprint=self.fingerprint,
            by=self.fold_by,
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
        targets = [getattr(self.of_series(number, ranges), stage) for number in range(len(self.tables))]
        return seen(records, self.panel, targets, stage=stage, fold=fold)

    @cached_property
    def scaling(self) -> Scaling:
        """The scaling fitted on the rows before the end of the fitting targets, and on no other."""
        transforms = Transforms(Schema.from_dict(self.schema))
        rows = FittingRows(self.panel, self.folds, len(self.features), self.recipe.missing == "mask", transforms)
        counts = rows.counts()
        static = self.rows.static.numpy()[counts > 0]
        if self.scale_by == "global":
            scaling = fit_together(self.scaler, rows.of_all, static)
        elif counts.all():
            scaling = fit_each(self.scaler, rows.of_each(), len(counts), static)
        else:
            raise ConfigError(
                f"series {self.panel.names[int(counts.argmin())]} has no row that trains in fold {self.fold}, so it "
                "cannot be scaled by itself: set scale_by: global, choose a later fold or leave the series out"
            )
        if self.elapsed:
            put_usual_step(scaling, rows.of_each(), self._inputs().index(ELAPSED))
        return scaling

    @property
    def batch_scaling(self) -> BatchScaling:
        """Scaled batches for a module of one's own, a new one each time; a `Network` scales its batches by itself."""
        return BatchScaling(Schema.from_dict(self.schema), deepcopy(self.scaling))

    @cached_property
    def reference(self) -> Reference:
        """The units of scaled metrics, from all training rows of the fold, the validation tail included."""
        return fit_reference(self.panel, self.folds, self.season_length, self.fold)

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
            view.storage = "memory"
            view.scale_by, view.fold_by = "global", "calendar"
            view.ranges = self.of_series(number).after(int(self.rows.first[number]), int(self.rows.stop[number]))
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
        windows = view._cut("test").scored()
        counts, folds = [0] * len(self.tables), view.folds
        numbers, samples = windows.counts()
        firsts = windows.origins[samples.cumsum(0) - samples] + 1  # the samples of a series are in order
        for number, first in zip(numbers.tolist(), firsts.tolist(), strict=True):
            test = folds[number].test
            base, stop = int(self.rows.base[number]), int(self.rows.stop[number])
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
            samples = min(len(self._windows("fit")), self.windows_per_epoch or sys.maxsize)
            if self.trainer and samples < self.trainer.world_size:
                raise ConfigError(
                    f"an epoch of fold {self.fold} has {samples} training samples, fewer than there are devices "
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
        windows, size = self._windows("fit"), self.windows_per_epoch
        drawn = None if size is None else WindowSampling(windows.counts()[1], size, self.window_sampling == "evenly")
        return self._loader(windows, self.batch_size, shuffle=True, sampling=drawn)

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
        """The last origin of each series that can be forecast; every device gets all of them, so that none is idle."""
        size = 1 if self.lookback == "full" else self.batch_size
        return self._loader(self.panel.at_the_end(0, self.unscaled), size, shared=False)

    def without_forecast(self) -> list[str]:
        """Sentences that name the series which `predict` leaves out, and say why."""
        return left_out(self.panel.names, {**self.panel.not_at_the_end(), **self.unscaled})

    def origins(self, stage: Literal["test", "predict"], before: int) -> Windows:
        """The origins of a stage and, of each series, up to so many before them, in order.

        Whether targets follow their origin on the calendar does not matter: all that are there count.
        """
        if stage == "predict":
            return self.panel.at_the_end(before, self.unscaled)
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
        if name != "test":
            windows = windows.weighted(self._cut("fit"))
        windows = windows.scored()
        if not len(windows):
            raise ConfigError(
                f"the {name} range of fold {self.fold} (rows {targets.start} .. {targets.stop - 1}) has no target to "
                "score: all are missing, have the weight 0, or lie behind gaps with score_gaps: false; choose another "
                "fold"
            )
        return windows

    def _cut(self, name: Literal["fit", "validation", "test"], before: int = 0) -> Windows:
        """The samples of a range, those of one series after another, with some origins more before each series'."""
        return cut(
            self.rows,
            self.folds,
            name,
            lookback=self.lookback,
            least=self.first_target,
            stride=self.stride,
            cold=self.context == "cold",
            score_gaps=self.score_gaps,
            before=before,
        )

    def _loader(
        self,
        windows: Windows,
        batch_size: int,
        shuffle: bool = False,
        shared: bool = True,
        sampling: WindowSampling | None = None,
    ) -> DataLoader[Batch]:
        trainer = self.trainer
        return loader(
            windows,
            batch_size,
            seed=self._seed,
            shuffle=shuffle,
            epoch=trainer.current_epoch if trainer else 0,
            rank=trainer.global_rank if trainer and shared else 0,
            processes=trainer.world_size if trainer and shared else 1,
            passes=self.passes if shuffle else 1,
            workers=self.num_workers,
            sampling=sampling,
        )
