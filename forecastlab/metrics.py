"""What a test measures, and the torchmetrics classes that the library lacks."""

import torch
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric

from forecastlab.batch import Reference


class MeanAbsoluteScaledError(Metric):
    """MASE: the mean absolute error in units of the seasonal naive forecast's on the training rows.

    Below 1 the forecast is better than the seasonal naive one was in training. It is infinite where the training rows
    are constant, whose naive error is 0. Source: Hyndman and Koehler 2006.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")  # not every GPU has float64
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor, seasonal_error: Tensor) -> None:
        """Adds forecasts and truth in the same unit, and the seasonal naive error for each, all of one shape."""
        scaled = (preds - target).abs() / seasonal_error
        self.total += scaled.nan_to_num(nan=torch.inf, posinf=torch.inf).sum()
        self.count += scaled.numel()

    def compute(self) -> Tensor:
        """The metric over all values so far."""
        return self.total / self.count


class Skill(Metric):
    """Skill against a reference forecast: 1 - MSE / MSE of the reference.

    1 is perfect, 0 no better than the reference, negative worse; -inf where the reference alone is perfect.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    error: Tensor
    reference_error: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("error", torch.tensor(0.0), dist_reduce_fx="sum")  # not every GPU has float64
        self.add_state("reference_error", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor, reference: Tensor) -> None:
        """Adds forecasts, truth and the reference's forecasts, all of one shape."""
        self.error += (preds - target).square().sum()
        self.reference_error += (reference - target).square().sum()

    def compute(self) -> Tensor:
        """The metric over all values so far."""
        return 1 - self.error / self.reference_error


class ForecastMetrics(nn.Module):
    """The metrics of a test over all scored values; networks and baselines share them.

    `test/mse_scaled`, the MSE divided by the variance of the training rows; `test/mae` and `test/rmse`, in the target's
    own unit; `test/mase`, the MAE divided by the seasonal naive error of the training rows; `test/skill`, against
    persistence.

    Args:
        reference: the units of the scaled ones.
    """

    def __init__(self, reference: Reference) -> None:
        super().__init__()
        self.reference = reference
        self.mse_scaled = MeanSquaredError()
        self.mae = MeanAbsoluteError()
        self.rmse = MeanSquaredError(squared=False)
        self.mase = MeanAbsoluteScaledError()
        self.skill = Skill()

    def update(self, forecast: Tensor, target: Tensor, weight: Tensor, last: Tensor) -> None:
        """Adds forecasts.

        Args:
            forecast: (..., horizon, targets), in original units.
            target: the truth, of the same shape.
            weight: of the same shape; 0 where a value is not scored.
            last: (..., targets): the target's own value at the origin.
        """
        scored = weight > 0
        deviation, seasonal_error, persistence = (
            unit.to(target).expand_as(target)[scored]
            for unit in (self.reference.variance.sqrt(), self.reference.seasonal_error, last.unsqueeze(-2))
        )
        forecast, target = forecast[scored], target[scored]
        error = (forecast - target) / deviation  # dividing the two first would cost digits
        self.mse_scaled.update(error, torch.zeros_like(error))
        self.mae.update(forecast, target)
        self.rmse.update(forecast, target)
        self.mase.update(forecast, target, seasonal_error)
        self.skill.update(forecast, target, persistence)

    def compute(self) -> dict[str, Tensor]:
        """The metrics by name over all values so far, and over all devices."""
        return {f"test/{name}": metric.compute() for name, metric in self.named_children()}  # type: ignore[operator]  # all are metrics
