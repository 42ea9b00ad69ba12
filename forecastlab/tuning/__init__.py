"""Searches for config values of low validation loss; they need Optuna, which is an extra."""

from forecastlab.errors import ForecastlabError

try:
    import optuna  # noqa: F401  # the first thing that all modules of this room need
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "optuna":
        raise
    raise ForecastlabError("tune needs optuna, which is not installed: pip install 'forecastlab[tune]'") from None
