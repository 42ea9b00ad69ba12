"""Diagonal linear recurrences: a compiled kernel if it can run them, and a loop in Python if it cannot."""

from typing import cast

import torch
from torch import Tensor

from forecastlab.backbones.kernels.choice import usable
from forecastlab.backbones.kernels.diagonal import complex_diagonal, diagonal
from forecastlab.backbones.stepping import Stepped
from forecastlab.batch import State


def recur(layer: Stepped, a: Tensor, b: Tensor, state: State, fused: bool) -> tuple[Tensor, State]:
    """Runs h_t = a_t * h_{t-1} + b_t along time.

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


def recur_complex(layer: Stepped, a: Tensor, b: Tensor, state: State, fused: bool) -> tuple[Tensor, State]:
    """Runs h_t = a * h_{t-1} + b_t along time, for complex numbers and factors that are the same at every step.

    A complex number is two reals: the real parts of all units stand first, the imaginary parts after them. So states,
    files and exported programs hold reals only.

    Args:
        layer: the layer whose recurrence it is; its loop in Python runs if no kernel does.
        a: the factors, (2 * units,).
        b: the summands, (batch, time, 2 * units).
        state: h before the first step, (batch, 2 * units).
        fused: whether a kernel may run.

    Returns:
        The states of all steps, (batch, time, 2 * units), and the last one.
    """
    h = cast(Tensor, state)
    if fused and usable(b, a, h):
        return complex_diagonal(a, b, h)
    real, imaginary = a.chunk(2)
    straight, crossed = torch.cat([real, real]), torch.cat([-imaginary, imaginary])

    def step(b_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
        h = cast(Tensor, state)
        re, im = h.chunk(2, -1)
        h = torch.addcmul(b_t, straight, h) + crossed * torch.cat([im, re], -1)
        return h, h, ()

    y, last, _ = layer.scan(step, b, h)
    return y, last


def _step(x_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
    a_t, b_t = x_t.chunk(2, -1)
    h = a_t * cast(Tensor, state) + b_t
    return h, h, ()
