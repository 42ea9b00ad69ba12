"""Errors relative to those of another forecast, on the training rows or the same rows."""

import torch
from torch import Tensor
from torchmetrics import Metric

from forecastlab.metrics.mean import MeanMetric


class MeanAbsoluteScaledError(MeanMetric):
    """MASE: the mean absolute error divided by that of the seasonal naive forecast on the training rows.

    Below 1 the error is smaller than that of the seasonal naive forecast on the training rows. If the training rows are
    constant, the naive error is 0 and the metric is infinite. Source: Hyndman and Koehler 2006.
    """

    def update(self, preds: Tensor, target: Tensor, seasonal_error: Tensor) -> None:
        """Adds forecasts and truth in the same unit, and the seasonal naive error for each, all of one shape."""
        self._add(_in_units((preds.double() - target).abs(), seasonal_error))


class RootMeanSquaredScaledError(MeanMetric):
    """RMSSE: root of the mean squared error divided by that of the seasonal naive forecast on the training rows.

    Each squared error is scaled by its own series. The root of their mean is taken last. For the mean over series of
    the M5 competition, take the root of each series, as `ForecastMetrics` does. If the training rows are constant, the
    metric is infinite. Source: Makridakis, Spiliotis and Assimakopoulos 2022 (the M5 competition).
    """

    def update(self, preds: Tensor, target: Tensor, seasonal_squared_error: Tensor) -> None:
        """Adds forecasts and truth in the same unit, and the mean squared seasonal naive error for each."""
        self._add(_in_units((preds.double() - target).square(), seasonal_squared_error))

    def compute(self) -> Tensor:
        return super().compute().sqrt()


class Skill(Metric):
    """Skill against a reference forecast: 1 - MSE / MSE of the reference.

    1 is perfect, 0 is as good as the reference, and negative values are worse. It is -inf if only the reference is
    perfect. Scale errors of different units before.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    error: Tensor
    reference_error: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("error", "reference_error"):
            self.add_state(name, torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor, reference: Tensor) -> None:
        """Adds forecasts, truth and the reference's forecasts, all of one shape."""
        self.error += (preds.double() - target).square().sum()
        self.reference_error += (reference.double() - target).square().sum()

    def compute(self) -> Tensor:
        """The metric over all values so far, float64."""
        return 1 - self.error / self.reference_error


def _in_units(error: Tensor, unit: Tensor) -> Tensor:
    """Errors divided by units; infinite, not NaN, if the unit is 0."""
    return (error / unit).masked_fill(unit == 0, torch.inf)
