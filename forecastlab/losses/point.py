"""Criteria of a single output, the point forecast.

They remove its last axis by `squeeze`. An index is slower: its gradient is copied into zeros.
"""

from torch import Tensor
from torch.nn.functional import huber_loss

from forecastlab.losses.base import Loss


class MSE(Loss):
    """Mean squared error; its point forecast is the mean."""

    def elementwise(self, raw: Tensor, target: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        return (raw.squeeze(-1) - target).square()


class MAE(Loss):
    """Mean absolute error; its point forecast is the median."""

    def elementwise(self, raw: Tensor, target: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        return (raw.squeeze(-1) - target).abs()


class MAPE(Loss):
    """Mean absolute percentage error in original units: 100 * |forecast - truth| / |truth|, in percent.

    A truth of 0 would make it infinite, and a truth near 0 would outweigh all others. So the divisor is at least
    `epsilon` times the scale of the target, which is its standard deviation for `scaler: standard`. The metric
    `test/mape` has no such guard. The point forecast is a median weighted by 1 / |truth|. It lies below the median if
    the target is positive.

    Args:
        epsilon: the smallest divisor, in scales of the target.

    Raises:
        ValueError: if it is not positive.
    """

    def __init__(self, epsilon: float = 0.01) -> None:
        super().__init__()
        if not epsilon > 0:
            raise ValueError(f"epsilon must be a positive number, got {epsilon!r}")
        self.epsilon = epsilon

    def elementwise(self, raw: Tensor, target: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        # all in scaled units, since the difference of scaled values has more digits
        truth = target + (offset / scale).to(target)
        return 100 * (raw.squeeze(-1) - target).abs() / truth.abs().clamp(min=self.epsilon)


class Huber(Loss):
    """Huber's loss: squared for small errors, e² / 2, and linear beyond, delta * (|e| - delta / 2).

    Args:
        delta: the error, in scaled units, at which it turns linear.

    Raises:
        ValueError: if it is not positive.
    """

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        if not delta > 0:
            raise ValueError(f"delta must be a positive number, got {delta!r}")
        self.delta = delta

    def elementwise(self, raw: Tensor, target: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        return huber_loss(raw.squeeze(-1), target, reduction="none", delta=self.delta)
