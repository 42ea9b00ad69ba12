"""Backbones side by side."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from forecastlab.backbones.alstm import ALSTM
from forecastlab.backbones.base import Backbone
from forecastlab.backbones.lstm import LSTM
from forecastlab.hybrids.composed import Composed, require_branches


class Parallel(Composed):
    """Backbones side by side: all read the inputs, and their outputs are concatenated.

        y = [f_1(x) ; f_2(x) ; ...]

    Source: van Diepen's combination 1 (Figure 4). The decoder `Linear` is the linear layer over the concatenation. The
    state is the tuple of the branches' states; the signals of `trace` are the branches', named "branches.0.<signal>"
    and so on.

    Args:
        input_size: width of the inputs.
        branches: the backbones, each a class or functools.partial(cls, **arguments).

    Raises:
        ValueError: for no branches, or bad arguments of one of them.
    """

    source: ClassVar[str] = "van Diepen, combination 1 (Figure 4)"

    def __init__(self, input_size: int, branches: Sequence[Callable[[int], Backbone]] = (LSTM, ALSTM)) -> None:
        require_branches(branches)
        parts = [branch(input_size) for branch in branches]
        super().__init__(input_size, parts, sum(part.output_size for part in parts))

    def combine(self, x: Tensor, run: Callable[[int, Tensor], Tensor]) -> Tensor:
        return torch.cat([run(number, x) for number in range(len(self.branches))], -1)
