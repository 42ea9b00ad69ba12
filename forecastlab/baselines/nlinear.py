"""NLinear: a linear map of the changes to the last value."""

from forecastlab.baselines.base import Array
from forecastlab.baselines.shared_linear import SharedLinear


class NLinear(SharedLinear):
    """A linear map from the last values, relative to the last one, to the steps, relative to the same value.

        y(t + h) = y(t) + b_h + sum_k w_{hk} (y(t - k) - y(t))

    The weights are shared by all targets and all series, as the paper shares them. The fit and the arguments are those
    of `SharedLinear`. Source: Zeng, Chen, Zhang and Xu 2023, Are Transformers Effective for Time Series Forecasting?

    Deviations: the paper trains by gradient descent without a penalty. Here the minimum is computed, with an L2
    penalty, which keeps the forecast near the last value if the rows are few.
    """

    title = "NLinear"

    def columns(self, history: Array) -> tuple[Array, Array]:
        last = history[:, -1]
        return history - last[:, None], last
