"""Where `Forecaster` was in version 0.1.0, for programs that import it from here; it is `forecastlab.Forecaster`."""

from forecastlab.training.forecaster import Forecaster

__all__ = ["Forecaster"]
