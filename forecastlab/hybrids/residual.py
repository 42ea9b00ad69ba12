"""Backbones with a shortcut around each."""

from collections.abc import Callable, Sequence
from typing import ClassVar, cast

from torch import Tensor, nn

from forecastlab.backbones.base import Backbone
from forecastlab.backbones.lstm import LSTM
from forecastlab.hybrids.composed import Composed, chain


class Residual(Composed):
    """A chain of backbones with a shortcut around each: the output of a backbone is added to its input.

        h_1 = P_1 x + f_1(x),   h_{n+1} = P_n h_n + f_n(h_n),   y = the last h

    Source: Zangari, eqs. 2.29-2.31, after He et al. 2016, where P_n is the identity. Where the widths of the input and
    the output of f_n differ, P_n is a learned matrix (`shortcuts.n`, without a bias), He's projection shortcut.

    The state is the tuple of the branches' states; the signals of `trace` are the branches', named
    "branches.0.<signal>" and so on. It is not `ResidualLSTM`, whose shortcut stands inside the output gate.

    Args:
        input_size: width of the inputs.
        branches: the backbones, bottom first, each a class or functools.partial(cls, **arguments).

    Raises:
        ValueError: for no branches, or bad arguments of one of them.
    """

    source: ClassVar[str] = "Zangari, eqs. 2.29-2.31; He et al. 2016, arXiv:1512.03385"

    def __init__(self, input_size: int, branches: Sequence[Callable[[int], Backbone]] = (LSTM,)) -> None:
        parts = chain(input_size, branches, lambda width: width)
        super().__init__(input_size, parts, parts[-1].output_size)
        self.shortcuts = nn.ModuleList(
            nn.Identity()
            if part.input_size == part.output_size
            else nn.Linear(part.input_size, part.output_size, bias=False)
            for part in parts
        )

    def combine(self, x: Tensor, run: Callable[[int, Tensor], Tensor]) -> Tensor:
        for number, shortcut in enumerate(self.shortcuts):
            x = cast(Tensor, shortcut(x)) + run(number, x)
        return x
