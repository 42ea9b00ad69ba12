"""A complex diagonal linear recurrence whose factors differ from step to step, all steps in one call."""

from typing import Any

import torch
from torch import Tensor

from forecastlab.backbones.kernels.calls import array, call, changing, empty, refuse_second_derivatives
from forecastlab.backbones.kernels.choice import loops


def complex_diagonal(a: Tensor, b: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Runs h_t = a_t * h_{t-1} + b_t along time.

    Complex numbers are two reals: the real parts of all units stand first, the imaginary parts after them.

    Args:
        a: the factors, (batch, time, 2 * units).
        b: the summands, likewise.
        h: (batch, 2 * units), the state before the first step.

    Returns:
        The states of all steps, (batch, time, 2 * units), and the last one.
    """
    y, last = call(_ComplexDiagonal, a, b, h)
    return y, last


class _ComplexDiagonal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h: Tensor) -> Any:
        y, last = changing(b), changing(h)
        loops().complex_diagonal.forward_unequal(array(a), array(last), array(y))  # in place
        ctx.save_for_backward(a, h, y)
        return y, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        a, h, y = ctx.saved_tensors
        da, db, dh = empty(y, *y.shape), changing(gradients[0]), changing(gradients[1])
        loops().complex_diagonal.backward_unequal(*map(array, (a, h, y, db, da, dh)))  # db in place
        return da, db, dh
