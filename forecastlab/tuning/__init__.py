"""Studies: which config values give the lowest validation loss."""

from forecastlab.errors import ForecastlabError

try:
    import optuna  # noqa: F401  # every module here needs it
except ImportError:
    raise ForecastlabError("tune needs optuna, which is not installed: pip install 'forecastlab[tune]'") from None
