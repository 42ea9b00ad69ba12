"""The loops over time of the sLSTM.

`kept` holds i', f', z, o, c, n and the derivative of log f.
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
from forecastlab.backbones.kernels.loops.elementwise import exp, logsigmoid, sigmoid


@compiled
def forward(
    inputs: Array,
    weight: Array,
    mask: Array,
    h: Array,
    c: Array,
    n: Array,
    m: Array,
    exponential: bool,
    kept: Array,
    y: Array,
) -> None:
    """The sLSTM; weight (4, heads, head size, head size) is transposed; h, c, n and m are left at their last values."""
    batch, time, _ = inputs.shape
    hidden, (_, heads, width, _) = h.shape[1], weight.shape
    one = inputs.dtype.type(1)
    seen, decayed = np.empty((heads, ROWS, width), h.dtype), np.empty(hidden, h.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        for t in range(time):
            step = t if kept.shape[1] > 1 else 0
            for r in range(rows):
                copy(kept[first + r, step][: 4 * hidden], inputs[first + r, t])
                for head in range(heads):
                    part = slice(head * width, (head + 1) * width)
                    multiply(seen[head, r], h[first + r][part], mask[first + r][part])
            for gate in range(4):
                for head in range(heads):
                    column = gate * hidden + head * width
                    add_product(kept, first, step, column, seen[head], weight[gate, head], rows)
            for r in range(rows):
                row, c_r, n_r, m_r, y_r = (
                    kept[first + r, step],
                    c[first + r],
                    n[first + r],
                    m[first + r],
                    y[first + r, t],
                )
                i, f = row[:hidden], row[hidden : 2 * hidden]
                z, o = row[2 * hidden : 3 * hidden], row[3 * hidden : 4 * hidden]
                slope = row[6 * hidden :]
                if exponential:
                    slope[:] = one
                else:
                    for j in range(hidden):
                        slope[j] = sigmoid(-f[j])
                    for j in range(hidden):
                        f[j] = logsigmoid(f[j])
                for j in range(hidden):
                    decayed[j] = f[j] + m_r[j]
                for j in range(hidden):
                    m_r[j] = decayed[j] if decayed[j] > i[j] else i[j]
                for j in range(hidden):
                    f[j] = exp(decayed[j] - m_r[j])
                for j in range(hidden):
                    i[j] = exp(i[j] - m_r[j])
                apply_tanh(z)
                apply_sigmoid(o)
                for j in range(hidden):
                    c_r[j] = f[j] * c_r[j] + i[j] * z[j]
                for j in range(hidden):
                    n_r[j] = f[j] * n_r[j] + i[j]
                for j in range(hidden):
                    y_r[j] = o[j] * (c_r[j] / n_r[j])
                copy(row[4 * hidden : 5 * hidden], c_r)
                copy(row[5 * hidden : 6 * hidden], n_r)
                copy(h[first + r], y_r)


@compiled
def backward(
    dy: Array,
    weight: Array,
    mask: Array,
    c: Array,
    n: Array,
    kept: Array,
    dx: Array,
    dh: Array,
    dc: Array,
    dn: Array,
    dm: Array,
) -> None:
    """As `rnn.backward`, with dh, dc, dn and dm for the state, whose first c and n are given.

    weight (4, heads, head size, head size) is as it is.
    """
    batch, time, _ = dy.shape
    hidden, (_, heads, width, _) = dh.shape[1], weight.shape
    zero, half, one = dy.dtype.type(0), dy.dtype.type(0.5), dy.dtype.type(1)
    left, carried = np.empty((4, heads, ROWS, width), dy.dtype), np.empty((ROWS, 1, hidden), dy.dtype)
    quotient = np.empty(hidden, dy.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        for t in range(time - 1, -1, -1):
            for r in range(rows):
                row, d, d_c, d_n, d_m = kept[first + r, t], dh[first + r], dc[first + r], dn[first + r], dm[first + r]
                i, f = row[:hidden], row[hidden : 2 * hidden]
                z, o = row[2 * hidden : 3 * hidden], row[3 * hidden : 4 * hidden]
                cell, normaliser, slope = row[4 * hidden : 5 * hidden], row[5 * hidden : 6 * hidden], row[6 * hidden :]
                c_before = kept[first + r, t - 1][4 * hidden : 5 * hidden] if t > 0 else c[first + r]
                n_before = kept[first + r, t - 1][5 * hidden : 6 * hidden] if t > 0 else n[first + r]
                out = dx[first + r, t]
                d_i, d_f = out[:hidden], out[hidden : 2 * hidden]
                d_z, d_o = out[2 * hidden : 3 * hidden], out[3 * hidden :]
                add(d, dy[first + r, t])
                for j in range(hidden):
                    quotient[j] = cell[j] / normaliser[j]
                for j in range(hidden):
                    d_o[j] = d[j] * quotient[j] * o[j] * (one - o[j])
                for j in range(hidden):
                    d[j] = d[j] * o[j] / normaliser[j]
                for j in range(hidden):
                    d_c[j] += d[j]
                for j in range(hidden):
                    d_n[j] -= d[j] * quotient[j]
                for j in range(hidden):
                    d_z[j] = d_c[j] * i[j] * (one - z[j] * z[j])
                for j in range(hidden):
                    d_i[j] = (d_c[j] * z[j] + d_n[j]) * i[j]
                for j in range(hidden):
                    d_f[j] = (d_c[j] * c_before[j] + d_n[j] * n_before[j]) * f[j]
                for j in range(hidden):  # what reaches m goes on to the larger of the two that it is the maximum of
                    d_m[j] -= d_i[j] + d_f[j]
                for j in range(hidden):
                    d_i[j] += d_m[j] * (zero if i[j] < one else (one if f[j] < one else half))
                for j in range(hidden):
                    d_f[j] += d_m[j] * (zero if f[j] < one else (one if i[j] < one else half))
                copy(d_m, d_f)
                multiply(d_c, d_c, f)
                multiply(d_n, d_n, f)
                multiply(d_f, d_f, slope)
                for gate in range(4):
                    for head in range(heads):
                        column = gate * hidden + head * width
                        copy(left[gate, head, r], out[column : column + width])
                carried[r, 0, :] = zero
            for gate in range(4):
                for head in range(heads):
                    add_product(carried, 0, 0, head * width, left[gate, head], weight[gate, head], rows)
            carry_back(carried, mask, first, rows)
            for r in range(rows):
                copy(dh[first + r], carried[r, 0])
