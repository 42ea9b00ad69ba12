"""The loops over time of the real-gated linear recurrent unit.

`kept` holds the recurrence gate, the input gate, the factor a and the scale sqrt(1 - a²).
"""

import math

from forecastlab.backbones.kernels.loops.blocks import copy
from forecastlab.backbones.kernels.loops.compiling import Array, compiled
from forecastlab.backbones.kernels.loops.elementwise import exp, sigmoid, tanh


@compiled
def forward(inputs: Array, rate: Array, h: Array, kept: Array, y: Array) -> None:
    """Runs all steps; rate (hidden,) is -log a where the gate is 1; h (batch, hidden) becomes the last state."""
    batch, time, _ = inputs.shape
    hidden, one = h.shape[1], inputs.dtype.type(1)
    for n in range(batch):
        h_n = h[n]
        for t in range(time):
            row, x, y_t = kept[n, t if kept.shape[1] > 1 else 0], inputs[n, t], y[n, t]
            r, i = row[:hidden], row[hidden : 2 * hidden]
            a, scale, u = row[2 * hidden : 3 * hidden], row[3 * hidden :], x[2 * hidden :]
            for j in range(2 * hidden):
                row[j] = sigmoid(x[j])
            for j in range(hidden):
                scale[j] = -rate[j] * r[j]
            for j in range(hidden):
                a[j] = exp(scale[j])
            for j in range(hidden):  # 1 - a² = -tanh(log a) (1 + a²), exact where a is near 1
                scale[j] = math.sqrt(-tanh(scale[j]) * (one + a[j] * a[j]))
            for j in range(hidden):
                y_t[j] = a[j] * h_n[j] + scale[j] * (i[j] * u[j])
            copy(h_n, y_t)


@compiled
def backward(
    dy: Array, inputs: Array, rate: Array, h: Array, kept: Array, y: Array, dx: Array, drate: Array, dh: Array
) -> None:
    """As `diagonal.backward`, with dx for the inputs; drate (batch, hidden) receives the sums over the steps."""
    batch, time, _ = dy.shape
    hidden, zero, one = dh.shape[1], dy.dtype.type(0), dy.dtype.type(1)
    for n in range(batch):
        d, d_rate = dh[n], drate[n]
        d_rate[:] = zero
        for t in range(time - 1, -1, -1):
            row, out, dy_t = kept[n, t], dx[n, t], dy[n, t]
            before = y[n, t - 1] if t > 0 else h[n]
            r, i = row[:hidden], row[hidden : 2 * hidden]
            a, scale, u = row[2 * hidden : 3 * hidden], row[3 * hidden :], inputs[n, t][2 * hidden :]
            d_r, d_i, d_u = out[:hidden], out[hidden : 2 * hidden], out[2 * hidden :]
            for j in range(hidden):
                d[j] += dy_t[j]
            for j in range(hidden):
                d_u[j] = d[j] * scale[j] * i[j]
            for j in range(hidden):
                d_i[j] = d[j] * scale[j] * u[j] * i[j] * (one - i[j])
            for j in range(hidden):  # for log a; a gate that is shut has no slope, whatever the root's is
                steep = a[j] * i[j] * u[j] / scale[j] if scale[j] > zero else zero
                d_r[j] = d[j] * a[j] * (before[j] - steep)
            for j in range(hidden):
                d_rate[j] -= d_r[j] * r[j]
            for j in range(hidden):
                d_r[j] = -d_r[j] * rate[j] * r[j] * (one - r[j])
            for j in range(hidden):
                d[j] *= a[j]
