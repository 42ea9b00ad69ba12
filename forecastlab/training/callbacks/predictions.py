"""Predictions as a table."""

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from forecastlab.batch import Prediction
from forecastlab.data.predictions import predictions_table
from forecastlab.runs.files import whole, write_newest
from forecastlab.training.callbacks.run_folder import folder_of
from forecastlab.training.forecast_panels import MOST

PREDICTIONS = "predictions.csv"
"""The forecasts of a test beside the truth."""
FORECAST = "forecast.csv"
"""The newest forecasts beyond the data."""
_MOST_WAITING = 1 << 17
"""Values that are forecast before the rows of series that are complete are written."""
_IN_MEMORY = 1 << 24
"""Bytes of a table that are not in a file yet."""
_CELLS = 100_000
"""Cells of which pandas decides together how times are written: with or without an hour."""
_KEPT = 100_000
"""Rows of a table that stay in memory; of more, those of some series."""


class PredictionWriter(Callback):
    """Writes what `test` or `predict` forecasts, over all devices, into the run folder.

    A test writes `predictions.csv`. `predict` writes `forecast.csv`; earlier forecasts that differ are kept as
    `forecast-1.csv`, `forecast-2.csv`, ..., with their figures.

    One row per forecast value, ordered by series, target, origin and step: `unique_id, target, ds, cutoff, y,
    forecast`, in the target's unit, and quantiles as `forecast-lo-90, forecast-hi-90`; `cutoff` is the time of the
    origin, `ds` that of the forecast value, and `y` is empty beyond the data and where the truth was missing. In
    `test`, values that are not scored are left out.

    Samples come in the order of their series, so that the rows of a series are written when the next one begins, and
    memory does not grow with the number of series. Only a test on several devices, which share each batch, holds all
    forecasts until its end.

    Attributes:
        path: the file that was written; None before, and in a trial run (`fast_dev_run`), which leaves nothing.
        kept: where the forecast before it is kept; None if there was none, or the same.
        written: what was written; None before.
        series: names of the series whose rows stay in `written.table` of a large table; None for the first ones.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self.kept: Path | None = None
        self.written: WrittenTable | None = None
        self.series: Sequence[str] | None = None
        self._folder = Path()
        self._waiting: list[Prediction] = []
        """Forecasts by origin that are not written yet."""

    @property
    def table(self) -> pd.DataFrame | None:
        """What was written, or of a large table the rows of some series; None before."""
        return None if self.written is None else self.written.table

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(trainer)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        self._add(outputs)
        if trainer.world_size == 1:
            self._write_complete(trainer, pl_module, scored_only=True)

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        if trainer.is_global_zero:  # every device forecasts all series
            self._add(outputs)
            self._write_complete(trainer, pl_module, scored_only=False)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.world_size > 1:
            gathered: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(gathered, self._waiting)
            self._waiting = [part for rank in gathered for part in rank]
        if written := self._whole(trainer, pl_module, scored_only=True):
            self.path = self._folder / PREDICTIONS
            with written.content() as content, whole(self.path) as file:
                shutil.copyfileobj(content, file)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the forecasts before any callback draws them (`on_predict_end`): the former figure makes room."""
        if written := self._whole(trainer, pl_module, scored_only=False):
            with written.content() as content:
                self.path, self.kept = write_forecast(self._folder, content)

    def _begin(self, trainer: Trainer) -> None:
        self._waiting = []
        self._folder = folder_of(trainer)  # asks all devices: so all of them must
        self.written = WrittenTable(self._folder, self.series)

    def _add(self, prediction: Prediction) -> None:
        self._waiting.append(Prediction(*(part.cpu() for part in by_origin(prediction))))

    def _write_complete(self, trainer: Trainer, pl_module: LightningModule, scored_only: bool) -> None:
        """Writes the series behind which others have begun, if many forecasts wait."""
        first, last = int(self._waiting[0].series[0]), int(self._waiting[-1].series[-1])
        if first == last or sum(part.forecast.numel() for part in self._waiting) < _MOST_WAITING:
            return
        found = Prediction(*map(torch.cat, zip(*self._waiting, strict=True)))
        complete = found.series != last
        self._waiting = [Prediction(*(part[~complete] for part in found))]
        self._write(trainer, pl_module, Prediction(*(part[complete] for part in found)), scored_only)

    def _whole(self, trainer: Trainer, pl_module: LightningModule, scored_only: bool) -> "WrittenTable | None":
        """Writes what is left; the table of all devices, on the first one and if it is to be kept."""
        parts, self._waiting = self._waiting, []
        if not trainer.is_global_zero:
            self.written = None
            return None
        self._write(trainer, pl_module, Prediction(*map(torch.cat, zip(*parts, strict=True))), scored_only)
        return None if trainer.fast_dev_run else self.written  # type: ignore[attr-defined]  # Lightning sets it elsewhere

    def _write(self, trainer: Trainer, pl_module: LightningModule, found: Prediction, scored_only: bool) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        table = predictions_table(
            data.panel.names, data.panel.labels, data.targets, cast(tuple[float, ...], pl_module.levels), found
        )
        assert self.written is not None
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
            self._folder.mkdir(parents=True, exist_ok=True)
        self.written.add(table[table["y"].notna()] if scored_only else table)


