"""Normalisation of each window by its past."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from forecastlab.network.anchor import rows_there
from forecastlab.network.columns import replaced, taken

Kind = Literal["none", "last", "standard", "mean", "robust", "seasonal", "level"]
EPSILON = 1e-5
"""Added to a window's variance, in scaled units, so that a constant window is not divided by 0."""
LEAST = 0.02
"""The least unit of a window as a share of its last value or of the scaler's unit, for kinds that work at any size."""


class WindowNorm:
    """The targets' own past relative to a level of its window and, for most kinds, divided by a unit of its window.

        kind        level     unit
        last        last      1
        standard    last      standard deviation s in the scaler's units: sqrt(s² + 1e-5)
        mean        mean      standard deviation
        robust      median    mean distance from the median
        seasonal    last      mean change over a season: the mean of |x_t - x_{t-m}|, the unit of MASE

    If a network reads x - x_T and forecasts the change from x_T (`anchor: last`), it works at any level (NLinear, Zeng
    et al. 2023). If the change is also divided by a unit of the window, and the forecast is multiplied by it, the
    network works the same in calm and in rough months. "mean" is the reversible instance normalisation of Kim et al.
    2022, without its learned scale and shift, which the next linear layer can learn as well.

    "standard" is for series of a similar size. The kinds below it work at any size, as in a panel of small and large
    shops. A window that hardly changes has a unit of 2 % of its last value, or of the scaler's unit if that is less. A
    window that is no longer than a season is measured by its changes from row to row.

    Rows that pad a window do not count, and are 0.

    Args:
        kind: one of the above; "level" is a class of its own (`Level`).
        columns: positions of the targets among the inputs, in the targets' order.
        season: rows in a season.
        padded: position of the input that is 1 where a row pads the window; None without such an input.
    """

    def __init__(self, kind: Kind, columns: Sequence[int], season: int = 1, padded: int | None = None) -> None:
        self.kind = kind
        self.columns = list(columns)
        self.season = season
        self.padded = padded

    @property
    def divides(self) -> bool:
        """Whether windows have units of their own."""
        return self.kind != "last"

    def __call__(self, x: Tensor, size: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Inputs (batch, time, inputs) with the targets' own past normalised, and the unit that it is divided by.

        Args:
            x: (batch, time, inputs), in double precision.
            size: (batch, 1, targets): how large the last values are, in scaled units, in double precision.
            dtype: the precision of what is returned.

        Returns:
            (batch, time, inputs), and (batch, 1, targets), never 0.
        """
        own = taken(x, self.columns)
        there = rows_there(x, self.padded)
        if self.kind in ("last", "standard"):
            change = (own - own[:, -1:]).to(dtype)  # subtracted in double precision, so that no digits are lost
            unit = torch.ones_like(change[:, :1])
            if self.kind == "standard":
                unit = (_variance(change, None if self.padded is None else there.to(dtype)) + EPSILON).sqrt()
            change = change / unit
        else:
            change, spread = self._level_and_spread(own, there, dtype)
            unit = torch.maximum(spread, self.least(size).to(spread.dtype))
            change, unit = (change / unit).to(dtype), unit.to(dtype)
        if self.padded is not None:
            change = change * there.to(dtype)
        return replaced(x.to(dtype), self.columns, change), unit

    def least(self, size: Tensor) -> Tensor:
        """The least unit of windows, (batch, 1, targets): that of a window which hardly changes.

        Args:
            size: as for a call.
        """
        if self.kind == "last":
            return torch.zeros_like(size)
        if self.kind == "standard":  # up to here what is added to the variance is more than the variance
            return torch.full_like(size, 2 * EPSILON).sqrt()
        least = LEAST * size.clamp(max=1)
        return least.where(least > 0, torch.full_like(least, LEAST))

    def _level_and_spread(self, own: Tensor, there: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The values relative to their level, (batch, time, targets), and their spread, (batch, 1, targets).

        Changes of the last value lose no digits in single precision, and are then half as much to go through. Half
        precision would be too little for changes over a season.
        """
        if self.kind == "mean":
            change = _from_mean(own, there)
            return change, _variance(own, there).sqrt()
        if self.kind == "robust":
            level = own.where(there > 0, torch.nan).nanmedian(1, keepdim=True).values
            return own - level, _mean((own - level).abs(), there)
        single = torch.promote_types(dtype, torch.float32)
        change, there = (own - own[:, -1:]).to(single), there.to(single)
        spread = _mean_change(change, there, 1)
        if 1 < self.season < own.shape[1]:
            whole = there[:, : -self.season].any(1, keepdim=True)
            spread = _mean_change(change, there, self.season).where(whole, spread)
        return change, spread


def _mean_change(values: Tensor, there: Tensor, rows: int) -> Tensor:
    """The mean absolute change over so many rows, (batch, 1, targets)."""
    return _mean((values[:, rows:] - values[:, :-rows]).abs_(), there[:, :-rows])


def _variance(values: Tensor, there: Tensor | None) -> Tensor:
    """The variance over time of the values that are there, (batch, 1, targets); None for all."""
    if there is None:
        return values.var(1, correction=0, keepdim=True)
    return _mean(_from_mean(values, there).square(), there)


def _mean(values: Tensor, there: Tensor) -> Tensor:
    """The mean over time of the values that are there, (batch, 1, targets); 0 if none is."""
    return there.mT @ values / there.sum(1, keepdim=True).clamp(min=1)


def _from_mean(values: Tensor, there: Tensor) -> Tensor:
    """The values relative to the mean of those that are there."""
    return values - _mean(values, there)
