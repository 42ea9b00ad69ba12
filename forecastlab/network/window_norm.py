"""Normalisation of each window by its own past."""

from collections.abc import Sequence

import torch
from torch import Tensor

EPSILON = 1e-5
"""Added to a window's variance, in scaled units: a constant window is not divided by 0."""


class WindowNorm:
    """The targets' own past relative to its last value and, if asked for, to its standard deviation in the window.

    A network that reads x - x_T forecasts the change from x_T (`anchor: last`) at any level (NLinear, Zeng et al.
    2023). If it also reads the change in units of the window's standard deviation s, and its forecast is multiplied by
    s, it forecasts a calm month as it does a rough one (reversible instance normalisation, Kim et al. 2022, which
    subtracts the window's mean instead).

    Args:
        columns: positions of the targets among the inputs, in the targets' order.
        divide: whether by the standard deviation.
    """

    def __init__(self, columns: Sequence[int], divide: bool) -> None:
        self.columns = list(columns)
        self.divide = divide

    def normalised(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Inputs (batch, time, inputs) -> the same with the targets' own past normalised, in the precision `dtype`."""
        change = self._change(x, dtype) / self.unit(x, dtype)
        return x.to(dtype).index_copy(-1, torch.tensor(self.columns, device=x.device), change)

    def unit(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """What a change is divided by, (batch, 1, targets), of inputs (batch, time, inputs); never 0."""
        change = self._change(x, dtype)
        if not self.divide:
            return torch.ones_like(change[:, :1])
        return (change.var(1, correction=0, keepdim=True) + EPSILON).sqrt()

    def _change(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """The targets' own past relative to its last value, which is subtracted before digits are lost."""
        own = x[..., self.columns]
        return (own - own[:, -1:]).to(dtype)
