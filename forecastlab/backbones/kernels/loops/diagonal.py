"""The loops over time of a diagonal linear recurrence, h_t = a_t * h_{t-1} + b_t."""

from forecastlab.backbones.kernels.loops.blocks import copy, multiply
from forecastlab.backbones.kernels.loops.compiling import Array, compiled


@compiled
def forward(a: Array, b: Array, h: Array, y: Array) -> None:
    """Runs all steps: a, b and y (batch, time, units); h (batch, units) becomes the last state."""
    batch, time, units = b.shape
    for r in range(batch):
        h_r = h[r]
        for t in range(time):
            a_t, b_t, y_t = a[r, t], b[r, t], y[r, t]
            for j in range(units):
                y_t[j] = a_t[j] * h_r[j] + b_t[j]
            copy(h_r, y_t)


@compiled
def backward(dy: Array, a: Array, h: Array, y: Array, da: Array, db: Array, dh: Array) -> None:
    """Gradients of the coefficients and of the first state.

    Args:
        dy: gradients of the outputs, (batch, time, units).
        a: the factors, likewise.
        h: the state before the first step, (batch, units).
        y: the outputs, (batch, time, units).
        da: where the gradients of the factors go, likewise.
        db: where those of the summands go, likewise.
        dh: (batch, units); the gradients of the last state before the call, of the first state after it.
    """
    batch, time, units = dy.shape
    for r in range(batch):
        later = dh[r]
        for t in range(time - 1, -1, -1):
            d, dy_t = db[r, t], dy[r, t]
            for j in range(units):
                d[j] = later[j] + dy_t[j]
            multiply(da[r, t], d, y[r, t - 1] if t > 0 else h[r])
            multiply(later, d, a[r, t])
