"""Where the files of a command are, as the user would type it."""

from pathlib import Path

from lightning.pytorch import Trainer

from forecastlab.training.callbacks import ForecastFigure, PredictionWriter
from forecastlab.training.callbacks.predictions import FORECAST


def relative(path: Path) -> Path:
    """The path as the user would type it."""
    path = path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def say_where(trainer: Trainer) -> None:
    """Says where a test or a forecast has put its predictions, and their figure."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        if isinstance(callback, PredictionWriter | ForecastFigure) and callback.path is not None:
            name = "figure"
            if isinstance(callback, PredictionWriter):
                name = "forecast" if callback.path.name == FORECAST else "predictions"
            print(f"{name:<11} {relative(callback.path)}")
            if isinstance(callback, PredictionWriter) and callback.kept is not None:
                print(f"before it   {relative(callback.kept)}")
