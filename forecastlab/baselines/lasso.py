"""Lasso and elastic net: linear regressions that leave inputs out."""

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import enet_path

from forecastlab.baselines.base import Array, Mask
from forecastlab.baselines.direct import DirectRegression, Predictor
from forecastlab.baselines.ridge import Linear, standardised
from forecastlab.data.calendar import Cycle
from forecastlab.errors import ConfigError

_RELATIVE_PENALTIES = np.logspace(0, -3, 31)
"""Penalties in tenths of a decade, in units of the smallest penalty that leaves every input out."""

_MAX_PASSES, _DUALITY_GAP = 300, 1e-4
"""The limit of passes over the columns in coordinate descent, and the duality gap that ends it, in variances."""


class ElasticNet(DirectRegression):
    """Linear regression with an L1 and an L2 penalty on the last rows and the calendar, one per step and target.

    It minimises |y - b - X w|² / (2 n) + alpha (l |w|₁ + (1 - l) |w|² / 2) with standardised y and columns X (see
    `forecastlab.baselines.lags.Lags`). Alpha and l are chosen by the squared error on the last fifth of the training
    rows. The grid of alpha begins at the smallest penalty that leaves every input out, and ends three decades below it.
    The other arguments are those of `DirectRegression`. Source: Zou and Hastie 2005.

    Args:
        l1_ratios: shares l of the L1 penalty to choose from, above 0 and at most 1.

    Raises:
        ConfigError: if `lags` or a season is not positive, or a share is impossible.
    """

    title = "elastic net"

    def __init__(
        self,
        lags: int | None = None,
        calendar: Sequence[Cycle] = ("day_of_year",),
        seasons: Sequence[int] | None = None,
        pooled: bool = False,
        l1_ratios: Sequence[float] = (0.1, 0.5, 0.9),
    ) -> None:
        super().__init__(lags, calendar, seasons, pooled)
        if not l1_ratios or not all(0 < ratio <= 1 for ratio in l1_ratios):
            raise ConfigError(f"l1_ratios must be numbers above 0 up to 1, at least one, got {list(l1_ratios)}")
        self.l1_ratios = tuple(l1_ratios)

    def _setting(self, inputs: Array, target: Array, tail: Mask) -> tuple[tuple[float, float], float]:
        candidates = []
        for ratio in self.l1_ratios:
            for linear in _path(inputs[~tail], target[~tail], ratio, None):
                error = float(np.mean((linear.predict(inputs[tail]) - target[tail]) ** 2))
                candidates.append((error, ratio, linear.alpha))
        error, ratio, alpha = min(candidates)
        return (ratio, alpha), error

    def _regress(self, inputs: Array, target: Array, setting: tuple[float, float]) -> Predictor:
        return _path(inputs, target, *setting)[-1]


class Lasso(ElasticNet):
    """Linear regression with an L1 penalty, which leaves most inputs out: an elastic net of l = 1.

    The arguments are those of `DirectRegression`. Source: Tibshirani 1996.

    Raises:
        ConfigError: if `lags` or a season is not positive.
    """

    title = "lasso"

    def __init__(
        self,
        lags: int | None = None,
        calendar: Sequence[Cycle] = ("day_of_year",),
        seasons: Sequence[int] | None = None,
        pooled: bool = False,
    ) -> None:
        super().__init__(lags, calendar, seasons, pooled, l1_ratios=(1.0,))


def _path(inputs: Array, target: Array, ratio: float, last: float | None) -> list[Linear]:
    """Solutions for falling penalties, down to `last` or over the whole grid. Each starts from the one before."""
    columns, center, scale = standardised(inputs)
    unit = float(target.std()) or 1.0  # the balance of the two penalties depends on the unit of the target
    change = (target - target.mean()) / unit
    greatest = float(np.abs(columns.T @ change).max()) / len(change) / ratio
    if greatest == 0:  # the target does not change
        return [Linear(np.zeros(columns.shape[1]), float(target.mean()), 0.0 if last is None else last)]
    alphas = greatest * _RELATIVE_PENALTIES
    if last is not None:
        alphas = np.append(alphas[alphas > last], last)
    gram = columns.T @ columns if columns.shape[0] > columns.shape[1] else False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # similar columns may share a weight in any proportion
        _, weights, _ = enet_path(
            np.asfortranarray(columns),
            change,
            l1_ratio=ratio,
            alphas=alphas,
            precompute=gram,
            tol=_DUALITY_GAP,
            max_iter=_MAX_PASSES,
        )
    return [
        Linear(each, float(target.mean() - center @ each), float(alpha))
        for each, alpha in zip((unit * weights / scale[:, None]).T, alphas, strict=True)
    ]
