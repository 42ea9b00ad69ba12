"""What a loss of a target in original units, such as a count, needs of the settings and of the data."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from forecastlab.data.panel import Panel
from forecastlab.errors import ConfigError, DataError
from forecastlab.losses import Loss


def require_original_units(loss: Loss, settings: Mapping[str, Any], transformed: bool) -> None:
    """Raises ConfigError for a setting that would move the zero of a target in original units.

    Args:
        loss: the loss.
        settings: the network's.
        transformed: whether a target is transformed.
    """
    if not loss.original_units:
        return
    name = type(loss).__name__
    for setting, allowed in (
        ("anchor", ("none",)),
        ("window_norm", ("none", "level")),
        ("smoothing", ("none",)),
        ("loss_units", ("scaled",)),
    ):
        if settings[setting] not in allowed:
            raise ConfigError(
                f"model.loss {name} is about the target in original units, where 0 stays 0: model.{setting}: "
                f"{settings[setting]} would change that. Set --model.{setting} {allowed[-1]}"
            )
    if transformed:
        raise ConfigError(
            f"model.loss {name} is about the target in original units, which data.transform leaves: choose one of them"
        )


def require_support(loss: Loss, panel: Panel) -> None:
    """Raises DataError for a target that a loss gives no probability.

    Args:
        loss: the loss.
        panel: the data.
    """
    (low, high), targets, names = loss.support, panel.schema.targets, panel.names
    count, example = 0, None
    for numbers, part in panel.parts():
        y = part.rows.target.numpy()
        outside = (y < low) | (y > high)
        if loss.whole:
            outside |= y != np.round(y)
        wrong = np.argwhere(outside & part.rows.observed.numpy())
        count += len(wrong)
        if len(wrong) and example is None:
            series, axis = part.places()
            row, target = wrong[0]
            when = f"{names[numbers[series[row]]]} at {panel.labels[axis[row]]}"
            example = f"{targets[target]} of {when} is {y[row, target]:g}"
    if example is None:
        return
    kind = "whole numbers" if loss.whole else "numbers"
    least = "above 0" if 0 < low < 1e-300 else f"from {low:g} on" if high == np.inf else f"from {low:g} to {high:g}"
    raise DataError(
        f"model.loss {type(loss).__name__} takes {kind} {least}, but {example} (there are {count} such "
        "values): choose another loss, such as StudentT"
    )
