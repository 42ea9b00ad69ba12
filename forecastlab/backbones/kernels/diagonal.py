"""A diagonal linear recurrence, all steps in one call."""

from typing import Any

import torch
from torch import Tensor

from forecastlab.backbones.kernels.calls import array, call, changing, empty, refuse_second_derivatives
from forecastlab.backbones.kernels.choice import loops


def diagonal(a: Tensor, b: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Runs h_t = a_t * h_{t-1} + b_t along time.

    Args:
        a: the factors, (batch, time, units).
        b: the summands, likewise.
        h: (batch, units), the state before the first step.

    Returns:
        The states of all steps, (batch, time, units), and the last one.
    """
    y, last = call(_Diagonal, a, b, h)
    return y, last


class _Diagonal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h: Tensor) -> Any:
        y, last = empty(b, *b.shape), changing(h)
        loops().diagonal.forward(array(a), array(b), array(last), array(y))
        ctx.save_for_backward(a, h, y)
        return y, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        a, h, y = ctx.saved_tensors
        da, db, dh = empty(y, *y.shape), empty(y, *y.shape), changing(gradients[1])
        loops().diagonal.backward(*map(array, (gradients[0], a, h, y, da, db, dh)))
        return da, db, dh