class WrittenTable:
    """A table as the text of a CSV file, put together from pieces: the same text as that of all rows at once.

    Args:
        folder: where a large text waits, in a file without a name.
        series: names of the series whose rows stay in memory, of a table of many rows; None for the first ones.

    Attributes:
        rows: number of rows.
        among: number of series.
    """

    def __init__(self, folder: Path, series: Sequence[str] | None = None) -> None:
        self.rows = 0
        self.among = 0
        self._series = series
        self._folder = folder
        self._text: BinaryIO = BytesIO()
        self._waiting: list[pd.DataFrame] = []
        self._kept: list[pd.DataFrame] = []

    def add(self, piece: pd.DataFrame) -> None:
        """Goes on with the rows of further series."""
        self.rows += len(piece)
        self.among += piece["unique_id"].nunique()
        self._keep(piece)
        self._waiting.append(piece)
        at_once = _CELLS // len(piece.columns)
        waiting = sum(map(len, self._waiting))
        if waiting >= at_once:
            together = pd.concat(self._waiting, ignore_index=True)
            stop = waiting - waiting % at_once
            self._put(together[:stop])
            self._waiting = [together[stop:]]

    @property
    def table(self) -> pd.DataFrame:
        """All rows, or of many those of some series."""
        return pd.concat(self._kept, ignore_index=True) if len(self._kept) > 1 else self._kept[0]

    def content(self) -> BinaryIO:
        """The text, from its beginning; no rows follow."""
        self._put(pd.concat(self._waiting, ignore_index=True))
        self._waiting = []
        self._text.seek(0)
        return self._text

    def _put(self, rows: pd.DataFrame) -> None:
        self._text.write(rows.to_csv(index=False, header=not self._text.tell()).encode())
        if isinstance(self._text, BytesIO) and self._text.tell() > _IN_MEMORY:
            file = cast(BinaryIO, tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115  # whoever reads it ends it
            file.write(self._text.getbuffer())
            self._text = file

    def _keep(self, piece: pd.DataFrame) -> None:
        self._kept.append(piece)
        if self.rows > _KEPT:
            table = self.table
            if self._series is None:
                self._series = table["unique_id"].drop_duplicates().tolist()[:MOST]
            self._kept = [table[table["unique_id"].isin(self._series)]]


def by_origin(prediction: Prediction) -> Prediction:
    """The forecasts of a batch with one origin in each row: batches may differ in their origins."""
    flat = [part.flatten(0, 1).unsqueeze(1) for part in prediction[1:]]
    return Prediction(prediction.series.repeat_interleave(prediction.index.shape[1]), *flat)


def write_forecast(folder: Path, content: BinaryIO) -> tuple[Path, Path | None]:
    """Writes a forecast beyond the data into the folder of a run.

    Where no test has written predictions.csv, a link of this name leads to it: that is where it was in version 0.1.

    Args:
        folder: the folder.
        content: the text of the table.

    Returns:
        The file, and where the forecast before it is kept: None if there was none, or the same.
    """
    path = folder / FORECAST
    kept = write_newest(path, content, (path.with_suffix(".png"),))
    with contextlib.suppress(OSError):  # there is such a file already, or links are not possible
        (folder / PREDICTIONS).symlink_to(FORECAST)
    return path, kept
