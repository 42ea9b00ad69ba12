"""Predictions as a table."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from forecastlab.batch import Schema


class PredictionWriter(Callback):
    """Collects what `test` or `predict` forecasts, over all devices, and writes `predictions.csv` into the run folder.

    One row per forecast value, ordered by series, target, origin and step: `unique_id, target, ds, cutoff, y,
    forecast`, in the target's unit; `cutoff` is the time of the origin, `ds` that of the forecast value, and `y` is
    empty beyond the data and where the truth was missing. In `test`, values that are not scored are left out.
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

    def _add(self, prediction: Any) -> None:
        self._parts.append([tensor.flatten(0, 1).cpu() for tensor in prediction[1:]])

    def _write(self, trainer: Trainer, pl_module: LightningModule, scored_only: bool) -> None:
        parts, self._parts = self._parts, []
        gathered: list[Any] = [parts]
        if trainer.world_size > 1:
            gathered = [None] * trainer.world_size
            torch.distributed.all_gather_object(gathered, parts)
        folder = trainer.log_dir or trainer.default_root_dir  # asks all devices: so all of them must
        if not trainer.is_global_zero:
            return
        index, forecast, target, weight = (
            torch.cat(tensors).numpy() for tensors in zip(*(part for rank in gathered for part in rank), strict=True)
        )
        order = np.argsort(index)
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        ordered = (values[order] for values in (index, forecast, target, weight))
        self.table = predictions_table(data.times, data.table.name, Schema.from_dict(data.schema), *ordered)
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


def predictions_table(
    times: pd.DatetimeIndex,
    name: str,
    schema: Schema,
    index: np.ndarray[Any, Any],
    forecast: np.ndarray[Any, Any],
    target: np.ndarray[Any, Any],
    weight: np.ndarray[Any, Any],
) -> pd.DataFrame:
    """Forecasts as a table with the columns of `predictions.csv`, one row per target, origin and step.

    Args:
        times: (rows + horizon,)
        name: the series' `unique_id`.
        schema: names of the targets.
        index: (origins,)
        forecast: (origins, horizon, targets)
        target: (origins, horizon, targets)
        weight: (origins, horizon, targets)
    """
    steps = np.arange(1, schema.horizon + 1)
    cutoff = np.repeat(times[index], schema.horizon)
    ds = times[(index[:, None] + steps).ravel()]
    columns = [
        pd.DataFrame(
            {
                "unique_id": name,
                "target": column,
                "ds": ds,
                "cutoff": cutoff,
                "y": np.where(weight[..., number] > 0, target[..., number], np.nan).ravel(),
                "forecast": forecast[..., number].ravel(),
            }
        )
        for number, column in enumerate(schema.targets)
    ]
    return pd.concat(columns, ignore_index=True)
