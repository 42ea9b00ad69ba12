"""`MeanMetric`: the mean of one number per value, summed in float64."""

import torch
from torch import Tensor
from torchmetrics import Metric


class MeanMetric(Metric):
    """The mean of one number per value. Subclasses compute the number.

    The sums are in float64. Keep the metric on the CPU if the device has no float64 (Apple's GPUs).
    """

    is_differentiable = False
    higher_is_better: bool | None = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def _add(self, values: Tensor) -> None:
        self.total += values.sum()
        self.count += values.numel()

    def compute(self) -> Tensor:
        """The metric over all values so far, float64."""
        return self.total / self.count
