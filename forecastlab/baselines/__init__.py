"""Baselines: forecasts that a network must beat. They are fitted and scored under the same evaluation."""

from forecastlab.baselines.arima import ARIMA
from forecastlab.baselines.auto_arima import AutoARIMA
from forecastlab.baselines.auto_ets import AutoETS
from forecastlab.baselines.base import Baseline
from forecastlab.baselines.climatology import Climatology
from forecastlab.baselines.dlinear import DLinear
from forecastlab.baselines.gradient_boosting import GradientBoosting
from forecastlab.baselines.lasso import ElasticNet, Lasso
from forecastlab.baselines.least_absolute import LeastAbsolute
from forecastlab.baselines.nlinear import NLinear
from forecastlab.baselines.persistence import Persistence
from forecastlab.baselines.residual_regression import ResidualRegression
from forecastlab.baselines.ridge import Ridge
from forecastlab.baselines.seasonal_naive import SeasonalNaive
from forecastlab.baselines.theta import Theta

__all__ = [
    "ARIMA",
    "AutoARIMA",
    "AutoETS",
    "Baseline",
    "Climatology",
    "DLinear",
    "ElasticNet",
    "GradientBoosting",
    "Lasso",
    "LeastAbsolute",
    "NLinear",
    "Persistence",
    "ResidualRegression",
    "Ridge",
    "SeasonalNaive",
    "Theta",
]
