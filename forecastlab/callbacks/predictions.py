"""Predictions as a table."""

from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from forecastlab.batch import Prediction
from forecastlab.data.predictions import predictions_table


class PredictionWriter(Callback):
    """Collects what `test` or `predict` forecasts, over all devices, and writes `predictions.csv` into the run folder.

    One row per forecast value, ordered by series, target, origin and step: `unique_id, target, ds, cutoff, y,
    forecast`, in the target's unit, and quantiles as `forecast-lo-90, forecast-hi-90`; `cutoff` is the time of the
    origin, `ds` that of the forecast value, and `y` is empty beyond the data and where the truth was missing. In
    `test`, values that are not scored are left out.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
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

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, pl_module, scored_only=True)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, pl_module, scored_only=False)

    def _add(self, prediction: Prediction) -> None:
        origins = prediction.index.shape[1]
        flat = [part.flatten(0, 1).unsqueeze(1) for part in prediction[1:]]  # batches may differ in their origins
        self._parts.append([part.cpu() for part in (prediction.series.repeat_interleave(origins), *flat)])

    def _write(self, trainer: Trainer, pl_module: LightningModule, scored_only: bool) -> None:
        parts, self._parts = self._parts, []
        gathered: list[Any] = [parts]
        if trainer.world_size > 1:
            gathered = [None] * trainer.world_size
            torch.distributed.all_gather_object(gathered, parts)
        folder = trainer.log_dir or trainer.default_root_dir  # asks all devices: so all of them must
        if not trainer.is_global_zero:
            return
        found = Prediction(*map(torch.cat, zip(*(part for rank in gathered for part in rank), strict=True)))
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        self.table = predictions_table(
            data.panel.names, data.times, data.targets, cast(tuple[float, ...], pl_module.levels), found
        )
        if scored_only:
            self.table = self.table[self.table["y"].notna()]
        self.path = Path(folder, "predictions.csv")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}")
        try:
            self.table.to_csv(partial, index=False)
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)
