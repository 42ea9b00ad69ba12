"""Training criteria: they map the decoder's outputs to a number to minimise, and to the reported forecasts."""

from forecastlab.losses.base import Loss
from forecastlab.losses.gaussian import GaussianNLL
from forecastlab.losses.point import MAE, MAPE, MSE, Huber
from forecastlab.losses.quantile import JointMeanQuantile, Quantile, pinball

__all__ = ["MAE", "MAPE", "MSE", "GaussianNLL", "Huber", "JointMeanQuantile", "Loss", "Quantile", "pinball"]
