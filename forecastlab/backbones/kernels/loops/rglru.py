"""The loops over time of the real-gated linear recurrent unit.

The gates are all that is kept of a step: the decay and its scale are computed again on the way back, which is cheaper
than to fetch them from memory.
"""

import math

import numpy as np

from forecastlab.backbones.kernels.loops.blocks import apply_sigmoid, copy
from forecastlab.backbones.kernels.loops.compiling import Array, compiled, inlined
from forecastlab.backbones.kernels.loops.elementwise import exp, tanh


@inlined
def decays(a: Array, scale: Array, r: Array, rate: Array) -> None:
    """Writes the factor a of one step and the scale sqrt(1 - a²), given the recurrence gate r; all are (hidden,)."""
    one = a.dtype.type(1)
    for j in range(a.shape[0]):
        a[j] = exp(-rate[j] * r[j])
    for j in range(a.shape[0]):  # 1 - a² = -tanh(log a) (1 + a²), exact where a is near 1
        scale[j] = math.sqrt(tanh(rate[j] * r[j]) * (one + a[j] * a[j]))


@compiled
def forward(inputs: Array, rate: Array, h: Array, y: Array) -> None:
    """Runs all steps.

    Args:
        inputs: (batch, time, 3 * hidden), r, i and u; r and i become the gates.
        rate: (hidden,), -log a where the recurrence gate is 1.
        h: (batch, hidden); the state before the first step before the call, the last state after it.
        y: where the states go, (batch, time, hidden).
    """
    (batch, time, hidden), dtype = y.shape, y.dtype
    a, scale = np.empty(hidden, dtype), np.empty(hidden, dtype)
    for n in range(batch):
        h_n = h[n]
        for t in range(time):
            row, y_t = inputs[n, t], y[n, t]
            r, i, u = row[:hidden], row[hidden : 2 * hidden], row[2 * hidden :]
            apply_sigmoid(row[: 2 * hidden])
            decays(a, scale, r, rate)
            for j in range(hidden):
                y_t[j] = a[j] * h_n[j] + scale[j] * (i[j] * u[j])
            copy(h_n, y_t)


@compiled
def backward(dy: Array, gates: Array, rate: Array, h: Array, y: Array, dx: Array, drate: Array, dh: Array) -> None:
    """As `diagonal.backward`, with dx for the inputs; drate (batch, hidden) receives the sums over the steps.

    `gates` is what `forward` made of the inputs.
    """
    (batch, time, hidden), dtype = dy.shape, dy.dtype
    zero, one = dtype.type(0), dtype.type(1)
    a, scale = np.empty(hidden, dtype), np.empty(hidden, dtype)
    for n in range(batch):
        d, d_rate = dh[n], drate[n]
        d_rate[:] = zero
        for t in range(time - 1, -1, -1):
            row, out, dy_t = gates[n, t], dx[n, t], dy[n, t]
            before = y[n, t - 1] if t > 0 else h[n]
            r, i, u = row[:hidden], row[hidden : 2 * hidden], row[2 * hidden :]
            d_r, d_i, d_u = out[:hidden], out[hidden : 2 * hidden], out[2 * hidden :]
            decays(a, scale, r, rate)
            for j in range(hidden):
                d[j] += dy_t[j]
            for j in range(hidden):
                d_u[j] = d[j] * scale[j] * i[j]
            for j in range(hidden):
                d_i[j] = d_u[j] * u[j] * (one - i[j])
            for j in range(hidden):  # for log a; a gate that is shut has no slope, whatever the root's is
                steep = a[j] * i[j] * u[j] / scale[j] if scale[j] > zero else zero
                d_r[j] = d[j] * a[j] * (before[j] - steep) * r[j]
            for j in range(hidden):
                d_rate[j] -= d_r[j]
            for j in range(hidden):
                d_r[j] *= -rate[j] * (one - r[j])
            for j in range(hidden):
                d[j] *= a[j]
