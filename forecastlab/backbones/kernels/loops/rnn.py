"""The loops over time of the simple recurrent network."""

import numpy as np

from forecastlab.backbones.kernels.loops.blocks import ROWS, add, add_product, apply_tanh, carry_back, copy, multiply
from forecastlab.backbones.kernels.loops.compiling import Array, compiled


@compiled
def forward(inputs: Array, weight: Array, mask: Array, h: Array, relu: bool, y: Array) -> None:
    """h_t = a(inputs_t + (mask * h_{t-1}) weight); h is left at its last value."""
    batch, time, hidden = inputs.shape
    zero = inputs.dtype.type(0)
    seen = np.empty((ROWS, hidden), inputs.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        for t in range(time):
            for r in range(rows):
                copy(y[first + r, t], inputs[first + r, t])
                multiply(seen[r], h[first + r], mask[first + r])
            add_product(y, first, t, 0, seen, weight, rows)
            for r in range(rows):
                y_r = y[first + r, t]
                if relu:
                    for j in range(hidden):
                        y_r[j] = zero if y_r[j] <= zero else y_r[j]
                else:
                    apply_tanh(y_r)
                copy(h[first + r], y_r)


@compiled
def backward(dy: Array, weight: Array, mask: Array, y: Array, relu: bool, dx: Array, dh: Array) -> None:
    """Gradients dx of the inputs; dh comes in as that of the last state and is left as that of the first."""
    batch, time, hidden = y.shape
    zero, one = y.dtype.type(0), y.dtype.type(1)
    left, carried = np.empty((ROWS, hidden), y.dtype), np.empty((ROWS, 1, hidden), y.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        for t in range(time - 1, -1, -1):
            for r in range(rows):
                d, y_r, left_r = dh[first + r], y[first + r, t], left[r]
                add(d, dy[first + r, t])
                if relu:
                    for j in range(hidden):
                        left_r[j] = zero if y_r[j] <= zero else d[j]
                else:
                    for j in range(hidden):
                        left_r[j] = d[j] * (one - y_r[j] * y_r[j])
                copy(dx[first + r, t], left_r)
                carried[r, 0, :] = zero
            add_product(carried, 0, 0, 0, left, weight, rows)
            carry_back(carried, mask, first, rows)
            for r in range(rows):
                copy(dh[first + r], carried[r, 0])
