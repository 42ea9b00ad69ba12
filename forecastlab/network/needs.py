"""What settings of a network need of its data and of each other."""

from typing import Any

from torch import nn

from forecastlab.backbones.base import Backbone
from forecastlab.batch import Schema
from forecastlab.decoders import Decoder
from forecastlab.errors import ConfigError
from forecastlab.hybrids.patches import Patches
from forecastlab.losses import Likelihood, Loss


def require_choice(setting: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raises ConfigError if a setting is none of its choices."""
    if value not in choices:
        raise ConfigError(f"model.{setting} must be one of {', '.join(choices)}, got {value!r}")


def require_targets(setting: str, schema: Schema) -> None:
    """Raises ConfigError if a setting reads a target's past, and a target is not among the features."""
    if missing := [name for name in schema.targets if name not in schema.features]:
        raise ConfigError(f"model.{setting} needs the targets among the features: add {missing[0]}")


def require_windows(setting: str, schema: Schema) -> None:
    """Raises ConfigError if a setting needs windows, and the data are whole sequences."""
    if schema.lookback == "full":
        raise ConfigError(
            f"model.{setting} needs windows, but lookback: full makes every step of one sequence an origin: set "
            "--data.lookback to a number of rows"
        )


def require_location(setting: str, loss: Loss) -> None:
    """Raises ConfigError if a setting moves forecasts, and those of a loss cannot be moved."""
    if not loss.has_location:
        raise ConfigError(f"model.{setting} moves forecasts, which {type(loss).__name__} cannot be: leave it out")


def require_likelihood(decoder: Decoder, loss: Loss) -> None:
    """Raises ConfigError if a decoder draws its forecasts, and the loss has no distribution."""
    if not isinstance(loss, Likelihood):
        raise ConfigError(
            f"model.decoder {type(decoder).__name__} draws its forecasts from a distribution, which "
            f"{type(loss).__name__} has not: set model.loss to a likelihood, such as StudentT"
        )


def require_layer_states(decoder: Decoder, backbone: Backbone, across: nn.Module | None) -> None:
    """Raises ConfigError if a decoder starts from the state of a backbone, and that state does not fit it."""
    setting = f"model.decoder.init_args.initial_state: encoder of {type(decoder).__name__}"
    if across is not None:
        raise ConfigError(f"{setting} starts from a state that model.across does not mix: set bridge, or no across")
    states = backbone.layer_states(backbone.initial_state(1)) if backbone.causal else None
    if states is None:
        raise ConfigError(
            f"{setting} needs a backbone whose state is h and c, or h, of its layers, such as LSTM or GRU; "
            f"{type(backbone).__name__} has none: set initial_state: bridge"
        )
    found = tuple(tuple(part.shape[1:]) for part in states)
    if found != decoder.starts_from:
        raise ConfigError(
            f"{setting} starts from {_told(decoder.starts_from)}, and the state of {type(backbone).__name__} is "
            f"{_told(found)}: choose cell, num_layers and hidden_size of the decoder to match, or initial_state: bridge"
        )


def _told(states: tuple[tuple[int, ...], ...]) -> str:
    """The shapes of h and c, or of h, in words."""
    layers, size = states[0]
    return f"{'h and c' if len(states) > 1 else 'h alone'} of {layers} layer{'s' * (layers > 1)} of width {size}"


def require_steps_apart(setting: str, decoder: Decoder) -> None:
    """Raises ConfigError if a setting adds to a decoder's outputs, and its later steps read the earlier ones."""
    if decoder.feeds_back:
        raise ConfigError(
            f"model.{setting} cannot be added to the forecasts of {type(decoder).__name__}, whose later steps read the "
            "earlier ones: use the decoder Linear, or leave it out"
        )


def require_whole_segments(backbone: nn.Module, rows: int) -> None:
    """Raises ConfigError if a window does not end with a whole segment of a backbone's patches."""
    for part in backbone.modules():
        if isinstance(part, Patches) and not part.fits(rows):
            least = part.length + max(0, -(-(rows - part.length) // part.stride)) * part.stride
            raise ConfigError(
                f"a window of {rows} rows does not end with a whole segment of Patches (length {part.length}, "
                f"stride {part.stride}), so its newest rows would not be read: set --data.lookback {least}"
            )


def require_causal(backbone: Backbone) -> None:
    """Raises ConfigError if a backbone cannot forecast from every step of a sequence."""
    if not backbone.causal:
        raise ConfigError(
            f"{type(backbone).__name__} is not causal: with lookback: full, where every step is a forecast "
            "origin, it would see the future. Set --data.lookback to a number of rows"
        )
