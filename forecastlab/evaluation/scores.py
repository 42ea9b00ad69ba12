"""Scores of forecasts, whoever made them: the metrics, and the rows, of a network's test."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from forecastlab.baselines.base import Baseline
from forecastlab.batch import Batch, Reference, Schema
from forecastlab.callbacks.predictions import predictions_table
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import DataError
from forecastlab.metrics import ForecastMetrics


class Evaluation(NamedTuple):
    """What a test of a baseline gives."""

    metrics: dict[str, float]
    """`test/mse_scaled`, `test/mae`, `test/rmse`, `test/mase`, `test/skill`."""
    predictions: pd.DataFrame
    """One row per scored value, with the columns of `predictions.csv`."""


def score(
    forecast: NDArray[np.floating] | Tensor, target: Tensor, weight: Tensor, last: Tensor, reference: Reference
) -> dict[str, float]:
    """The metrics of `Forecaster.test_step`, for forecasts that no network made.

    Args:
        forecast: (..., horizon, targets), in original units.
        target: the truth, of the same shape.
        weight: of the same shape; 0 where a value is not scored.
        last: (..., targets): the target's own value at the origin.
        reference: units of the scaled metrics, `data.reference`.

    Raises:
        DataError: if no value is scored.
    """
    if not (weight > 0).any():
        raise DataError("there is nothing to score: every target is missing or lies outside the test range")
    metrics = ForecastMetrics(reference)
    metrics.update(torch.as_tensor(forecast).to(target), target, weight, last)
    return {name: float(value) for name, value in metrics.compute().items()}


def evaluate(baseline: Baseline, data: ForecastDataModule) -> Evaluation:
    """Fits a baseline on the training rows of a fold and scores it on the rows on which the networks are scored.

    Raises:
        ConfigError: if the fold has nothing to test on, or too few rows to fit.
        DataError: if no value can be fitted.
    """
    data.setup("test")
    batches: list[Batch] = list(data.test_dataloader())
    index, last, target, weight = (
        torch.cat([getattr(batch, field).flatten(0, 1) for batch in batches])
        for field in ("index", "last", "target", "weight")
    )
    baseline.fit(data)
    first = int(index.min())
    forecast = baseline.forecast(data, range(first, int(index.max()) + 1))[(index - first).numpy()]
    metrics = score(forecast, target, weight, last, data.reference)
    table = predictions_table(
        data.times,
        data.table.name,
        Schema.from_dict(data.schema),
        index.numpy(),
        torch.as_tensor(forecast).to(target).numpy(),
        target.numpy(),
        weight.numpy(),
    )
    return Evaluation(metrics, table[table["y"].notna()])
