"""Errors in percent."""

import torch
from torch import Tensor
from torchmetrics import Metric

from forecastlab.metrics.mean import MeanMetric


def percentage_error(preds: Tensor, target: Tensor) -> Tensor:
    """100 * |forecast - truth| / |truth| of each value, float64; 0 / 0 is 0, other divisions by 0 are infinite."""
    return 100 * share((preds.double() - target).abs(), target.double().abs())


def symmetric_percentage_error(preds: Tensor, target: Tensor) -> Tensor:
    """200 * |forecast - truth| / (|forecast| + |truth|) of each value, float64, from 0 to 200."""
    return 200 * share((preds.double() - target).abs(), preds.double().abs() + target.abs())


class PercentageError(MeanMetric):
    """MAPE: mean of 100 * |forecast - truth| / |truth|, in percent.

    A truth of 0 has the error 0 if the forecast is exact; otherwise the metric is infinite. torchmetrics' metric gives
    a number that depends on its guard instead.
    """

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds forecasts and truth of one shape."""
        self._add(percentage_error(preds, target))


class SymmetricPercentageError(MeanMetric):
    """sMAPE: mean of 200 * |forecast - truth| / (|forecast| + |truth|), in percent, from 0 to 200.

    An exact forecast of 0 has the error 0. Source: Makridakis and Hibon 2000 (the M3 competition).
    """

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds forecasts and truth of one shape."""
        self._add(symmetric_percentage_error(preds, target))


class WeightedPercentageError(Metric):
    """WAPE: 100 * sum of |forecast - truth| / sum of |truth|, in percent.

    If every truth is 0, it is 0 for exact forecasts and infinite otherwise.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    error: Tensor
    size: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("error", "size"):
            self.add_state(name, torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds forecasts and truth of one shape."""
        self.error += (preds.double() - target).abs().sum()
        self.size += target.double().abs().sum()

    def compute(self) -> Tensor:
        """The metric over all values so far, float64."""
        return 100 * share(self.error, self.size)


def share(error: Tensor, size: Tensor) -> Tensor:
    """Errors divided by sizes; 0 / 0 is 0."""
    return (error / size).masked_fill(error == 0, 0)
