"""Vectors that a network learns for series and for the values of columns of text."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from forecastlab.batch import Batch, Schema
from forecastlab.data.recipe import Recipe

SERIES, TARGET = "series", "target"
"""What may have vectors besides columns of text."""
LEFT_OUT = 0.05
"""The probability that a vector is left out in training, so that the network knows what a new series looks like."""


def text_columns(schema: Schema) -> dict[str, tuple[str, ...]]:
    """The inputs of 0 and 1 that each column of text has become, by its name."""
    categories = Recipe.from_dict(schema.recipe).categories
    return {name: tuple(f"{name}={value}" for value in values) for name, values in categories.items()}


class Embeddings(nn.Module):
    """Adds a vector of each series, and of each value of a column of text, to the inputs of a network.

        v = e_k          the vector of series, or value, k
        v = 0            a series or value that the training had not

    A value of a column of text is the input of 0 and 1 that is 1; its vector stands in the place of all inputs of that
    column, also among the known covariates of the forecast steps (Guo and Berkhahn 2016, arXiv:1604.06737). The vector
    of a series is the same in every row.

    All vectors begin with zeros. In training each is left out of one sample in twenty. So the network also learns to
    forecast with zeros, which a new series has, and a series without training rows keeps.

    Args:
        sizes: size of the vectors, by `SERIES` or the name of a column of text.
        schema: names and sizes of the data.

    Attributes:
        kept: positions of the inputs that are read beside the vectors, among features and static covariates.
        known_kept: positions of the known covariates that are read beside the vectors.
        vectors: in their order, what each belongs to, its size, and the inputs in whose place it stands.
        width: number of inputs with the vectors.
        known: number of known covariates with the vectors.
    """

    series: nn.Parameter | None
    """(series, size): the vectors of the series, in the order of `Schema.panel`; None without any."""

    def __init__(self, sizes: Mapping[str, int], schema: Schema) -> None:
        super().__init__()
        size = sizes.get(SERIES)
        self.series = None if size is None else nn.Parameter(torch.zeros(len(schema.panel), size))
        columns = {name: columns for name, columns in text_columns(schema).items() if name in sizes}
        self.values = nn.ParameterList(
            nn.Parameter(torch.zeros(len(values), sizes[name])) for name, values in columns.items()
        )
        inputs = (*schema.features, *schema.static)
        made = {column for values in columns.values() for column in values}
        self._columns = [_positions(values, inputs) for values in columns.values()]
        self._of_known = [
            _positions(values, schema.known) if values[0] in schema.known else [] for values in columns.values()
        ]
        self.kept = [place for place, name in enumerate(inputs) if name not in made]
        self.known_kept = [place for place, name in enumerate(schema.known) if name not in made]
        self.vectors: list[tuple[str, int, tuple[str, ...]]] = [] if size is None else [(SERIES, size, ())]
        self.vectors += [(name, sizes[name], values) for name, values in columns.items()]
        self.width = len(self.kept) + sum(size for _, size, _ in self.vectors)
        self.known = len(self.known_kept) + sum(
            sizes[name] for name, known in zip(columns, self._of_known, strict=True) if known
        )

    def forward(self, batch: Batch, known: Tensor, series: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors of a batch.

        Args:
            batch: the samples, in original units.
            known: (batch, origins, horizon, known): their known covariates, scaled, in the network's precision.
            series: (batch,), integer: the row of each sample's series in the table; -1 for a new one.

        Returns:
            (batch, time, sizes): what is added to the inputs; and the known covariates, with the vectors of columns of
            text in the place of their inputs.
        """
        rows, dtype = batch.history.shape[1], known.dtype
        static = batch.static[:, None].expand(-1, rows, -1)
        inputs = torch.cat([batch.history, static], -1) if static.shape[-1] else batch.history
        vectors, ahead = [], [known[..., self.known_kept]]
        if self.series is not None:
            there = (series >= 0).to(dtype)[:, None] * self._there(known)
            vectors.append((self.series[series.clamp(min=0)] * there)[:, None].expand(-1, rows, -1))
        for table, columns, of_known in zip(self.values, self._columns, self._of_known, strict=True):
            there = self._there(known)
            vectors.append(inputs[..., columns].to(dtype) @ table * there[:, None])
            if of_known:
                ahead.append(batch.known[..., of_known].to(dtype) @ table * there[:, None, None])
        return torch.cat(vectors, -1), torch.cat(ahead, -1)

    def joined(self, inputs: Tensor, vectors: Tensor) -> Tensor:
        """Inputs (batch, time, features + static) and vectors (batch, time, sizes) -> (batch, time, width)."""
        return torch.cat([inputs[..., self.kept], vectors], -1)

    def _there(self, like: Tensor) -> Tensor:
        """1, or in training 0 for a sample whose vector is left out, (batch, 1)."""
        there = like.new_ones(like.shape[0], 1)
        return there.bernoulli_(1 - LEFT_OUT) if self.training else there


def _positions(names: Sequence[str], among: Sequence[str]) -> list[int]:
    return [among.index(name) for name in names]
