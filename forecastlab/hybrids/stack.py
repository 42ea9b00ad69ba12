"""Backbones on top of each other."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor

from forecastlab.backbones.alstm import ALSTM
from forecastlab.backbones.base import Backbone
from forecastlab.backbones.lstm import LSTM
from forecastlab.hybrids.composed import Composed, chain


class Stack(Composed):
    """A chain of backbones: each reads the output of the one below it.

    y = f_n(... f_2(f_1(x))). The output is that of the last backbone. Unlike in `Series`, only the first backbone reads
    the inputs.

    Source: stacked recurrent networks, Graves et al. 2013. The state is the tuple of the branches' states; the signals
    of `trace` are the branches', named "branches.0.<signal>" and so on.

    Args:
        input_size: width of the inputs.
        branches: the backbones, bottom first, each a class or functools.partial(cls, **arguments).

    Raises:
        ValueError: for no branches, or bad arguments of one of them.
    """

    source: ClassVar[str] = "Graves, Mohamed and Hinton 2013, arXiv:1303.5778"

    def __init__(self, input_size: int, branches: Sequence[Callable[[int], Backbone]] = (LSTM, ALSTM)) -> None:
        parts = chain(input_size, branches, lambda width: width)
        super().__init__(input_size, parts, parts[-1].output_size)

    def combine(self, x: Tensor, run: Callable[[int, Tensor], Tensor]) -> Tensor:
        for number in range(len(self.branches)):
            x = run(number, x)
        return x
