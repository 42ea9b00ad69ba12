"""Targets that are forecast one by one with the same weights (channel independence)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from forecastlab.network.columns import taken


class Channels(nn.Module):
    """Takes the targets of a batch apart, and puts their forecasts together again.

    Each target becomes a sample of its own: its past, then the inputs that are no targets. Nie et al. 2023
    (arXiv:2211.14730) call that channel independence. Each target may have a vector that is learned and tells it apart
    from the others; the vectors begin with zeros.

    Args:
        own: positions of the targets among the inputs, in the targets' order.
        inputs: number of inputs.
        size: size of the vector of each target; 0 for none.

    Attributes:
        own: positions of the targets among the inputs, in the targets' order.
        others: positions of the other inputs.
        size: size of the vector of each target.
        width: number of inputs of each sample.
    """

    def __init__(self, own: Sequence[int], inputs: int, size: int = 0) -> None:
        super().__init__()
        self.own = list(own)
        self.others = [number for number in range(inputs) if number not in self.own]
        self.size = size
        self.width = 1 + len(self.others) + size
        self.embedding = nn.Parameter(torch.zeros(len(self.own), size)) if size else None

    def inputs(self, x: Tensor) -> Tensor:
        """(batch, time, inputs) -> (batch * targets, time, width); the targets of a sample follow each other."""
        own = taken(x, self.own).movedim(-1, 1).unsqueeze(-1)
        parts = [own, taken(x, self.others)[:, None].expand(-1, len(self.own), -1, -1)]
        if self.embedding is not None:
            parts.append(self.embedding[:, None].expand(*own.shape[:3], -1))
        return torch.cat(parts, -1).flatten(0, 1)

    def repeated(self, values: Tensor) -> Tensor:
        """(batch, ...), the same for every target -> (batch * targets, ...)."""
        return values.repeat_interleave(len(self.own), 0)

    def apart(self, values: Tensor) -> Tensor:
        """(batch, ..., targets) -> (batch * targets, ..., 1)."""
        return values.movedim(-1, 1).flatten(0, 1).unsqueeze(-1)

    def together(self, raw: Tensor) -> Tensor:
        """(batch * targets, origins, horizon, 1, outputs) -> (batch, origins, horizon, targets, outputs)."""
        samples: Tensor = raw.squeeze(-2).unflatten(0, (-1, len(self.own)))
        return samples.movedim(1, -2)

    def of_target(self, signal: Tensor, target: int) -> Tensor:
        """(batch * targets, ...) -> (batch, ...) of one target."""
        samples: Tensor = signal.unflatten(0, (-1, len(self.own)))
        return samples[:, target]
