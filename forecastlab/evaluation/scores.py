"""Scores of forecasts, whoever made them: the metrics, and the rows, of a network's test."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from forecastlab.baselines.base import Baseline, BatchBaseline
from forecastlab.batch import Batch, Prediction, Reference
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.predictions import predictions_table
from forecastlab.errors import DataError
from forecastlab.metrics import ForecastMetrics


class Evaluation(NamedTuple):
    """What a test of a baseline gives."""

    metrics: dict[str, float]
    """`test/mse_scaled`, `test/mae` and the others of `ForecastMetrics`."""
    predictions: pd.DataFrame
    """One row per scored value, with the columns of `predictions.csv`."""


def score(
    forecast: NDArray[np.floating] | Tensor,
    target: Tensor,
    weight: Tensor,
    last: Tensor,
    reference: Reference,
    series: Tensor | None = None,
    targets: Sequence[str] | None = None,
) -> dict[str, float]:
    """The metrics of `Forecaster.test_step`, for forecasts that no network made.

    Args:
        forecast: (batch, ..., horizon, targets), in original units.
        target: the truth, of the same shape.
        weight: of the same shape; 0 where a value is not scored.
        last: (batch, ..., targets): the target's own value at the origin.
        reference: units of the scaled metrics, `data.reference`.
        series: (batch,), integer: row of the reference; None for the first.
        targets: names of the targets; None for their numbers.

    Raises:
        DataError: if no value is scored.
    """
    if not (weight > 0).any():
        raise DataError("there is nothing to score: every target is missing or lies outside the test range")
    metrics = ForecastMetrics(reference, targets=targets)
    if series is None:
        series = torch.zeros(len(target), dtype=torch.int64, device=target.device)
    metrics.update(torch.as_tensor(forecast).to(target.device), target, weight, last, series)
    return {name: float(value) for name, value in metrics.compute().items()}


def evaluate(baseline: Baseline, data: ForecastDataModule) -> Evaluation:
    """Fits a baseline on the training rows of a fold and scores it on the rows on which the networks are scored.

    Each series of a panel is fitted by itself, unless the baseline is pooled.

    Raises:
        ConfigError: if the fold has nothing to test on, or too few rows to fit.
        DataError: if no value can be fitted.
    """
    parts = list(_forecasts(baseline, data))
    found = Prediction(*map(torch.cat, zip(*(part for part, _ in parts), strict=True)))
    last = torch.cat([last for _, last in parts])
    metrics = score(found.forecast, found.target, found.weight, last, data.reference, found.series, data.targets)
    shown = found._replace(forecast=found.forecast.to(found.target))
    table = predictions_table(data.panel.names, data.panel.labels, data.targets, (), shown)
    return Evaluation(metrics, table[table["y"].notna()])


def metrics_of(baseline: Baseline, data: ForecastDataModule) -> dict[str, float]:
    """The metrics of `evaluate`, without a table: no forecast of a large panel is kept.

    Raises:
        ConfigError: as `evaluate`.
        DataError: likewise.
    """
    metrics = ForecastMetrics(data.reference, targets=data.targets)
    for part, last in _forecasts(baseline, data):
        metrics.update(part.forecast, part.target, part.weight, last, part.series)
    return {name: float(value) for name, value in metrics.compute().items()}


def _forecasts(baseline: Baseline, data: ForecastDataModule) -> Iterator[tuple[Prediction, Tensor]]:
    """Forecasts from the test origins, each a sample of one origin, and the last values before them."""
    data.setup("test")
    if isinstance(baseline, BatchBaseline) and len(data.tables) > 1:
        for batch in data.test_dataloader():
            yield _forecast_batch(baseline, data, batch)
        return
    views = data.views()
    for number, fitted in baseline.fit_panel(data):
        yield _forecast_view(fitted, views[number], number, int(data.rows.first[number]))


def _forecast_batch(baseline: BatchBaseline, data: ForecastDataModule, batch: Batch) -> tuple[Prediction, Tensor]:
    """As `_forecast_view`, of a batch of any series."""
    own = torch.ones(batch.index.shape, dtype=torch.bool)
    own[:, 1:] = batch.index.diff() > 0  # padding repeats the last origin
    index, forecast, target, weight, last = (
        part[own].unsqueeze(1)
        for part in (batch.index, baseline.forecast_batch(data, batch), batch.target, batch.weight, batch.last)
    )
    series = batch.series[:, None].expand(-1, own.shape[1])[own]
    return Prediction(series, index, forecast, target, weight, torch.empty(*target.shape, 0)), last


def _forecast_view(baseline: Baseline, view: ForecastDataModule, number: int, first: int) -> tuple[Prediction, Tensor]:
    """Forecasts of one series from its test origins, each a sample of one origin, and the last values before them.

    Args:
        baseline: what is fitted on it.
        view: the series.
        number: its number in the panel.
        first: its first row on the panel's axis.
    """
    batches: list[Batch] = list(view.test_dataloader())
    index, last, target, weight = (
        torch.cat([getattr(batch, field).flatten(0, 1) for batch in batches]).unsqueeze(1)
        for field in ("index", "last", "target", "weight")
    )
    earliest = int(index.min())
    forecast = torch.as_tensor(baseline.forecast(view, range(earliest, int(index.max()) + 1)))
    series = torch.full((len(index),), number)
    quantiles = torch.empty(*target.shape, 0)
    return Prediction(series, index + first, forecast[index - earliest], target, weight, quantiles), last
