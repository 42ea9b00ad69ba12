"""Baselines: forecasts that a network must beat. They are fitted and scored under the same evaluation."""

from forecastlab.baselines.arima import ARIMA
from forecastlab.baselines.base import Baseline
from forecastlab.baselines.climatology import Climatology
from forecastlab.baselines.gradient_boosting import GradientBoosting
from forecastlab.baselines.lasso import ElasticNet, Lasso
from forecastlab.baselines.least_absolute import LeastAbsolute
from forecastlab.baselines.persistence import Persistence
from forecastlab.baselines.residual_regression import ResidualRegression
from forecastlab.baselines.ridge import Ridge
from forecastlab.baselines.seasonal_naive import SeasonalNaive

__all__ = [
    "ARIMA",
    "Baseline",
    "Climatology",
    "ElasticNet",
    "GradientBoosting",
    "Lasso",
    "LeastAbsolute",
    "Persistence",
    "ResidualRegression",
    "Ridge",
    "SeasonalNaive",
]
