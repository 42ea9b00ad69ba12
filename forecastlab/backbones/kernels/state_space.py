"""A diagonal state space model, all steps in one call."""

from typing import Any

import torch
from torch import Tensor

from forecastlab.backbones.kernels.calls import array, call, changing, empty, refuse_second_derivatives
from forecastlab.backbones.kernels.choice import loops
from forecastlab.backbones.kernels.linear import of_weight, product


def state_space(v: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Runs s_t = a * s_{t-1} + b v_t along time and reads y_t = Re(c s_t) + d * v_t.

    Complex numbers are two reals: the real parts of all states stand first, the imaginary parts after them.

    Args:
        v: the inputs, (batch, time, width).
        a: the factors, (2 * states,).
        b: (2 * states, width), from the input.
        c: (width, 2 * states), to the output; the columns of the imaginary parts are those of -Im(c).
        d: (width,), from the input to the output.
        s: (batch, 2 * states), the state before the first step.

    Returns:
        The outputs of all steps, (batch, time, width), and the last state.
    """
    y, last = call(_StateSpace, v, a, b, c, d, s)
    return y, last


class _StateSpace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, s: Tensor) -> Any:
        y, last, states = run_forward(v, a, b, c, d, s)
        ctx.save_for_backward(v, a, b, c, d, s, states)
        return y, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        return run_backward(*ctx.saved_tensors, *gradients)


def run_forward(v: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `state_space`, without derivatives; also gives the states of all steps, (batch, time, 2 * states)."""
    states, last = product(v, b).contiguous(), changing(s)
    loops().complex_diagonal.forward(array(a), array(last), array(states))  # in place
    return product(states, c).addcmul_(d, v), last, states


def run_backward(
    v: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor,
    s: Tensor,
    states: Tensor,
    dy: Tensor,
    dlast: Tensor,
) -> tuple[Tensor, ...]:
    """The gradients of v, a, b, c, d and s, given those of y and of the last state."""
    dy, flat, ds = dy.flatten(0, 1), v.flatten(0, 1), changing(dlast)
    da, dw = empty(s, *s.shape), product(dy, c.T)
    loops().complex_diagonal.backward(*map(array, (a, s, states, dw.view(states.shape), da, ds)))  # dw in place
    dv = product(dw, b.T).addcmul_(d, dy).view(v.shape)
    return dv, da.sum(0), of_weight(dw, flat), of_weight(dy, states.flatten(0, 1)), (dy * flat).sum(0), ds
