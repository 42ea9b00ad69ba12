"""Some columns of a tensor: taken out and put back."""

from collections.abc import Sequence

import torch
from torch import Tensor


def taken(x: Tensor, columns: Sequence[int]) -> Tensor:
    """Some columns, (..., inputs) -> (..., columns): a view if they follow each other, since a copy takes longer.

    Args:
        x: (..., inputs).
        columns: positions among the inputs.
    """
    if together(columns):
        return x[..., columns[0] : columns[0] + len(columns)]
    return x[..., list(columns)]


def replaced(x: Tensor, columns: Sequence[int], values: Tensor) -> Tensor:
    """A copy with other values in some columns.

    Args:
        x: (..., inputs).
        columns: positions among the inputs.
        values: (..., columns).
    """
    if together(columns):
        return torch.cat([x[..., : columns[0]], values, x[..., columns[0] + len(columns) :]], -1)
    return x.index_copy(-1, torch.tensor(columns, dtype=torch.int64, device=x.device), values)


def together(columns: Sequence[int]) -> bool:
    """Whether columns follow each other."""
    return list(columns) == list(range(columns[0], columns[0] + len(columns))) if columns else False
