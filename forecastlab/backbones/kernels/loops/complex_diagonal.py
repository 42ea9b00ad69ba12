"""The loops over time of a complex diagonal linear recurrence, h_t = a * h_{t-1} + b_t.

The factors are the same at all steps, or others at every step (`_unequal`). Complex numbers are two reals: the real
parts of all units stand first, the imaginary parts after them.
"""

import numpy as np

from forecastlab.backbones.kernels.loops.blocks import add, copy
from forecastlab.backbones.kernels.loops.compiling import Array, compiled


@compiled
def forward(a: Array, h: Array, y: Array) -> None:
    """Runs all steps in place.

    Args:
        a: the factors, (2 * units,).
        h: (batch, 2 * units); the state before the first step before the call, the last state after it.
        y: (batch, time, 2 * units); the summands b before the call, the states after it.
    """
    (batch, time, _), units = y.shape, a.shape[0] // 2
    real, imaginary = a[:units], a[units:]
    for r in range(batch):
        h_re, h_im = h[r][:units], h[r][units:]
        for t in range(time):
            y_re, y_im = y[r, t][:units], y[r, t][units:]
            for j in range(units):
                y_re[j] += real[j] * h_re[j] - imaginary[j] * h_im[j]
            for j in range(units):
                y_im[j] += real[j] * h_im[j] + imaginary[j] * h_re[j]
            copy(h[r], y[r, t])


@compiled
def backward(a: Array, h: Array, y: Array, dy: Array, da: Array, dh: Array) -> None:
    """Gradients of the factors, of the summands and of the first state.

    Args:
        a: the factors, (2 * units,).
        h: the state before the first step, (batch, 2 * units).
        y: the states, (batch, time, 2 * units).
        dy: likewise; the gradients of the states before the call, of the summands after it.
        da: where the gradients of the factors go, (batch, 2 * units): the sums over the steps of each row.
        dh: (batch, 2 * units); the gradients of the last state before the call, of the first state after it.
    """
    (batch, time, _), units = dy.shape, a.shape[0] // 2
    real, imaginary = a[:units], a[units:]
    later = np.empty(units, dy.dtype)
    for r in range(batch):
        d_re, d_im = dh[r][:units], dh[r][units:]
        da_re, da_im = da[r][:units], da[r][units:]
        da[r, :] = dy.dtype.type(0)
        for t in range(time - 1, -1, -1):
            seen = y[r, t - 1] if t > 0 else h[r]
            h_re, h_im = seen[:units], seen[units:]
            add(dh[r], dy[r, t])
            copy(dy[r, t], dh[r])
            for j in range(units):
                da_re[j] += d_re[j] * h_re[j] + d_im[j] * h_im[j]
            for j in range(units):
                da_im[j] += d_im[j] * h_re[j] - d_re[j] * h_im[j]
            for j in range(units):
                later[j] = real[j] * d_re[j] + imaginary[j] * d_im[j]
            for j in range(units):
                d_im[j] = real[j] * d_im[j] - imaginary[j] * d_re[j]
            copy(d_re, later)


@compiled
def forward_unequal(a: Array, h: Array, y: Array) -> None:
    """Runs all steps in place, with factors (batch, time, 2 * units); the rest as for `forward`."""
    (batch, time, _), units = y.shape, y.shape[2] // 2
    for r in range(batch):
        h_re, h_im = h[r][:units], h[r][units:]
        for t in range(time):
            real, imaginary = a[r, t][:units], a[r, t][units:]
            y_re, y_im = y[r, t][:units], y[r, t][units:]
            for j in range(units):
                y_re[j] += real[j] * h_re[j] - imaginary[j] * h_im[j]
            for j in range(units):
                y_im[j] += real[j] * h_im[j] + imaginary[j] * h_re[j]
            copy(h[r], y[r, t])


@compiled
def backward_unequal(a: Array, h: Array, y: Array, dy: Array, da: Array, dh: Array) -> None:
    """Gradients with factors and `da` of (batch, time, 2 * units); the rest as for `backward`."""
    (batch, time, _), units = dy.shape, dy.shape[2] // 2
    later = np.empty(units, dy.dtype)
    for r in range(batch):
        d_re, d_im = dh[r][:units], dh[r][units:]
        for t in range(time - 1, -1, -1):
            real, imaginary = a[r, t][:units], a[r, t][units:]
            da_re, da_im = da[r, t][:units], da[r, t][units:]
            seen = y[r, t - 1] if t > 0 else h[r]
            h_re, h_im = seen[:units], seen[units:]
            add(dh[r], dy[r, t])
            copy(dy[r, t], dh[r])
            for j in range(units):
                da_re[j] = d_re[j] * h_re[j] + d_im[j] * h_im[j]
            for j in range(units):
                da_im[j] = d_im[j] * h_re[j] - d_re[j] * h_im[j]
            for j in range(units):
                later[j] = real[j] * d_re[j] + imaginary[j] * d_im[j]
            for j in range(units):
                d_im[j] = real[j] * d_im[j] - imaginary[j] * d_re[j]
            copy(d_re, later)
