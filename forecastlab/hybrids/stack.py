"""Backbones on top of each other."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor

from forecastlab.backbones.alstm import ALSTM
from forecastlab.backbones.base import Backbone, require_probability
from forecastlab.backbones.layered import dropout_mask
from forecastlab.backbones.lstm import LSTM
from forecastlab.hybrids.composed import Composed, chain


class Stack(Composed):
    """A chain of backbones: each reads the output of the one below it.

    y = f_n(... f_2(f_1(x))). The output is that of the last backbone. Unlike in `Series`, only the first backbone reads
    the inputs.

    With `dropout`, f_{n+1} reads m_n * f_n(...) in training. The mask m_n is drawn once for each sequence of a batch,
    so that the same values are dropped at every step (variational or locked dropout, Gal and Ghahramani 2016,
    arXiv:1512.05287). The `dropout` of a cell with several layers draws again at every step. A call with a given state
    draws new masks.

    Source: stacked recurrent networks, Graves et al. 2013. The state is the tuple of the branches' states; the signals
    of `trace` are the branches', named "branches.0.<signal>" and so on.

    Args:
        input_size: width of the inputs.
        branches: the backbones, bottom first, each a class or functools.partial(cls, **arguments).
        dropout: probability that a value of an output is dropped before the next backbone reads it, in training, at all
            steps of a sequence.

    Raises:
        ValueError: for no branches, bad arguments of one of them, or a dropout outside [0, 1).
    """

    source: ClassVar[str] = "Graves, Mohamed and Hinton 2013, arXiv:1303.5778"

    def __init__(
        self, input_size: int, branches: Sequence[Callable[[int], Backbone]] = (LSTM, ALSTM), dropout: float = 0.0
    ) -> None:
        require_probability(dropout=dropout)
        parts = chain(input_size, branches, lambda width: width)
        super().__init__(input_size, parts, parts[-1].output_size)
        self.dropout = dropout

    def combine(self, x: Tensor, run: Callable[[int, Tensor], Tensor]) -> Tensor:
        for number in range(len(self.branches)):
            x = run(number, self._dropped(x) if number else x)
        return x

    def _dropped(self, x: Tensor) -> Tensor:
        """A sequence (batch, time, width) or a step (batch, width) without the values of one mask."""
        mask = dropout_mask(x[:, 0] if x.dim() == 3 else x, self.dropout, self.training)
        if mask is None:
            return x
        return x * (mask.unsqueeze(1) if x.dim() == 3 else mask)
