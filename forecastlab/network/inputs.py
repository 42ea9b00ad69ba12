"""What a backbone and a decoder read, by name."""

from typing import NamedTuple

from forecastlab.batch import Schema
from forecastlab.network.channels import Channels
from forecastlab.network.embeddings import SERIES, TARGET, Embeddings


class Input(NamedTuple):
    """One of the inputs of a backbone."""

    name: str
    """Its column; of a learned vector, what it belongs to and the number of the component."""
    static: bool
    """Whether it is the same in every row."""


def inputs_of(
    schema: Schema, embeddings: Embeddings | None, channels: Channels | None, levels: bool = False, target: int = 0
) -> list[Input]:
    """The inputs of the backbone, in order.

    Args:
        schema: names and sizes of the data.
        embeddings: the learned vectors, if there are any.
        channels: the independent channels, if there are any.
        levels: whether the logarithm of the level of each target is read too (`Level`).
        target: number of the target whose channel is asked for.
    """
    inputs = [Input(name, False) for name in schema.features] + [Input(name, True) for name in schema.static]
    if embeddings is not None:
        inputs = [inputs[place] for place in embeddings.kept]
        for name, size, columns in embeddings.vectors:
            static = name == SERIES or columns[0] in schema.static
            inputs += [Input(f"{name}, {number}", static) for number in range(1, size + 1)]
    heights = [Input(f"level of {name}", True) for name in schema.targets] if levels else []
    if channels is None:
        return inputs + heights
    own = [inputs[channels.own[target]], *(inputs[place] for place in channels.others)]
    own += [Input(f"{TARGET}, {number}", True) for number in range(1, channels.size + 1)]
    return own + heights[target : target + 1]


def known_of(schema: Schema, embeddings: Embeddings | None) -> list[str]:
    """The names of the known covariates that a decoder reads, in order."""
    if embeddings is None:
        return list(schema.known)
    names = [schema.known[place] for place in embeddings.known_kept]
    for name, size, columns in embeddings.vectors:
        if name != SERIES and columns[0] in schema.known:
            names += [f"{name}, {number}" for number in range(1, size + 1)]
    return names
