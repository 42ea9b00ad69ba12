"""Diagonal linear recurrences."""

from typing import cast

import torch
from torch import Tensor

from forecastlab.backbones.kernels.choice import usable
from forecastlab.backbones.kernels.complex_diagonal import complex_diagonal
from forecastlab.backbones.kernels.diagonal import diagonal
from forecastlab.backbones.kernels.linear import linear
from forecastlab.backbones.layered import InputGatedLayer
from forecastlab.backbones.stepping import Stepped
from forecastlab.batch import State


class DiagonalLayer(InputGatedLayer):
    """A layer whose gates read the input alone, and whose state enters the next one through a factor per unit.

    Args:
        input_size: width of the inputs.
        hidden_size: width of the state, and of the output.
        fused: whether a compiled kernel may run the recurrence.
    """

    def __init__(self, input_size: int, hidden_size: int, fused: bool) -> None:
        super().__init__(input_size, hidden_size)
        self.fused = fused

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        # under autocast a product has bfloat16, in which a factor near 1 is 1
        together = linear(x, self.weight_ih, self.bias, self.fused).to(self.bias.dtype)
        return torch.split(together, self.rows, -1)

    def initial_state(self, batch_size: int) -> State:
        return self.bias.new_zeros(batch_size, self.hidden_size)


def recur(layer: Stepped, a: Tensor, b: Tensor, state: State, fused: bool) -> tuple[Tensor, State]:
    """Runs h_t = a_t * h_{t-1} + b_t along time: by a compiled kernel if it can, and by a loop in Python if it cannot.

    The steps run one after another. A parallel scan would do more arithmetic; on a CPU it is slower.

    Args:
        layer: the layer whose recurrence it is; its loop in Python runs if no kernel does.
        a: the factors, (batch, time, units).
        b: the summands, likewise.
        state: h before the first step, (batch, units).
        fused: whether a kernel may run.

    Returns:
        The states of all steps, (batch, time, units), and the last one.
    """
    h = cast(Tensor, state)
    if fused and usable(b, a, h):
        return diagonal(a, b, h)
    y, last, _ = layer.scan(_step, torch.cat([a, b], -1), h)
    return y, last


def recur_complex(layer: Stepped, a: Tensor, b: Tensor, state: State) -> tuple[Tensor, State]:
    """Runs h_t = a * h_{t-1} + b_t along time in Python, for complex numbers and factors that are always the same.

    A complex number is two reals: the real parts of all units stand first, the imaginary parts after them. So states,
    files and exported programs hold reals only.

    Args:
        layer: the layer whose recurrence it is.
        a: the factors, (2 * units,).
        b: the summands, (batch, time, 2 * units).
        state: h before the first step, (batch, 2 * units).

    Returns:
        The states of all steps, (batch, time, 2 * units), and the last one.
    """
    real, imaginary = a.chunk(2)
    straight, crossed = torch.cat([real, real]), torch.cat([-imaginary, imaginary])

    def step(b_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
        h = cast(Tensor, state)
        re, im = h.chunk(2, -1)
        h = straight * h + crossed * torch.cat([im, re], -1) + b_t
        return h, h, ()

    y, last, _ = layer.scan(step, b, state)
    return y, last


def recur_complex_unequal(layer: Stepped, a: Tensor, b: Tensor, state: State, fused: bool) -> tuple[Tensor, State]:
    """Runs h_t = a_t * h_{t-1} + b_t along time, for complex numbers as in `recur_complex`.

    Args:
        layer: the layer whose recurrence it is; its loop in Python runs if no kernel does.
        a: the factors, (batch, time, 2 * units).
        b: the summands, likewise.
        state: h before the first step, (batch, 2 * units).
        fused: whether a kernel may run.

    Returns:
        The states of all steps, (batch, time, 2 * units), and the last one.
    """
    h = cast(Tensor, state)
    if fused and usable(b, a, h):
        return complex_diagonal(a, b, h)
    y, last, _ = layer.scan(_complex_step, torch.cat([a, b], -1), h)
    return y, last


def _complex_step(x_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
    a_re, a_im, b_re, b_im = x_t.chunk(4, -1)
    h_re, h_im = cast(Tensor, state).chunk(2, -1)
    h = torch.cat([a_re * h_re - a_im * h_im + b_re, a_re * h_im + a_im * h_re + b_im], -1)
    return h, h, ()


def _step(x_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
    a_t, b_t = x_t.chunk(2, -1)
    h = a_t * cast(Tensor, state) + b_t
    return h, h, ()
