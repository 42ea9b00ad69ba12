"""Test metrics: functions per value, classes that torchmetrics lacks, and all metrics of one test.

All sums are in float64, so that they depend neither on batches nor on devices, and squares of large values do not
overflow. Percentages are in percent: a forecast that is off by half is off by 50.
"""

from forecastlab.metrics.forecast_metrics import PARTS, ForecastMetrics, Part
from forecastlab.metrics.interval import IntervalCoverage, IntervalWidth, WinklerScore, central_interval
from forecastlab.metrics.percentage import PercentageError, SymmetricPercentageError, WeightedPercentageError
from forecastlab.metrics.quantile import PinballLoss, QuantileCRPS, crps_of_quantiles, determines_crps
from forecastlab.metrics.sample import CRPS, EnergyScore
from forecastlab.metrics.scaled import MeanAbsoluteScaledError, RootMeanSquaredScaledError, Skill

__all__ = [
    "CRPS",
    "PARTS",
    "EnergyScore",
    "ForecastMetrics",
    "IntervalCoverage",
    "IntervalWidth",
    "MeanAbsoluteScaledError",
    "Part",
    "PercentageError",
    "PinballLoss",
    "QuantileCRPS",
    "RootMeanSquaredScaledError",
    "Skill",
    "SymmetricPercentageError",
    "WeightedPercentageError",
    "WinklerScore",
    "central_interval",
    "crps_of_quantiles",
    "determines_crps",
]
