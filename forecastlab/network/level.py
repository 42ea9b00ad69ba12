"""The level of each window, as the unit of its forecasts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from forecastlab.network.anchor import rows_there
from forecastlab.network.columns import replaced, taken

LEAST = 1.0
"""What is added to a level, in original units: the mean of a window of zeros is no unit."""


class Level:
    """The targets' own past divided by the level of its window: 1 + the mean of its absolute values (DeepAR).

    Nothing is subtracted, so 0 stays 0. Forecasts are multiplied by the level. Counts of 0.1 and of 10,000 a day then
    look alike to the network. Source: Salinas et al. 2020, section 3.3.

    Small and large counts do not scatter alike. So with a likelihood of counts, the network also reads the logarithm of
    the level in every row (`Composition.inputs`). Without it, intervals of small series are too wide, and those of
    large ones too narrow.

    Rows that pad a window do not count, and are 0.

    Args:
        columns: positions of the targets among the inputs, in the targets' order.
        padded: position of the input that is 1 where a row pads the window; None without such an input.
    """

    kind = "level"
    divides = True

    def __init__(self, columns: Sequence[int], padded: int | None = None) -> None:
        self.columns = list(columns)
        self.padded = padded

    def __call__(self, x: Tensor, history: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Inputs (batch, time, inputs) with the targets' own past divided by its level, and the level.

        Args:
            x: (batch, time, inputs): scaled, in double precision.
            history: (batch, time, inputs): the same in original units.
            dtype: the precision of what is returned.

        Returns:
            (batch, time, inputs), and (batch, 1, targets) in original units.
        """
        there = rows_there(history, self.padded)
        own = taken(history, self.columns) * there
        level = LEAST + own.abs().sum(1, keepdim=True) / there.sum(1, keepdim=True)
        return replaced(x.to(dtype), self.columns, (own / level).to(dtype)), level.to(dtype)
