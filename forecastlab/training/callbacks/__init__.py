"""What Lightning lacks: lean and whole checkpoints, exact resume, a folder and log per run, predictions as a table."""

from forecastlab.training.callbacks.checkpoint_io import AtomicCheckpointIO
from forecastlab.training.callbacks.checkpoints import Checkpoints
from forecastlab.training.callbacks.early_stopping import EarlyStopping
from forecastlab.training.callbacks.epoch_line import EpochLine
from forecastlab.training.callbacks.forecast_figure import ForecastFigure
from forecastlab.training.callbacks.given_settings import GivenSettings
from forecastlab.training.callbacks.predictions import PredictionWriter
from forecastlab.training.callbacks.pruning import Pruning
from forecastlab.training.callbacks.random_state import RandomState
from forecastlab.training.callbacks.refit import Refit
from forecastlab.training.callbacks.run_folder import RunFolder
from forecastlab.training.callbacks.run_logger import RunLogger
from forecastlab.training.callbacks.seen_rows import SeenRows
from forecastlab.training.callbacks.stop_signals import StopSignals
from forecastlab.training.callbacks.training_curves import TrainingCurves

__all__ = [
    "AtomicCheckpointIO",
    "Checkpoints",
    "EarlyStopping",
    "EpochLine",
    "ForecastFigure",
    "GivenSettings",
    "PredictionWriter",
    "Pruning",
    "RandomState",
    "Refit",
    "RunFolder",
    "RunLogger",
    "SeenRows",
    "StopSignals",
    "TrainingCurves",
]
