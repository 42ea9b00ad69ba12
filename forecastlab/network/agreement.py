"""Checks that data and weights fit the network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from forecastlab.batch import ELAPSED, Schema
from forecastlab.data.recipe import Recipe
from forecastlab.errors import ConfigError


def schema_of(values: Mapping[str, Any]) -> Schema:
    """The schema of a network's settings.

    Raises:
        ConfigError: if the schema or its recipe has another form, or lacks the feature that it says there is.
    """
    try:
        schema = Schema.from_dict(values)
        Recipe.from_dict(schema.recipe)
    except (TypeError, AttributeError) as error:
        raise ConfigError(f"model.schema does not fit this version of forecastlab: {error}") from None
    if schema.elapsed and ELAPSED not in schema.features:
        raise ConfigError(f"model.schema: elapsed is true, but {ELAPSED} is not among the features")
    return schema


def require_alike(trained: Schema, data: Schema) -> None:
    """Raises ConfigError unless data have the form that the network was trained on."""
    for name in ("features", "targets", "known", "static", "horizon"):
        ours, theirs = getattr(trained, name), getattr(data, name)
        if ours != theirs:
            raise ConfigError(difference(name, ours, theirs))
    ours, theirs = (dict(schema.recipe.get("transform", {})) for schema in (trained, data))
    if ours != theirs:
        raise ConfigError(
            f"the network was trained with transform: {ours or 'none'}, but the data have {theirs or 'none'}"
        )
    frequency, other = (schema.recipe.get("frequency") for schema in (trained, data))
    if frequency != other:
        raise ConfigError(f"the network was trained on data of frequency {frequency}, but these have {other}")
    if trained.step != data.step:
        raise ConfigError(
            f"the network's calendar is older: it has only the first day of each step of {frequency}, and now all days "
            "of a step count. Train the network again"
        )
    for name in ("holidays", "time_zone"):
        ours, theirs = getattr(trained, name), getattr(data, name)
        if ours != theirs:
            raise ConfigError(f"the network was trained with {name}: {ours}, but the data have {name}: {theirs}")
    zone, other = (schema.recipe.get("zone") for schema in (trained, data))
    if zone != other and zone is not None:
        ours_said, theirs_said = (f"times in {name}" if name else "times without a zone" for name in (zone, other))
        raise ConfigError(
            f"the network was trained on {ours_said}, but the data have {theirs_said}: convert the data's times"
        )


def difference(name: str, ours: Any, theirs: Any) -> str:
    """A sentence that says how a part of the schema differs."""
    if not isinstance(ours, tuple):
        return f"the network was built for {name}={ours!r}, but the data have {theirs!r}"
    if set(ours) != set(theirs):
        missing = [column for column in ours if column not in theirs]
        extra = [column for column in theirs if column not in ours]
        return f"the data's {name} differ from those the network was trained on: missing {missing}, unknown {extra}"
    first = next(number for number, (our, their) in enumerate(zip(ours, theirs, strict=False)) if our != their)
    return (
        f"the data's {name} come in another order than those the network was trained on: the first to differ is "
        f"number {first + 1}, {theirs[first]} instead of {ours[first]}"
    )


def require_weights(ours: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Raises ConfigError unless two state_dicts have the same names and shapes."""
    for name in [*ours, *saved]:
        expected, got = (shape_of(tensors.get(name)) for tensors in (ours, saved))
        if got != expected:
            raise ConfigError(
                "the weights are those of another network; the first to differ is "
                f"{name}: expected {expected}, got {got}"
            )


def shape_of(tensor: Tensor | None) -> str:
    """The shape of a tensor as text; "none" for no tensor."""
    return "none" if tensor is None else str(tuple(tensor.shape))


def require_same_shapes(saved: Mapping[str, Tensor], ours: Mapping[str, Tensor], path: Path | None) -> None:
    """Raises ConfigError unless the weights of a checkpoint fit a network with other settings."""
    differing = [
        f"{name}: {tuple(saved[name].shape) if name in saved else 'none'} in the checkpoint, "
        f"{tuple(ours[name].shape) if name in ours else 'none'} now"
        for name in sorted(saved.keys() | ours.keys())
        if name not in saved or name not in ours or saved[name].shape != ours[name].shape
    ]
    if differing:
        raise ConfigError(
            f"the weights of {path} do not fit this network; settings that change the shape of the weights cannot "
            "differ from the checkpoint's:\n" + "\n".join(differing[:4])
        )
