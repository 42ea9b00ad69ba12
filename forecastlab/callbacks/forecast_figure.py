"""Forecast against truth as a figure in TensorBoard."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure

from forecastlab.callbacks.checkpoints import Checkpoints


class ForecastFigure(Callback):
    """Draws the first step's forecast and the truth over time.

    The figures are `forecast/validation` (after `fit`, with the best weights) and `forecast/test` (after `test`) in
    TensorBoard.
    """

    def __init__(self) -> None:
        self._parts: list[Any] = []

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not _draws(trainer):
            return
        checkpoints = trainer.checkpoint_callback
        best = (checkpoints.best_weights if isinstance(checkpoints, Checkpoints) else None) or {}
        weights = {name: value.to(pl_module.device) for name, value in best.items()}  # a resumed run holds them on CPU
        training = pl_module.training
        pl_module.eval()
        parts = []
        with torch.no_grad():
            for batch in trainer.datamodule.val_dataloader():  # type: ignore[attr-defined]  # Lightning sets it elsewhere
                batch = trainer.strategy.batch_to_device(batch)
                forecast = torch.func.functional_call(pl_module, weights, (batch,))
                parts.append((batch.series, batch.index, forecast, batch.target, batch.weight))
        pl_module.train(training)
        self._draw(trainer, pl_module, "validation", parts)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._parts.clear()

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        if _draws(trainer):
            self._parts.append([part.cpu() for part in outputs])

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        parts, self._parts = self._parts, []
        if parts:
            self._draw(trainer, pl_module, "test", parts)

    def _draw(self, trainer: Trainer, pl_module: LightningModule, name: str, parts: Sequence[Any]) -> None:
        index, forecast, target, weight = (
            torch.cat([part[number].flatten(0, 1) for part in parts]).cpu().numpy() for number in range(1, 5)
        )
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        order = np.argsort(index)
        truth = np.where(weight[order, 0, 0] > 0, target[order, 0, 0], np.nan)
        figure = forecast_figure(data.times[index[order] + 1], truth, forecast[order, 0, 0], data.targets[0])
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                step = getattr(logger, "evaluated_step", None)
                step = trainer.global_step if step is None else step
                logger.experiment.add_figure(f"forecast/{name}", figure, step)


def _draws(trainer: Trainer) -> bool:
    """Whether there is a place for a figure, and one device that sees its whole range."""
    board = any(isinstance(logger, TensorBoardLogger) for logger in trainer.loggers)
    return board and getattr(trainer, "datamodule", None) is not None and trainer.world_size == 1


def forecast_figure(times: Any, truth: Any, forecast: Any, target: str) -> Figure:
    """Truth and one-step forecast over time.

    Args:
        times: (values,): the times of the values.
        truth: (values,): NaN where it is unknown.
        forecast: (values,), in the unit of `truth`.
        target: name of the target.
    """
    figure = Figure(figsize=(6.5, 3), dpi=200, layout="constrained")  # small, so that it can be read in a row of three
    axes = figure.add_subplot()
    axes.plot(times, truth, color="0.25", linewidth=1, label="observed")
    axes.plot(times, forecast, color="tab:orange", linewidth=1, label="forecast")
    axes.set_ylabel(target)
    axes.margins(x=0.01)
    dates = ConciseDateFormatter(axes.xaxis.get_major_locator())  # type: ignore[no-untyped-call]  # it has no types
    axes.xaxis.set_major_formatter(dates)
    axes.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    return figure
