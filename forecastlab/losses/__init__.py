"""Training criteria: they map the decoder's outputs to a number to minimise, and to the reported forecasts."""

from forecastlab.losses.base import Loss
from forecastlab.losses.bernoulli import Bernoulli
from forecastlab.losses.counts import NegativeBinomial, Poisson
from forecastlab.losses.gaussian import GaussianNLL
from forecastlab.losses.implicit_quantile import ImplicitQuantile
from forecastlab.losses.likelihood import Likelihood
from forecastlab.losses.log_normal import LogNormal
from forecastlab.losses.mixture import Mixture
from forecastlab.losses.point import MAE, MAPE, MSE, Huber
from forecastlab.losses.quantile import JointMeanQuantile, Quantile, pinball
from forecastlab.losses.student_t import StudentT
from forecastlab.losses.zero_inflated import ZeroInflated

__all__ = [
    "MAE",
    "MAPE",
    "MSE",
    "Bernoulli",
    "GaussianNLL",
    "Huber",
    "ImplicitQuantile",
    "JointMeanQuantile",
    "Likelihood",
    "LogNormal",
    "Loss",
    "Mixture",
    "NegativeBinomial",
    "Poisson",
    "Quantile",
    "StudentT",
    "ZeroInflated",
    "pinball",
]
