"""Least absolute deviations: a linear regression that is fitted for the mean absolute error."""

from collections.abc import Sequence

import numpy as np

from forecastlab.baselines.base import Array, Mask
from forecastlab.baselines.direct import DirectRegression, Predictor
from forecastlab.baselines.ridge import Linear, standardised
from forecastlab.data.calendar import Cycle
from forecastlab.errors import ConfigError

ALPHAS = tuple(float(alpha) for alpha in np.logspace(-5, 0, 11))
"""0.00001 .. 1 in halves of a decade."""

_MAX_ROUNDS, _TOLERANCE = 60, 1e-6
"""The largest number of reweighted regressions, and the relative change of the objective that ends them."""
_LARGEST_BOUND, _SMALLEST_BOUND = 0.1, 1e-5
"""Errors below this share of the unit have equal weights. It is halved in every round, down to the smallest."""


class LeastAbsolute(DirectRegression):
    """Linear regression that minimises absolute errors, with an L2 penalty, one per step and target.

    It is the linear baseline for networks that are judged by their MAE; ridge and lasso are fitted to squared errors.
    It minimises mean |y - b - X w| + alpha |w|² / 2 by iteratively reweighted least squares. The columns X are
    standardised (see `forecastlab.baselines.lags.Lags`), and y is in units of its mean absolute deviation from the
    median. Alpha is chosen by the absolute error on the last fifth of the training rows. The other arguments are those
    of `DirectRegression`. Sources: Koenker and Bassett 1978; Schlossmacher 1973.

    Args:
        alphas: penalties to choose from.

    Raises:
        ConfigError: if `lags`, a season or a penalty is not positive.
    """

    title = "least absolute deviations"

    def __init__(
        self,
        lags: int | None = None,
        calendar: Sequence[Cycle] = ("day_of_year",),
        seasons: Sequence[int] | None = None,
        pooled: bool = False,
        alphas: Sequence[float] = ALPHAS,
    ) -> None:
        super().__init__(lags, calendar, seasons, pooled)
        if not alphas or min(alphas) <= 0:
            raise ConfigError(f"alphas must be positive numbers, at least one, got {list(alphas)}")
        self.alphas = sorted(alphas, reverse=True)

    def _setting(self, inputs: Array, target: Array, tail: Mask) -> tuple[float, float]:
        penalised = _path(inputs[~tail], target[~tail], self.alphas)
        errors = [float(np.mean(np.abs(linear.predict(inputs[tail]) - target[tail]))) for linear in penalised]
        return self.alphas[int(np.argmin(errors))], min(errors)

    def _regress(self, inputs: Array, target: Array, setting: float) -> Predictor:
        return _path(inputs, target, [setting])[0]


def _path(inputs: Array, target: Array, alphas: Sequence[float]) -> list[Linear]:
    """The regressions for falling penalties. Each starts from the one before."""
    columns, center, scale = standardised(inputs)
    middle = float(np.median(target))
    unit = float(np.abs(target - middle).mean()) or 1.0
    change = (target - middle) / unit
    wide = columns.shape[0] < columns.shape[1]
    products = columns @ columns.T if wide else None
    weights, intercept = np.zeros(columns.shape[1]), 0.0
    regressions = []
    for alpha in alphas:
        weights, intercept = _reweighted(columns, change, alpha, weights, intercept, products)
        each = unit * weights / scale
        regressions.append(Linear(each, float(middle + unit * intercept - center @ each), float(alpha)))
    return regressions


def _reweighted(
    columns: Array, target: Array, alpha: float, weights: Array, intercept: float, products: Array | None
) -> tuple[Array, float]:
    """The weights and the intercept b that minimise mean |target - columns w - b| + alpha |w|² / 2.

    Each round solves a least squares problem in which an error e has the weight 1 / max(|e|, smallest).

    Args:
        columns: (samples, columns), standardised.
        target: (samples,), in its own unit.
        alpha: the penalty.
        weights: (columns,): start values.
        intercept: start value.
        products: (samples, samples): products of the samples, if these are fewer than the columns.
    """
    bound, last_objective = _LARGEST_BOUND, np.inf
    for _ in range(_MAX_ROUNDS):
        error = np.abs(target - columns @ weights - intercept)
        objective = float(error.mean() + alpha * (weights**2).sum() / 2)
        if bound <= _SMALLEST_BOUND and abs(last_objective - objective) <= _TOLERANCE * max(objective, _SMALLEST_BOUND):
            break
        last_objective = objective
        weights, intercept = _weighted(columns, target, 1 / np.maximum(error, bound), alpha, products)
        bound = max(bound / 2, _SMALLEST_BOUND)
    return weights, intercept


def _weighted(columns: Array, target: Array, share: Array, alpha: float, products: Array | None) -> tuple[Array, float]:
    """Weighted ridge regression with a free intercept. It uses the products of the samples if they are given."""
    penalty, ones = alpha * len(target), np.ones(len(target))
    if products is not None:
        solved = np.linalg.solve(products + np.diag(penalty / share), np.column_stack([target, ones]))
        intercept = solved[:, 0].sum() / solved[:, 1].sum()
        return np.asarray(columns.T @ (solved[:, 0] - intercept * solved[:, 1]), dtype=np.float64), float(intercept)
    design = np.column_stack([columns, ones])
    weighted = design * share[:, None]
    moments = weighted.T @ design
    free = np.append(np.full(columns.shape[1], penalty), 0.0)
    moments[np.diag_indices_from(moments)] += free + 1e-12 * np.trace(moments) / len(moments)
    solution: Array = np.linalg.solve(moments, weighted.T @ target).astype(np.float64)
    return solution[:-1], float(solution[-1])
