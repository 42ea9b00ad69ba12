"""A network from plain data, as checkpoints and exports hold it."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from forecastlab.errors import DataError
from forecastlab.forecaster import Forecaster


def rebuild(settings: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Forecaster:
    """Builds a network as it was saved, on the CPU, ready to forecast.

    Args:
        settings: the arguments of `Forecaster` as plain data, which are its `hparams`.
        weights: its `state_dict`, scaling included; they keep their precision.

    Raises:
        DataError: if these do not make a network.
        ConfigError: if a class is not allowed, or refuses its arguments.
    """
    try:
        model = Forecaster(**settings)
        model.load_state_dict(weights, assign=True)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise DataError(f"they do not make a network: {error}") from error
    return model.eval()
