"""Pictures of what `fit`, `test` and `predict` forecast."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from torch import nn

from forecastlab.batch import Batch, Prediction
from forecastlab.data.predictions import predictions_table
from forecastlab.figures.drawing import pixels, png
from forecastlab.network.network import Network
from forecastlab.runs.files import write_whole
from forecastlab.training.callbacks.checkpoints import Checkpoints
from forecastlab.training.callbacks.predictions import PredictionWriter, by_origin
from forecastlab.training.callbacks.run_folder import folder_of, named_folder
from forecastlab.training.forecast_panels import MOST, forecast_figure, require_series

VALIDATION = "validation.png"
"""The forecasts of the validation range, with the best weights."""


OPTION = "--series NAME ..."
"""What chooses the series of a picture on the command line."""


class ForecastFigure(Callback):
    """Draws forecasts beside the truth (`forecast_figure`), as a file and in TensorBoard.

    After `fit` the picture shows the validation range with the best weights: `validation.png` in the run's folder.
    After `test` and `predict` it shows what a `PredictionWriter` among the callbacks has written, and lies beside it:
    `predictions.png` or `forecast.png`. TensorBoard has the first two as `forecast/validation` and `forecast/test`.

    Args:
        series: names of the series that are drawn after `test` and `predict`; None for the first six.

    Attributes:
        path: the file that was written last; None before.
    """

    def __init__(self, series: Sequence[str] | None = None) -> None:
        self.series = series
        self.path: Path | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Checks the names of the series before anything is forecast.

        Raises:
            ConfigError: for a series that is not in the data.
        """
        data = getattr(trainer, "datamodule", None)
        if data is not None and self.series is not None:
            require_series(self.series, data.panel.names)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
            if isinstance(callback, PredictionWriter):
                callback.series = self.series

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        kept = named_folder(trainer) is not None or _boards(trainer)
        if not kept or trainer.world_size > 1 or getattr(trainer, "datamodule", None) is None:
            return
        if not trainer.enable_validation:  # of a run that had ended, a resume validates nothing, but it could
            return
        figure = self._validation(trainer, cast(Network, pl_module))
        with suppress(OSError):  # the disk is full: the checkpoints, which are written after it, say so
            self._show(trainer, figure, folder_of(trainer) / VALIDATION, "validation")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw_written(trainer, "test")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw_written(trainer, None)

    def _validation(self, trainer: Trainer, network: Network) -> Figure:
        """The figure of the validation range, with the best weights; the network keeps those that it has."""
        checkpoints = trainer.checkpoint_callback
        best = (checkpoints.best_weights if isinstance(checkpoints, Checkpoints) else None) or {}
        # those of a resumed run are on the CPU
        weights = {f"network.{name}": value.to(network.device) for name, value in best.items()}
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        windows = data.val_dataloader().dataset
        numbers = windows.series.unique_consecutive()
        with network.evaluating():
            parts = [
                by_origin(torch.func.functional_call(_Predicting(network), weights, (batch,)))
                for batch in network.batches(windows.of(numbers[:MOST]))
            ]
        found = Prediction(*(torch.cat(part).cpu() for part in zip(*parts, strict=True)))
        table = predictions_table(data.panel.names, data.panel.labels, data.targets, network.levels, found)
        return forecast_figure(data.panel, table, among=len(numbers), choice=f"test and predict take {OPTION}")

    def _draw_written(self, trainer: Trainer, name: str | None) -> None:
        """Draws what was written, if anything was."""
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
            if isinstance(callback, PredictionWriter) and callback.path is not None and callback.written is not None:
                panel = trainer.datamodule.panel  # type: ignore[attr-defined]  # Lightning sets it elsewhere
                written, choice = callback.written, f"{OPTION} chooses others"
                figure = forecast_figure(panel, written.table, series=self.series, among=written.among, choice=choice)
                self._show(trainer, figure, callback.path.with_suffix(".png"), name)

    def _show(self, trainer: Trainer, figure: Figure, path: Path, name: str | None) -> None:
        """Writes a picture, and shows it in TensorBoard if it has a name there."""
        picture = png(figure)
        write_whole(path, picture)
        self.path = path
        for logger in _boards(trainer) if name else ():
            step = getattr(logger, "evaluated_step", None)
            step = trainer.global_step if step is None else step
            logger.experiment.add_image(f"forecast/{name}", pixels(picture), step, dataformats="HWC")


class _Predicting(nn.Module):
    """A network whose `forward` gives whole predictions, to be called with other weights."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> Prediction:
        return self.network.predict(batch)


def _boards(trainer: Trainer) -> list[TensorBoardLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
