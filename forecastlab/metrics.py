"""Torchmetrics classes that the library lacks."""

import torch
from torch import Tensor
from torchmetrics import Metric


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
