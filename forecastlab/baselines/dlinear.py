"""DLinear: linear maps of a moving average and of the rest."""

from collections.abc import Sequence

import numpy as np

from forecastlab.baselines.base import Array
from forecastlab.baselines.shared_linear import ALPHAS, SharedLinear
from forecastlab.errors import ConfigError


class DLinear(SharedLinear):
    """Two linear maps that are added: one of the moving average of the last values, one of what remains.

        m(t - k) = mean of y(t - k - w) .. y(t - k + w),  2 w + 1 = kernel_size, ends repeated
        y(t + h) = b_h + sum_k u_{hk} m(t - k) + sum_k v_{hk} (y(t - k) - m(t - k))

    The weights are shared by all targets and all series. The fit and the other arguments are those of `SharedLinear`;
    the history is relative to the mean of the training rows. Source: Zeng, Chen, Zhang and Xu 2023, Are Transformers
    Effective for Time Series Forecasting?

    Deviations: the paper trains by gradient descent without a penalty. Here the minimum is computed, with an L2 penalty
    on both maps; without one, the decomposition would change nothing.

    Args:
        lookback: as for `SharedLinear`.
        kernel_size: number of values in the moving average, odd.
        alphas: as for `SharedLinear`.

    Raises:
        ConfigError: if `kernel_size` is not a positive odd number, and as for `SharedLinear`.
    """

    title = "DLinear"

    def __init__(self, lookback: int | None = None, kernel_size: int = 25, alphas: Sequence[float] = ALPHAS) -> None:
        super().__init__(lookback, alphas)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ConfigError(f"kernel_size must be a positive odd number of rows, got {kernel_size}")
        self.kernel_size = kernel_size

    @property
    def name(self) -> str:
        return super().name if self.kernel_size == 25 else f"{super().name} (kernel {self.kernel_size})"

    def columns(self, history: Array) -> tuple[Array, Array]:
        rows, half = history.shape[1], self.kernel_size // 2
        averaged = np.zeros((rows, rows))  # column k holds the weights of the average around value k
        for row in range(rows):
            window = np.arange(row - half, row + half + 1).clip(0, rows - 1)
            np.add.at(averaged[:, row], window, 1 / self.kernel_size)
        trend = history @ averaged
        return np.concatenate([trend, history - trend], axis=1), np.zeros(len(history))
