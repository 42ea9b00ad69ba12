"""What Lightning lacks: lean and whole checkpoints, exact resume, a folder and log per run, predictions as a table."""

from forecastlab.callbacks.checkpoint_io import AtomicCheckpointIO
from forecastlab.callbacks.checkpoints import Checkpoints
from forecastlab.callbacks.early_stopping import EarlyStopping
from forecastlab.callbacks.forecast_figure import ForecastFigure
from forecastlab.callbacks.given_settings import GivenSettings
from forecastlab.callbacks.predictions import PredictionWriter
from forecastlab.callbacks.pruning import Pruning
from forecastlab.callbacks.random_state import RandomState
from forecastlab.callbacks.refit import Refit
from forecastlab.callbacks.run_folder import RunFolder
from forecastlab.callbacks.run_logger import RunLogger
from forecastlab.callbacks.seen_rows import SeenRows
from forecastlab.callbacks.stop_signals import StopSignals
from forecastlab.callbacks.training_curves import TrainingCurves

__all__ = [
    "AtomicCheckpointIO",
    "Checkpoints",
    "EarlyStopping",
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
