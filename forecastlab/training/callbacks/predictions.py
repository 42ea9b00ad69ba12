"""Predictions as a table."""

import contextlib
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from forecastlab.batch import Prediction
from forecastlab.data.predictions import predictions_table
from forecastlab.runs.files import write_newest, write_whole
from forecastlab.training.callbacks.run_folder import folder_of

PREDICTIONS = "predictions.csv"
"""The forecasts of a test beside the truth."""
FORECAST = "forecast.csv"
"""The newest forecasts beyond the data."""


class PredictionWriter(Callback):
    """Collects what `test` or `predict` forecasts, over all devices, and writes it into the run folder.

    A test writes `predictions.csv`. `predict` writes `forecast.csv`; earlier forecasts that differ are kept as
    `forecast-1.csv`, `forecast-2.csv`, ..., with their figures.

    One row per forecast value, ordered by series, target, origin and step: `unique_id, target, ds, cutoff, y,
    forecast`, in the target's unit, and quantiles as `forecast-lo-90, forecast-hi-90`; `cutoff` is the time of the
    origin, `ds` that of the forecast value, and `y` is empty beyond the data and where the truth was missing. In
    `test`, values that are not scored are left out.

    Attributes:
        path: the file that was written; None before, and in a trial run (`fast_dev_run`), which leaves nothing.
        kept: where the forecast before it is kept; None if there was none, or the same.
        table: what was written.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self.kept: Path | None = None
        self.table: pd.DataFrame | None = None
        self._parts: list[list[Any]] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._parts.clear()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._parts.clear()

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        self._add(outputs)

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        self._add(outputs)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        table, folder = self._gather(trainer, pl_module, scored_only=True)
        if table is not None and folder is not None:
            self.path = folder / PREDICTIONS
            write_whole(self.path, table.to_csv(index=False))

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the forecasts before any callback draws them (`on_predict_end`): the former figure makes room."""
        table, folder = self._gather(trainer, pl_module, scored_only=False)
        if table is not None and folder is not None:
            self.path, self.kept = write_forecast(folder, table)

    def _add(self, prediction: Prediction) -> None:
        self._parts.append([part.cpu() for part in by_origin(prediction)])

    def _gather(
        self, trainer: Trainer, pl_module: LightningModule, scored_only: bool
    ) -> tuple[pd.DataFrame | None, Path | None]:
        """The table of all devices, on the first one, and the folder for its file; a trial run has none."""
        parts, self._parts = self._parts, []
        gathered: list[Any] = [parts]
        if trainer.world_size > 1:
            gathered = [None] * trainer.world_size
            torch.distributed.all_gather_object(gathered, parts)
        folder = folder_of(trainer)  # asks all devices: so all of them must
        if not trainer.is_global_zero:
            return None, None
        found = Prediction(*map(torch.cat, zip(*(part for rank in gathered for part in rank), strict=True)))
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        self.table = predictions_table(
            data.panel.names, data.panel.labels, data.targets, cast(tuple[float, ...], pl_module.levels), found
        )
        if scored_only:
            self.table = self.table[self.table["y"].notna()]
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
            return self.table, None
        folder.mkdir(parents=True, exist_ok=True)
        return self.table, folder


def by_origin(prediction: Prediction) -> Prediction:
    """The forecasts of a batch with one origin in each row: batches may differ in their origins."""
    flat = [part.flatten(0, 1).unsqueeze(1) for part in prediction[1:]]
    return Prediction(prediction.series.repeat_interleave(prediction.index.shape[1]), *flat)


def write_forecast(folder: Path, table: pd.DataFrame) -> tuple[Path, Path | None]:
    """Writes a forecast beyond the data into the folder of a run.

    Where no test has written predictions.csv, a link of this name leads to it: that is where it was in version 0.1.

    Args:
        folder: the folder.
        table: one row per forecast value.

    Returns:
        The file, and where the forecast before it is kept: None if there was none, or the same.
    """
    path = folder / FORECAST
    kept = write_newest(path, table.to_csv(index=False).encode(), (path.with_suffix(".png"),))
    with contextlib.suppress(OSError):  # there is such a file already, or links are not possible
        (folder / PREDICTIONS).symlink_to(FORECAST)
    return path, kept
