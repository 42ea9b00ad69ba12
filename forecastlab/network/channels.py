"""Targets that are forecast one by one with the same weights (channel independence)."""

import torch
from torch import Tensor

from forecastlab.batch import Schema


class Channels:
    """Takes the targets of a batch apart, and puts their forecasts together again.

    Each target becomes a sample of its own: its past, then the features that are no targets, then the static
    covariates. Nie et al. 2023 (arXiv:2211.14730) call that channel independence.

    Args:
        schema: names and sizes of the data; the targets are among the features.

    Attributes:
        width: number of inputs of each sample.
    """

    def __init__(self, schema: Schema) -> None:
        self._own = [schema.features.index(name) for name in schema.targets]
        inputs = len(schema.features) + len(schema.static)
        self._others = [number for number in range(inputs) if number not in self._own]
        self.width = 1 + len(self._others)

    def inputs(self, x: Tensor) -> Tensor:
        """(batch, time, inputs) -> (batch * targets, time, width); the targets of a sample follow each other."""
        own = x[..., self._own].movedim(-1, 1).unsqueeze(-1)
        others = x[:, None, :, self._others].expand(-1, len(self._own), -1, -1)
        return torch.cat([own, others], -1).flatten(0, 1)

    def repeated(self, values: Tensor) -> Tensor:
        """(batch, ...), the same for every target -> (batch * targets, ...)."""
        return values.repeat_interleave(len(self._own), 0)

    def apart(self, values: Tensor) -> Tensor:
        """(batch, ..., targets) -> (batch * targets, ..., 1)."""
        return values.movedim(-1, 1).flatten(0, 1).unsqueeze(-1)

    def together(self, raw: Tensor) -> Tensor:
        """(batch * targets, origins, horizon, 1, outputs) -> (batch, origins, horizon, targets, outputs)."""
        samples: Tensor = raw.squeeze(-2).unflatten(0, (-1, len(self._own)))
        return samples.movedim(1, -2)

    def of_target(self, signal: Tensor, target: int) -> Tensor:
        """(batch * targets, ...) -> (batch, ...) of one target."""
        samples: Tensor = signal.unflatten(0, (-1, len(self._own)))
        return samples[:, target]
