"""Ancestral sampling: each step of a path is drawn given the steps before it."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from forecastlab.batch import LayerStates
from forecastlab.decoders import Decoder
from forecastlab.losses import Likelihood
from forecastlab.network.channels import Channels
from forecastlab.network.scaled import Scaled

AT_ONCE = 1 << 14
"""The largest number of sequences that are decoded together."""


def ancestral_paths(
    decoder: Decoder,
    loss: Likelihood,
    channels: Channels | None,
    scaled: Scaled,
    encoded: Tensor,
    state: LayerStates | None,
    number: int,
) -> Tensor:
    """Paths in scaled units, (batch, origins, horizon, targets, paths), from torch's global generator.

        y_t ~ p(y | θ_t),   θ_t = decoder(y_{t-1}, known_t, state_{t-1})

    A path is a draw from the joint distribution of all steps. Source: Salinas et al. 2020, section 3.1.

    Args:
        decoder: a decoder that feeds back.
        loss: the distribution of a step.
        channels: the targets one by one; None for all together.
        scaled: the batch.
        encoded: (batch, time, width): the backbone's outputs, for each target if there are channels.
        state: the backbone's `layer_states` after them; None for a decoder that does not start from them.
        number: number of paths.
    """
    known, last = scaled.known, scaled.last
    origins = last.shape[1]
    unit = torch.ones_like(last) if scaled.unit is None else scaled.unit.expand_as(last)
    if channels is not None:
        known, last, unit = channels.repeated(known), channels.apart(last), channels.apart(unit)
    if not decoder.attends:
        encoded = encoded[:, -origins:]
    at_once, parts = max(1, AT_ONCE // (len(last) * origins)), []
    for begin in range(0, number, at_once):
        count = min(at_once, number - begin)
        h, ahead, y, each = (part.repeat_interleave(count, 0) for part in (encoded, known, last, unit))
        each = each.flatten(0, 1)
        values: list[Tensor] = []  # as they are drawn: a count divided by its unit and multiplied again is none

        def draw(outputs: Tensor, each: Tensor = each, values: list[Tensor] = values) -> Tensor:
            values.append(loss.sample(loss.times(loss.parameters_of(outputs), each)))
            return (values[-1] / each).to(outputs.dtype)

        paths: Callable[..., Tensor] = decoder.paths
        if state is not None:
            paths = partial(paths, state=tuple(part.repeat_interleave(count, 0) for part in state))
        paths(h, ahead, y, draw)
        path: Tensor = torch.stack(values, 1).unflatten(0, (-1, count, origins))
        drawn = path.movedim(1, -1)
        parts.append(channels.together(drawn) if channels is not None else drawn)
    return torch.cat(parts, -1)
