"""What a command says when it has ended: what came out, where it is, and how to go on."""

import os
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, Timer

from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.levels import beyond_training
from forecastlab.errors import as_typed
from forecastlab.metrics import ForecastMetrics, Part
from forecastlab.runs.files import write_whole
from forecastlab.runs.run import Run
from forecastlab.training.callbacks import Checkpoints, ForecastFigure, PredictionWriter
from forecastlab.training.callbacks.predictions import FORECAST
from forecastlab.training.forecaster import Forecaster

MOST = 40
"""Rows of a table that are printed."""
MANY = 0.2
"""Share of the tested values at new levels from which that is said."""


def relative(path: Path) -> Path:
    """The path as the user would type it."""
    path = path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def tell_fit(trainer: Trainer, data: ForecastDataModule, run: Run) -> None:
    """Says what a training came to, and how to test it."""
    checkpoints = trainer.checkpoint_callback
    if not isinstance(checkpoints, Checkpoints) or not trainer.is_global_zero:
        return
    if checkpoints.best_epoch < 0:
        print("no epoch was trained and validated: there is no best one")
        return
    test = f"\ntest it    forecastlab test --ckpt_path {as_typed(relative(Path(checkpoints.best_model_path)))}"
    if data.fold == "all":
        test = ""  # no row is left
    print(
        f"best {checkpoints.monitor} {checkpoints.best_score:.4f} in epoch {checkpoints.best_epoch}; "
        f"{why_it_ended(trainer)}\n"
        f"run        {relative(run.folder)}{test}"
    )
    if trainer.loggers:
        print(f"curves     tensorboard --logdir {as_typed(relative(run.root))}")
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        if isinstance(callback, ForecastFigure) and callback.path is not None:
            print(f"figure     {relative(callback.path)}")


def why_it_ended(trainer: Trainer) -> str:
    """Why a training that has ended did so."""
    epochs = f"{trainer.current_epoch} epoch" + ("" if trainer.current_epoch == 1 else "s")
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        if isinstance(callback, EarlyStopping) and 0 < callback.patience <= callback.wait_count:
            checks = "epochs" if trainer.check_val_every_n_epoch == 1 else "validations"
            waited = f"{callback.wait_count} {checks}"
            return f"stopped early after {epochs}: {waited} without improvement of {callback.monitor}"
        if isinstance(callback, EarlyStopping) and callback.stopping_reason_message:
            return f"stopped early after {epochs}: {callback.stopping_reason_message}"
        if isinstance(callback, Timer) and (callback.time_remaining() or 0.0) <= 0:
            return f"stopped after {epochs}: the time of trainer.max_time is over"
    if 0 <= trainer.max_steps <= trainer.global_step:
        return f"ended after {epochs}: all {trainer.max_steps} steps of trainer.max_steps are done"
    if trainer.max_epochs == trainer.current_epoch:
        return f"ended after {epochs}: as many as trainer.max_epochs allows"
    return f"stopped after {epochs}"


def tell_test(trainer: Trainer, model: Forecaster, data: ForecastDataModule, by: Part | None) -> None:
    """Says what a test scored, and where its predictions are.

    Args:
        trainer: that ran the test.
        model: what was tested.
        data: what it was tested on.
        by: the parts whose figures are given too; None for none.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        if isinstance(callback, PredictionWriter) and callback.path is not None and callback.written is not None:
            tell_scores(model.metrics, data.panel.names, callback.written.rows, by, callback.path.parent)
            for note in _new_levels(model, data):
                print(f"note        {note}")
    _tell_places(trainer)


def _new_levels(model: Forecaster, data: ForecastDataModule) -> list[str]:
    """Names the targets whose test has levels that did not train a network that learns levels, and the remedy."""
    if model.anchor is not None:
        return []
    remedy = "--model.anchor last" + ("" if data.lookback == "full" else " --model.window_norm last")
    return [
        f"{share:.0%} of the tested values of {name} lie beyond all levels that trained the network, which learns "
        f"levels by heart: train it with {remedy}, so that it forecasts changes"
        for name, share in beyond_training(data.rows, data.folds, data.targets).items()
        if share >= MANY
    ]


def tell_forecast(trainer: Trainer, data: ForecastDataModule) -> None:
    """Says which series are not forecast, and where the forecasts of the others are."""
    if trainer.is_global_zero:
        for sentence in data.without_forecast():
            print(f"note        {sentence}")
    _tell_places(trainer)


def tell_scores(metrics: ForecastMetrics, names: list[str], values: int, by: Part | None, folder: Path) -> None:
    """Says how many series and values were scored, what the figures leave out, and the figures of parts.

    Args:
        metrics: of the test, computed.
        names: the series' names.
        values: how many values were scored.
        by: what the parts are; None for none. They are written to `test_by_<part>.csv` too.
        folder: the run's folder.
    """
    series = f" of {metrics.scored_series} of {len(names)} series" if len(names) > 1 else ""
    print(f"scored      {values} values{series}")
    for note in metrics.notes(names):
        print(f"note        {note}")
    if by is None:
        return
    table = metrics.by(by, names)
    path = folder / f"test_by_{by}.csv"
    write_whole(path, table.to_csv(index=False))
    print(table.head(MOST).to_string(index=False, na_rep="", float_format="{:.4g}".format))
    if len(table) > MOST:
        print(f"and {len(table) - MOST} more rows")
    print(f"by {by:<8} {os.path.relpath(path)}")


def _tell_places(trainer: Trainer) -> None:
    """Says where a test or a forecast has put its predictions, and their figure."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        if isinstance(callback, PredictionWriter | ForecastFigure) and callback.path is not None:
            name = "figure"
            if isinstance(callback, PredictionWriter):
                name = "forecast" if callback.path.name == FORECAST else "predictions"
            print(f"{name:<11} {relative(callback.path)}")
            if isinstance(callback, PredictionWriter) and callback.kept is not None:
                print(f"before it   {relative(callback.kept)}")
