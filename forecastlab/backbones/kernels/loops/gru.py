"""The loops over time of the gated recurrent unit.

`kept` holds r, z, a, n; a is the recurrent share of the candidate, or r * seen if the gate comes before the product.
"""

import numpy as np

from forecastlab.backbones.kernels.loops.blocks import (
    ROWS,
    add,
    add_product,
    apply_sigmoid,
    apply_tanh,
    carry_back,
    copy,
    multiply,
)
from forecastlab.backbones.kernels.loops.compiling import Array, compiled


@compiled
def forward(
    inputs: Array,
    gates: Array,
    candidate: Array,
    bias: Array,
    mask: Array,
    h: Array,
    reset_after: bool,
    kept: Array,
    y: Array,
) -> None:
    """The GRU; gates (hidden, 2 * hidden) and candidate (hidden, hidden) are the transposed recurrent weights."""
    batch, time, _ = inputs.shape
    hidden = h.shape[1]
    seen = np.empty((ROWS, hidden), inputs.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        for t in range(time):
            step = t if kept.shape[1] > 1 else 0
            for r in range(rows):
                row, x_r = kept[first + r, step], inputs[first + r, t]
                copy(row[: 3 * hidden], bias)
                add(row[: 2 * hidden], x_r[: 2 * hidden])
                multiply(seen[r], h[first + r], mask[first + r])
            add_product(kept, first, step, 0, seen, gates, rows)
            if reset_after:
                add_product(kept, first, step, 2 * hidden, seen, candidate, rows)
            for r in range(rows):
                row, x_r = kept[first + r, step], inputs[first + r, t]
                reset, a, n = row[:hidden], row[2 * hidden : 3 * hidden], row[3 * hidden :]
                apply_sigmoid(row[: 2 * hidden])
                copy(n, x_r[2 * hidden :])
                if reset_after:
                    for j in range(hidden):
                        n[j] += reset[j] * a[j]
                else:
                    add(n, a)  # the bias
                    multiply(seen[r], seen[r], reset)
                    copy(a, seen[r])
            if not reset_after:
                add_product(kept, first, step, 3 * hidden, seen, candidate, rows)
            for r in range(rows):
                row, y_r, h_r = kept[first + r, step], y[first + r, t], h[first + r]
                z, n = row[hidden : 2 * hidden], row[3 * hidden :]
                apply_tanh(n)
                for j in range(hidden):
                    y_r[j] = n[j] + z[j] * (h_r[j] - n[j])
                copy(h_r, y_r)


@compiled
def backward(
    dy: Array,
    gates: Array,
    candidate: Array,
    mask: Array,
    h: Array,
    reset_after: bool,
    kept: Array,
    y: Array,
    dx: Array,
    da: Array,
    dh: Array,
) -> None:
    """As `rnn.backward`, from the first state h; da is the gradient of what `candidate` gave (reset_after only).

    gates (2 * hidden, hidden) and candidate (hidden, hidden) are the recurrent weights as they are.
    """
    batch, time, hidden = y.shape
    zero, one = y.dtype.type(0), y.dtype.type(1)
    left, inner = np.empty((ROWS, 2 * hidden), y.dtype), np.empty((ROWS, hidden), y.dtype)
    carried, through = np.empty((ROWS, 1, hidden), y.dtype), np.empty((ROWS, 1, hidden), y.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        for t in range(time - 1, -1, -1):
            for r in range(rows):
                row, d = kept[first + r, t], dh[first + r]
                reset, z = row[:hidden], row[hidden : 2 * hidden]
                a, n = row[2 * hidden : 3 * hidden], row[3 * hidden :]
                h_before = y[first + r, t - 1] if t > 0 else h[first + r]
                d_r, d_z, d_n = left[r, :hidden], left[r, hidden:], inner[r]
                add(d, dy[first + r, t])
                for j in range(hidden):
                    d_n[j] = d[j] * (one - z[j]) * (one - n[j] * n[j])
                for j in range(hidden):
                    d_z[j] = d[j] * (h_before[j] - n[j]) * z[j] * (one - z[j])
                copy(dx[first + r, t][2 * hidden :], d_n)
                if reset_after:
                    for j in range(hidden):
                        d_r[j] = d_n[j] * a[j] * reset[j] * (one - reset[j])
                    multiply(d_n, d_n, reset)
                    copy(da[first + r, t], d_n)
                carried[r, 0, :] = zero
                through[r, 0, :] = zero
            if reset_after:
                add_product(carried, 0, 0, 0, inner, candidate, rows)
            else:
                add_product(through, 0, 0, 0, inner, candidate, rows)
                for r in range(rows):
                    reset, h_before = kept[first + r, t][:hidden], y[first + r, t - 1] if t > 0 else h[first + r]
                    d_r, through_r, mask_r = left[r, :hidden], through[r, 0], mask[first + r]
                    for j in range(hidden):
                        d_r[j] = through_r[j] * h_before[j] * mask_r[j] * reset[j] * (one - reset[j])
                    multiply(carried[r, 0], through_r, reset)
            add_product(carried, 0, 0, 0, left, gates, rows)
            carry_back(carried, mask, first, rows)
            for r in range(rows):
                d, z = dh[first + r], kept[first + r, t][hidden : 2 * hidden]
                copy(dx[first + r, t][: 2 * hidden], left[r])
                multiply(d, d, z)
                add(d, carried[r, 0])
