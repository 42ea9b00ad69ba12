"""The real-gated linear recurrent unit, all steps in one call."""

from typing import Any

import torch
from torch import Tensor

from forecastlab.backbones.kernels.calls import array, call, changing, empty, refuse_second_derivatives
from forecastlab.backbones.kernels.choice import loops
from forecastlab.backbones.kernels.linear import of_linear, product


def rglru(x: Tensor, weight: Tensor, bias: Tensor, rate: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Runs h_t = a_t * h_{t-1} + sqrt(1 - a_t²) * s(i_t) * u_t along time, where a_t = exp(-rate * s(r_t)).

    r_t, i_t and u_t are W x_t + b.

    Args:
        x: (batch, time, width).
        weight: W, (3 * hidden_size, width): the rows of r, i and u.
        bias: b, (3 * hidden_size,).
        rate: (hidden_size,), positive.
        h: (batch, hidden_size), the state before the first step.

    Returns:
        The states of all steps, (batch, time, hidden_size), and the last one.
    """
    y, last = call(_RGLRU, x, weight, bias, rate, h)
    return y, last


class _RGLRU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, rate: Tensor, h: Tensor) -> Any:
        gates, last = product(x, weight, bias).contiguous(), changing(h)
        y = empty(gates, *x.shape[:2], h.shape[1])
        loops().rglru.forward(*map(array, (gates, rate, last, y)))  # gates in place
        ctx.save_for_backward(x, weight, rate, h, gates, y)
        return y, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        x, weight, rate, h, gates, y = ctx.saved_tensors
        dgates, drate, dh = empty(y, *gates.shape), empty(h, *h.shape), changing(gradients[1])
        loops().rglru.backward(*map(array, (gradients[0], gates, rate, h, y, dgates, drate, dh)))
        return *of_linear(dgates, x, weight, ctx.needs_input_grad), drate.sum(0), dh
