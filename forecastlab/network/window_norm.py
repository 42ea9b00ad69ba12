"""Normalisation of each window by its past."""

from collections.abc import Sequence

import torch
from torch import Tensor

EPSILON = 1e-5
"""Added to a window's variance, in scaled units, so that a constant window is not divided by 0."""


class WindowNorm:
    """The targets' own past relative to its last value and, if asked for, to its standard deviation in the window.

    If a network reads x - x_T and forecasts the change from x_T (`anchor: last`), it works at any level (NLinear, Zeng
    et al. 2023). If the change is also divided by the window's standard deviation s, and the forecast is multiplied by
    s, the network works the same in calm and in rough months. Reversible instance normalisation (Kim et al. 2022) does
    this too, but subtracts the window's mean.

    Args:
        columns: positions of the targets among the inputs, in the targets' order.
        divide: whether the values are divided by the standard deviation.
    """

    def __init__(self, columns: Sequence[int], divide: bool) -> None:
        self.columns = list(columns)
        self.divide = divide

    def __call__(self, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Inputs (batch, time, inputs) with the targets' own past normalised, and the unit that it is divided by.

        Args:
            x: (batch, time, inputs), in double precision.
            dtype: the precision of what is returned.

        Returns:
            (batch, time, inputs), and (batch, 1, targets), never 0.
        """
        own = x[..., self.columns]
        change = (own - own[:, -1:]).to(dtype)  # subtracted in double precision, so that no digits are lost
        unit = torch.ones_like(change[:, :1])
        if self.divide:
            unit = (change.var(1, correction=0, keepdim=True) + EPSILON).sqrt()
        columns = torch.tensor(self.columns, device=x.device)
        return x.to(dtype).index_copy(-1, columns, change / unit), unit
