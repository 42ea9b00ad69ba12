"""Gradient boosting on the last rows."""

from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from forecastlab.baselines.base import Array, Baseline, Mask, target_values
from forecastlab.baselines.direct import Lags, Predictor, fit_direct, forecast_direct, training_samples
from forecastlab.data.calendar import Cycle
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError


class GradientBoosting(Baseline):
    """scikit-learn's histogram gradient boosting on the last rows and the calendar, one ensemble per step and target.

    It predicts the change from the origin's value, because trees cannot follow a level beyond what they were fitted on.
    The number of trees is the one with the lowest squared error on the last fifth of the training rows when
    fitted on those before; then all training rows are fitted with that number. The inputs are those of `Ridge`.
    Source: Friedman 2001; Ke et al. 2017 (LightGBM), whose histograms scikit-learn follows.

    Args:
        lags: rows up to the origin whose features are inputs.
        calendar: cycles of the forecast step that are inputs beside the data's own.
        max_trees: largest number of trees.
        learning_rate: factor of each tree's contribution.
        max_leaves: leaves of a tree, at most.
        min_samples: samples in a leaf, at least.

    Raises:
        ConfigError: if a setting is not positive.
    """

    name = "gradient boosting"

    def __init__(
        self,
        lags: int = 1,
        calendar: Sequence[Cycle] = ("day_of_year",),
        max_trees: int = 300,
        learning_rate: float = 0.05,
        max_leaves: int = 15,
        min_samples: int = 20,
    ) -> None:
        for setting, value, least in (
            ("max_trees", max_trees, 1),
            ("max_leaves", max_leaves, 2),
            ("min_samples", min_samples, 1),
        ):
            if value < least:
                raise ConfigError(f"{setting} must be at least {least}, got {value}")
        if learning_rate <= 0:
            raise ConfigError(f"learning_rate must be positive, got {learning_rate}")
        self.lags = Lags(lags, tuple(calendar))
        self.max_trees = max_trees
        self.learning_rate = learning_rate
        self.max_leaves = max_leaves
        self.min_samples = min_samples

    @property
    def first_origin(self) -> int:
        return self.lags.rows - 1

    def _fit(self, data: ForecastDataModule) -> None:
        samples = training_samples(data, self.first_origin)
        changes = samples._replace(target=samples.target - _last(data, samples.origins))
        self.regressors = fit_direct(data, self.lags.inputs(data, samples.origins), changes, self._regress)

    def _forecast(self, data: ForecastDataModule, origins: range) -> Array:
        return _last(data, origins) + forecast_direct(self.lags.inputs(data, origins), self.regressors)

    def _regress(self, inputs: Array, target: Array, tail: Mask) -> Predictor:
        before = self._ensemble(self.max_trees).fit(inputs[~tail], target[~tail])
        errors = [np.mean((staged - target[tail]) ** 2) for staged in before.staged_predict(inputs[tail])]
        ensemble: Predictor = self._ensemble(1 + int(np.argmin(errors))).fit(inputs, target)
        return ensemble

    def _ensemble(self, trees: int) -> HistGradientBoostingRegressor:
        return HistGradientBoostingRegressor(
            max_iter=trees,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.max_leaves,
            min_samples_leaf=self.min_samples,
            early_stopping=False,  # it would hold out random rows
            random_state=0,
        )


def _last(data: ForecastDataModule, origins: range) -> Array:
    """The targets' own values at some origins, (origins, 1, targets)."""
    return target_values(data)[origins][:, None]
