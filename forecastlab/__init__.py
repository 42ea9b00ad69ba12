"""forecastlab: recurrent networks for time series, with numbers that can be trusted."""

__version__ = "0.1.0"
