"""Forecast against truth as a figure in TensorBoard."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure

from forecastlab.batch import Prediction
from forecastlab.data.panel import Panel
from forecastlab.metrics import central_interval
from forecastlab.runs.files import write_whole
from forecastlab.training.callbacks.checkpoints import Checkpoints
from forecastlab.training.callbacks.predictions import FIGURE
from forecastlab.training.callbacks.run_folder import folder_of, named_folder


class ForecastFigure(Callback):
    """Draws the first step's forecast and the truth over time.

    The figures are `forecast/validation` (after `fit`, with the best weights) and `forecast/test` (after `test`) in
    TensorBoard, of the first series. After `predict`, forecast.png in the run folder shows every step.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self._parts: list[Prediction] = []

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
                nothing = batch.target.new_empty(*batch.target.shape, 0)
                parts.append(Prediction(batch.series, batch.index, forecast, batch.target, batch.weight, nothing))
        pl_module.train(training)
        self._draw(trainer, pl_module, "validation", parts)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._parts.clear()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._parts.clear()

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        if _draws(trainer):
            self._parts.append(Prediction(*(part.cpu() for part in outputs)))

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        trial = trainer.fast_dev_run  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        if _draws(trainer) or (_sees_everything(trainer) and named_folder(trainer) is not None and not trial):
            self._parts.append(Prediction(*(part.cpu() for part in outputs)))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        parts, self._parts = self._parts, []
        if parts:
            self._draw(trainer, pl_module, "test", parts)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        parts, self._parts = self._parts, []
        if parts:
            data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it elsewhere
            found = Prediction(*(torch.cat(part) for part in zip(*parts, strict=True)))
            figure = ahead_figure(data.panel, data.targets[0], cast(tuple[float, ...], pl_module.levels), found)
            drawn = io.BytesIO()
            figure.savefig(drawn)
            self.path = folder_of(trainer) / FIGURE
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, drawn.getvalue())

    def _draw(self, trainer: Trainer, pl_module: LightningModule, name: str, parts: Sequence[Prediction]) -> None:
        """Draws the forecasts of the first series."""
        first = min(int(part.series.min()) for part in parts)
        chosen = [[values[part.series == first].flatten(0, 1) for values in part[1:5]] for part in parts]
        index, forecast, target, weight = (torch.cat(values).cpu().numpy() for values in zip(*chosen, strict=True))
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        index, order = np.unique(index, return_index=True)
        truth = np.where(weight[order, 0, 0] > 0, target[order, 0, 0], np.nan)
        label = data.targets[0] if len(data.tables) == 1 else f"{data.tables[first].name}: {data.targets[0]}"
        figure = forecast_figure(data.panel.labels[index + 1], truth, forecast[order, 0, 0], label)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                step = getattr(logger, "evaluated_step", None)
                step = trainer.global_step if step is None else step
                logger.experiment.add_figure(f"forecast/{name}", figure, step)


def _draws(trainer: Trainer) -> bool:
    """Whether there is a board for a figure, and one device that sees its whole range."""
    return _sees_everything(trainer) and any(isinstance(logger, TensorBoardLogger) for logger in trainer.loggers)


def _sees_everything(trainer: Trainer) -> bool:
    return getattr(trainer, "datamodule", None) is not None and trainer.world_size == 1


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
    _finish(axes, target)
    return figure


def ahead_figure(panel: Panel, target: str, levels: Sequence[float], found: Prediction, most: int = 6) -> Figure:
    """The forecasts beyond the end of each series after its last rows, with the widest interval.

    Args:
        panel: the series.
        target: name of the target, the first of `found`.
        levels: probability levels of the quantiles.
        found: one origin per series.
        most: number of series drawn, from the first.
    """
    horizon = found.forecast.shape[2]
    series = found.series[:most].tolist()
    figure = Figure(figsize=(6.5, 3 * len(series)), dpi=200, layout="constrained")
    for position, number in enumerate(series):
        axes = figure.add_subplot(len(series), 1, position + 1)
        table, origin = panel.tables[number], int(found.index[position, -1])
        shown = table.values[target].where(table.observed[target]).iloc[-max(4 * horizon, 30) :]
        axes.plot(shown.index, shown, color="0.25", linewidth=1, label="observed", marker=".", markersize=2)
        times, last = panel.times[origin : origin + 1 + horizon], shown.iloc[-1]  # a single step would be a dot
        forecast = [last, *found.forecast[position, -1, :, 0].tolist()]
        axes.plot(
            times, forecast, color="tab:orange", linewidth=1, label="forecast", marker=".", markersize=2, zorder=1.9
        )
        if (pair := central_interval(levels)) is not None:
            low, high = ([last, *found.quantiles[position, -1, :, 0, level].tolist()] for level in pair)
            share = f"{100 * (levels[pair[1]] - levels[pair[0]]):g} % interval"
            axes.fill_between(times, low, high, color="tab:orange", alpha=0.2, linewidth=0, label=share)
        _finish(axes, target if len(panel.tables) == 1 else f"{table.name}: {target}")
    return figure


def _finish(axes: Axes, label: str) -> None:
    axes.set_ylabel(label, parse_math=False)  # a name may hold dollars
    axes.margins(x=0.01)
    dates = ConciseDateFormatter(axes.xaxis.get_major_locator())  # type: ignore[no-untyped-call]  # it has no types
    axes.xaxis.set_major_formatter(dates)
    axes.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
