"""The real-gated linear recurrent unit, all steps in one call."""

from typing import Any

import torch
from torch import Tensor

from forecastlab.backbones.kernels.calls import (
    array,
    call,
    changing,
    differentiated,
    empty,
    refuse_second_derivatives,
)
from forecastlab.backbones.kernels.choice import loops


def rglru(inputs: Tensor, rate: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Runs h_t = a_t * h_{t-1} + sqrt(1 - a_t²) * s(i_t) * u_t along time, where a_t = exp(-rate * s(r_t)).

    Args:
        inputs: (batch, time, 3 * hidden_size): r, i and u.
        rate: (hidden_size,), positive.
        h: (batch, hidden_size), the state before the first step.

    Returns:
        The states of all steps, (batch, time, hidden_size), and the last one.
    """
    y, last = call(_RGLRU, inputs, rate, h, differentiated(inputs, rate, h))
    return y, last


class _RGLRU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, rate: Tensor, h: Tensor, keep: bool) -> Any:
        (batch, time, _), hidden = inputs.shape, h.shape[1]
        kept, y = empty(inputs, batch, time if keep else 1, 4 * hidden), empty(inputs, batch, time, hidden)
        last = changing(h)
        loops().rglru.forward(*map(array, (inputs, rate, last, kept, y)))
        ctx.save_for_backward(inputs, rate, h, kept, y)
        return y, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        inputs, rate, h, kept, y = ctx.saved_tensors
        dx, drate, dh = empty(y, *inputs.shape), empty(h, *h.shape), changing(gradients[1])
        loops().rglru.backward(*map(array, (gradients[0], inputs, rate, h, kept, y, dx, drate, dh)))
        return dx, drate.sum(0), dh, None
