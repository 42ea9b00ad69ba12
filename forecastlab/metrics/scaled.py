"""Errors in units of the training rows, or of another forecast."""

import torch
from torch import Tensor
from torchmetrics import Metric

from forecastlab.metrics.mean import MeanMetric


class MeanAbsoluteScaledError(MeanMetric):
    """MASE: the mean absolute error in units of the seasonal naive forecast's on the training rows.

    Below 1 the forecast is better than the seasonal naive one was in training. It is infinite where the training rows
    are constant, whose naive error is 0. Source: Hyndman and Koehler 2006.
    """

    def update(self, preds: Tensor, target: Tensor, seasonal_error: Tensor) -> None:
        """Adds forecasts and truth in the same unit, and the seasonal naive error for each, all of one shape."""
        self._add(_in_units((preds.double() - target).abs(), seasonal_error))


class RootMeanSquaredScaledError(MeanMetric):
    """RMSSE: root of the mean squared error in units of the seasonal naive forecast's on the training rows.

    Squared errors are scaled each by its own series and averaged before the root is taken; for the M5 competition's
    mean over series take the root of each series by itself, as `ForecastMetrics` does. It is infinite where the
    training rows are constant. Source: Makridakis, Spiliotis and Assimakopoulos 2022 (the M5 competition).
    """

    def update(self, preds: Tensor, target: Tensor, seasonal_squared_error: Tensor) -> None:
        """Adds forecasts and truth in the same unit, and the mean squared seasonal naive error for each."""
        self._add(_in_units((preds.double() - target).square(), seasonal_squared_error))

    def compute(self) -> Tensor:
        return super().compute().sqrt()


class Skill(Metric):
    """Skill against a reference forecast: 1 - MSE / MSE of the reference.

    1 is perfect, 0 no better than the reference, negative worse; -inf where the reference alone is perfect. Errors of
    unlike units must be scaled before.
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
    """Errors in units; infinite, not indeterminate, where the unit is 0."""
    return (error / unit).masked_fill(unit == 0, torch.inf)
