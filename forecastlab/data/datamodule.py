"""`ForecastDataModule`: from a table to the batches of one walk-forward fold."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, cast, get_args

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from forecastlab.batch import Batch, Reference, Scaling, Schema
from forecastlab.data.calendar import Cycle, calendar_covariates
from forecastlab.data.folds import Fold, origins, require_protocol, walk_forward
from forecastlab.data.scaling import Scaler, fit_scaling
from forecastlab.data.table import Table
from forecastlab.data.windows import BatchSampler, Rows, Windows
from forecastlab.errors import ConfigError

Validation = Literal["tail", "test"]
Context = Literal["carried", "cold"]

FORK = "fork" if sys.platform == "linux" else None
"""How a loader's processes begin: at once, and as children of the training, for whose death they watch.

In a job of `crossval`, and in later Pythons, the default is a fork server, whose children would outlive the training.
"""


class ForecastDataModule(LightningDataModule, ABC):
    """One walk-forward fold of a table, scaled and cut into windows or sequences.

    Subclasses name the columns and read the table. What each row belongs to is decided by
    `forecastlab.data.folds`; no row behind a fold's training rows reaches its scaler.

    Args:
        features: columns of the table that are inputs.
        targets: columns of the table to predict.
        calendar: calendar cycles that are inputs and known in advance.
        horizon: number of steps predicted from each origin.
        lookback: rows in a window, or "full" for one sequence per fold in which every step is an origin.
        fold: number of the walk-forward fold, from 1; "all" trains on every row.
        splits: number of folds.
        test_size: rows in each test range; None for rows // (splits + 1).
        gap: rows left out between training and test.
        validation: "tail" stops on the last `val_fraction` of the training targets; "test" on the test range, which
            makes the results optimistic.
        val_fraction: share of the training targets in the tail.
        context: "carried" gives the network the true past before a validation or test range; "cold" starts it at the
            first row of the range, so that fewer of its rows are forecast.
        score_gaps: whether targets are trained on and scored that do not follow their origin on the calendar.
        scaler: what the network's inputs and target are scaled with.
        season_length: rows in a season, for MASE.
        batch_size: samples per batch and device.
        num_workers: processes that cut batches beside the training; windows are cut so fast that 0 is usually best.
    """

    def __init__(
        self,
        *,
        features: Sequence[str],
        targets: Sequence[str],
        calendar: Sequence[Cycle],
        horizon: int,
        lookback: int | Literal["full"],
        fold: int | Literal["all"],
        splits: int,
        test_size: int | None,
        gap: int,
        validation: Validation,
        val_fraction: float,
        context: Context,
        score_gaps: bool,
        scaler: Scaler,
        season_length: int,
        batch_size: int,
        num_workers: int,
    ) -> None:
        super().__init__()
        for name, size, least in (
            ("horizon", horizon, 1),
            ("season_length", season_length, 1),
            ("batch_size", batch_size, 1),
            ("num_workers", num_workers, 0),
        ):
            if not isinstance(size, int) or size < least:
                raise ConfigError(f"{name} must be a whole number, {least} or more, got {size!r}")
        for name, values, choices in (
            ("context", [context], get_args(Context)),
            ("scaler", [scaler], get_args(Scaler)),
            ("calendar", calendar, get_args(Cycle)),
        ):
            for value in values:
                if value not in choices:
                    raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        require_protocol(splits, test_size, gap, validation, val_fraction)
        if lookback != "full" and (not isinstance(lookback, int) or lookback < 1):
            raise ConfigError(f'lookback must be a positive number of rows or "full", got {lookback!r}')
        self.features = list(features)
        self.targets = list(targets)
        self.calendar = list(calendar)
        self.horizon = horizon
        self.lookback = lookback
        self.fold = fold
        self.splits = splits
        self.test_size = test_size
        self.gap = gap
        self.validation = validation
        self.val_fraction = val_fraction
        self.context = context
        self.score_gaps = score_gaps
        self.scaler = scaler
        self.season_length = season_length
        self.batch_size = batch_size
        self.num_workers = num_workers

    @abstractmethod
    def read(self) -> Table:
        """Reads the series."""

    @cached_property
    def table(self) -> Table:
        """The series; read when it is first asked for."""
        return self.read()

    @property
    def schema(self) -> dict[str, Any]:
        """Names and sizes for the model, as `Schema.as_dict` gives them."""
        known = tuple(calendar_covariates(pd.DatetimeIndex([]), self.calendar).columns)
        names = Schema(
            features=(*self.features, *known),
            targets=tuple(self.targets),
            known=known,
            horizon=self.horizon,
            lookback=self.lookback,
        )
        return names.as_dict()

    @property
    def first_target(self) -> int:
        """First row that can be a training target."""
        return 1 if self.lookback == "full" else self.lookback

    @cached_property
    def ranges(self) -> Fold:
        """Which target rows fit, validate and test."""
        return walk_forward(
            len(self.table.times),
            self.fold,
            splits=self.splits,
            test_size=self.test_size,
            gap=self.gap,
            first_target=self.first_target,
            validation=self.validation,
            val_fraction=self.val_fraction,
        )

    @cached_property
    def times(self) -> pd.DatetimeIndex:
        """(rows + horizon,): when each row was observed, and when the steps beyond the data will be."""
        table = self.table
        ahead = pd.date_range(table.times[-1], periods=self.horizon + 1, freq=table.frequency)[1:]
        return cast(pd.DatetimeIndex, table.times.append(ahead))

    @cached_property
    def rows(self) -> Rows:
        """The series as tensors."""
        return Rows.of_table(self.table, self.features, self.targets, calendar_covariates(self.times, self.calendar))

    @cached_property
    def scaling(self) -> Scaling:
        """The scaling fitted on the rows before the end of the fitting targets, and on no other."""
        seen = slice(self.ranges.fit.stop)
        features, known, target = (
            tensor[seen].double().numpy() for tensor in (self.rows.features, self.rows.known, self.rows.target)
        )
        return fit_scaling(self.scaler, features, known, target)

    @cached_property
    def reference(self) -> Reference:
        """The units of scaled metrics, from all training rows of the fold, the validation tail included."""
        target = self.table.values[self.targets].to_numpy()[: self.ranges.train_stop]
        seasonal = np.abs(target[self.season_length :] - target[: -self.season_length])
        if not len(seasonal):
            raise ConfigError(
                f"season_length is {self.season_length}, but fold {self.fold} trains on {len(target)} rows only: "
                "choose a later fold or a shorter season"
            )
        return Reference(torch.as_tensor(target.var(0)), torch.as_tensor(seasonal.mean(0)))

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
        if stage in ("fit", "validate"):
            self._windows("validation")
        if stage == "test":
            self._windows("test")

    def require_devices(self, devices: int) -> None:
        """Raises ConfigError if the fold cannot be spread over this number of devices."""
        if self.lookback == "full" and devices > 1:
            raise ConfigError(
                f"lookback: full makes one sequence of a fold, which {devices} devices cannot share: set "
                "--trainer.devices 1 and train the folds side by side with forecastlab crossval --jobs, or set an "
                "integer lookback"
            )

    def train_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self._windows("fit"), shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self._windows("validation"))

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self._windows("test"))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Every origin that the fold did not train on, up to the last row, from which the future is forecast."""
        rows = len(self.table.times)
        return self._loader(self._cut(range(self.ranges.test.start - 1, rows), 0))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Moves the tensors; Lightning's own way, through any nesting, costs as much as a short step of training."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in batch))

    def _windows(self, name: Literal["fit", "validation", "test"]) -> Windows:
        targets: range = getattr(self.ranges, name)
        start = self._start(name)
        found = origins(targets, self.horizon, start if self.lookback == "full" else start + self.lookback - 1)
        if not found:
            raise ConfigError(
                f"the {name} range of fold {self.fold} has {len(targets)} target rows, which leave no forecast origin "
                f"with lookback={self.lookback}, horizon={self.horizon} and context={self.context}: choose a shorter "
                "lookback or horizon, or another fold"
            )
        windows = self._cut(found, start).scored()
        if not len(windows):
            raise ConfigError(
                f"the {name} range of fold {self.fold} (rows {targets.start} .. {targets.stop - 1}) has no target to "
                "score: all are missing, or lie behind gaps with score_gaps: false; choose another fold"
            )
        return windows

    def _start(self, name: Literal["fit", "validation", "test"]) -> int:
        """First row that a history may hold."""
        return getattr(self.ranges, name).start if self.context == "cold" and name != "fit" else 0

    def _cut(self, found: range, start: int) -> Windows:
        if self.lookback == "full":
            ends = torch.tensor([found[-1]])
            return Windows(self.rows, ends, found[-1] + 1 - start, len(found), self.score_gaps)
        return Windows(self.rows, torch.arange(found.start, found.stop), self.lookback, 1, self.score_gaps)

    def _loader(self, windows: Windows, shuffle: bool = False) -> DataLoader[Batch]:
        trainer = self.trainer
        sampler = BatchSampler(
            len(windows),
            self.batch_size,
            seed=self._seed if shuffle else None,
            epoch=trainer.current_epoch if trainer else 0,
            rank=trainer.global_rank if trainer else 0,
            processes=trainer.world_size if trainer else 1,
        )
        return DataLoader(
            windows,
            sampler=sampler,
            batch_size=None,
            num_workers=self.num_workers,
            multiprocessing_context=FORK if self.num_workers else None,
            persistent_workers=self.num_workers > 0,
            generator=torch.Generator().manual_seed(self._seed),  # leaves the global one to the training
        )
