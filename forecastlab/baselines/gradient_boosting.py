"""Gradient boosting on the last rows."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from forecastlab.baselines.base import Array, Mask, target_values
from forecastlab.baselines.direct import DirectRegression, Predictor
from forecastlab.data.calendar import Cycle
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError

_MORE_TREES = 30
"""The search for the number of trees ends after so many trees that do not lower the error on the tail."""

_MANY_COLUMNS, _FINE_BINS, _COARSE_BINS = 256, 255, 31
"""Inputs with more columns than this have coarse bins: the time is proportional to columns times bins."""

Loss = Literal["squared_error", "absolute_error"]


class GradientBoosting(DirectRegression):
    """scikit-learn's histogram gradient boosting on the last rows and the calendar, one ensemble per step and target.

    It predicts the change from the value at the origin, because trees cannot follow a level outside the training range.
    The number of trees is chosen by the error on the last fifth of the training rows. The search ends when thirty more
    trees do not lower it. Inputs of more than 256 columns have 31 bins each, others have 255. The other arguments are
    those of `DirectRegression`. Sources: Friedman 2001; Ke et al. 2017 (LightGBM), whose histograms scikit-learn
    follows.

    Args:
        loss: what is minimised: "squared_error", or "absolute_error" to compare with networks that are judged by their
            MAE.
        max_trees: largest number of trees.
        learning_rate: factor of each tree's contribution.
        max_leaves: largest number of leaves of a tree.
        min_samples: smallest number of samples in a leaf.

    Raises:
        ConfigError: if a setting is not positive, or the loss unknown.
    """

    def __init__(
        self,
        lags: int | None = None,
        calendar: Sequence[Cycle] = ("day_of_year",),
        seasons: Sequence[int] | None = None,
        pooled: bool = False,
        loss: Loss = "squared_error",
        max_trees: int = 300,
        learning_rate: float = 0.05,
        max_leaves: int = 15,
        min_samples: int = 20,
    ) -> None:
        super().__init__(lags, calendar, seasons, pooled)
        if loss not in get_args(Loss):
            raise ConfigError(f"loss must be one of {', '.join(get_args(Loss))}, got {loss!r}")
        for setting, value, least in (
            ("max_trees", max_trees, 1),
            ("max_leaves", max_leaves, 2),
            ("min_samples", min_samples, 1),
        ):
            if value < least:
                raise ConfigError(f"{setting} must be at least {least}, got {value}")
        if learning_rate <= 0:
            raise ConfigError(f"learning_rate must be positive, got {learning_rate}")
        self.loss = loss
        self.title = "gradient boosting" + (" of MAE" if loss == "absolute_error" else "")
        self.max_trees = max_trees
        self.learning_rate = learning_rate
        self.max_leaves = max_leaves
        self.min_samples = min_samples

    def _level(self, data: ForecastDataModule, origins: range) -> Array | None:
        return target_values(data)[origins][:, None]

    def _setting(self, inputs: Array, target: Array, tail: Mask) -> tuple[int, float]:
        power = 1 if self.loss == "absolute_error" else 2
        ensemble, errors, best = self._ensemble(0, inputs).set_params(warm_start=True), list[float](), 0
        while len(errors) < self.max_trees and best + _MORE_TREES >= len(errors):
            ensemble.set_params(max_iter=min(len(errors) + _MORE_TREES, self.max_trees)).fit(
                inputs[~tail], target[~tail]
            )
            staged = ensemble.staged_predict(inputs[tail])
            errors = [float(np.mean(np.abs(predicted - target[tail]) ** power)) for predicted in staged]
            best = 1 + int(np.argmin(errors))
        return best, errors[best - 1]

    def _regress(self, inputs: Array, target: Array, setting: int) -> Predictor:
        ensemble: Predictor = self._ensemble(setting, inputs).fit(inputs, target)
        return ensemble

    def _ensemble(self, trees: int, inputs: Array) -> HistGradientBoostingRegressor:
        return HistGradientBoostingRegressor(
            loss=self.loss,
            max_iter=trees,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.max_leaves,
            min_samples_leaf=self.min_samples,
            max_bins=_FINE_BINS if inputs.shape[1] <= _MANY_COLUMNS else _COARSE_BINS,
            early_stopping=False,  # it would hold out random rows
            random_state=0,
        )
