"""The simple recurrent network, all steps in one call."""

from typing import Any

import torch
from torch import Tensor

from forecastlab.backbones.kernels.calls import (
    array,
    call,
    changing,
    empty,
    ones_or,
    refuse_second_derivatives,
    seen_before,
)
from forecastlab.backbones.kernels.choice import loops
from forecastlab.backbones.kernels.linear import of_weight


def rnn(inputs: Tensor, weight_hh: Tensor, h: Tensor, mask: Tensor | None, relu: bool) -> tuple[Tensor, Tensor]:
    """Runs h_t = a(inputs_t + weight_hh (mask * h_{t-1})) along time.

    Args:
        inputs: (batch, time, hidden_size), all biases included.
        weight_hh: (hidden_size, hidden_size).
        h: (batch, hidden_size), the state before the first step.
        mask: (batch, hidden_size), or None for no mask.
        relu: whether a is relu, otherwise it is tanh.

    Returns:
        The states of all steps, (batch, time, hidden_size), and the last one.
    """
    y, last = call(_RNN, inputs, weight_hh, h, ones_or(mask, h), relu)
    return y, last


class _RNN(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight_hh: Tensor, h: Tensor, mask: Tensor, relu: bool) -> Any:
        y, last = empty(inputs, *inputs.shape), changing(h)
        loops().rnn.forward(array(inputs), array(weight_hh.T), array(mask), array(last), relu, array(y))
        ctx.save_for_backward(weight_hh, h, mask, y)
        ctx.relu = relu
        return y, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        weight_hh, h, mask, y = ctx.saved_tensors
        dy, dh = gradients[0], changing(gradients[1])
        dx = empty(y, *y.shape)
        loops().rnn.backward(array(dy), array(weight_hh), array(mask), array(y), ctx.relu, array(dx), array(dh))
        return dx, of_weight(dx.flatten(0, 1), seen_before(h, y, mask)), dh, None, None
