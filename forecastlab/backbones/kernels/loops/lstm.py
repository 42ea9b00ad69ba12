"""The loops over time of the LSTM and its relatives with peepholes or a shortcut.

`kept` holds i, f, g, o, c and, with a shortcut, p: what the output gate scales.
"""

import numpy as np

from forecastlab.backbones.kernels.loops.blocks import ROWS, add, add_product, apply_tanh, carry_back, copy, multiply
from forecastlab.backbones.kernels.loops.compiling import Array, compiled
from forecastlab.backbones.kernels.loops.elementwise import sigmoid


@compiled
def forward(
    inputs: Array,
    weight: Array,
    projection: Array,
    shortcut: Array,
    peephole: Array,
    mask: Array,
    h: Array,
    c: Array,
    kept: Array,
    y: Array,
) -> None:
    """The LSTM with peepholes (zeros for none) and a shortcut; h and c are left at their last values.

    weight (hidden, 4 * hidden) and projection (hidden, hidden) are transposed; a projection or shortcut of size 0 is
    none: h = o * tanh(c), or o * (tanh(c) + shortcut), or o * (tanh(c) projection + shortcut).
    """
    batch, time, _ = inputs.shape
    hidden = h.shape[1]
    v_i, v_f, v_o = peephole[0], peephole[1], peephole[2]
    residual, projected = shortcut.size > 0, projection.size > 0
    seen, m = np.empty((ROWS, hidden), h.dtype), np.empty((ROWS, hidden), h.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        for t in range(time):
            step = t if kept.shape[1] > 1 else 0
            for r in range(rows):
                copy(kept[first + r, step][: 4 * hidden], inputs[first + r, t])
                multiply(seen[r], h[first + r], mask[first + r])
            add_product(kept, first, step, 0, seen, weight, rows)
            for r in range(rows):
                row, c_r, m_r = kept[first + r, step], c[first + r], m[r]
                i, f = row[:hidden], row[hidden : 2 * hidden]
                g, o = row[2 * hidden : 3 * hidden], row[3 * hidden : 4 * hidden]
                for j in range(hidden):
                    i[j] = sigmoid(i[j] + v_i[j] * c_r[j])
                for j in range(hidden):
                    f[j] = sigmoid(f[j] + v_f[j] * c_r[j])
                apply_tanh(g)
                for j in range(hidden):
                    c_r[j] = f[j] * c_r[j] + i[j] * g[j]
                for j in range(hidden):
                    o[j] = sigmoid(o[j] + v_o[j] * c_r[j])
                copy(row[4 * hidden : 5 * hidden], c_r)
                copy(m_r, c_r)
                apply_tanh(m_r)
                if residual:
                    copy(row[5 * hidden :], shortcut[first + r, t])
                    if not projected:
                        add(row[5 * hidden :], m_r)
            if projected:
                add_product(kept, first, step, 5 * hidden, m, projection, rows)
            for r in range(rows):
                row = kept[first + r, step]
                multiply(y[first + r, t], row[3 * hidden : 4 * hidden], row[5 * hidden :] if residual else m[r])
                copy(h[first + r], y[first + r, t])


@compiled
def backward(
    dy: Array,
    weight: Array,
    projection: Array,
    peephole: Array,
    mask: Array,
    c: Array,
    kept: Array,
    dx: Array,
    dp: Array,
    squashed: Array,
    dpeephole: Array,
    dh: Array,
    dc: Array,
) -> None:
    """As `rnn.backward`, with dh and dc for the state and c the first cell state.

    Further gradients: dpeephole is added to; dp is that of what the output gate scales, of size 0 without a shortcut.
    `squashed` becomes tanh(c), which the projection's gradient needs, of size 0 without one.
    weight (4 * hidden, hidden) and projection are as they are.
    """
    batch, time, _ = dy.shape
    hidden = dh.shape[1]
    zero, one = dy.dtype.type(0), dy.dtype.type(1)
    v_i, v_f, v_o = peephole[0], peephole[1], peephole[2]
    residual, projected = dp.size > 0, projection.size > 0
    left, inner = np.empty((ROWS, 4 * hidden), dy.dtype), np.empty((ROWS, hidden), dy.dtype)
    m, carried = np.empty((ROWS, hidden), dy.dtype), np.empty((ROWS, 1, hidden), dy.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        for t in range(time - 1, -1, -1):
            for r in range(rows):
                row, d, m_r, d_p = kept[first + r, t], dh[first + r], m[r], inner[r]
                o, d_o = row[3 * hidden : 4 * hidden], left[r, 3 * hidden :]
                add(d, dy[first + r, t])
                copy(m_r, row[4 * hidden : 5 * hidden])
                apply_tanh(m_r)
                multiply(d_p, d, o)
                multiply(d_o, d, row[5 * hidden :] if residual else m_r)
                for j in range(hidden):
                    d_o[j] *= o[j] * (one - o[j])
                if residual:
                    copy(dp[first + r, t], d_p)
                if projected:
                    copy(squashed[first + r, t], m_r)
                    carried[r, 0, :] = zero
                else:
                    copy(carried[r, 0], d_p)
            if projected:
                add_product(carried, 0, 0, 0, inner, projection, rows)
            for r in range(rows):
                row, m_r, d_m, d_c = kept[first + r, t], m[r], carried[r, 0], dc[first + r]
                i, f, g = row[:hidden], row[hidden : 2 * hidden], row[2 * hidden : 3 * hidden]
                cell = row[4 * hidden : 5 * hidden]
                c_before = kept[first + r, t - 1][4 * hidden : 5 * hidden] if t > 0 else c[first + r]
                d_i, d_f = left[r, :hidden], left[r, hidden : 2 * hidden]
                d_g, d_o = left[r, 2 * hidden : 3 * hidden], left[r, 3 * hidden :]
                for j in range(hidden):
                    d_c[j] += d_m[j] * (one - m_r[j] * m_r[j]) + d_o[j] * v_o[j]
                for j in range(hidden):
                    d_i[j] = d_c[j] * g[j] * i[j] * (one - i[j])
                for j in range(hidden):
                    d_f[j] = d_c[j] * c_before[j] * f[j] * (one - f[j])
                for j in range(hidden):
                    d_g[j] = d_c[j] * i[j] * (one - g[j] * g[j])
                for j in range(hidden):
                    d_c[j] = d_c[j] * f[j] + d_i[j] * v_i[j] + d_f[j] * v_f[j]
                for j in range(hidden):
                    dpeephole[0, j] += d_i[j] * c_before[j]
                for j in range(hidden):
                    dpeephole[1, j] += d_f[j] * c_before[j]
                for j in range(hidden):
                    dpeephole[2, j] += d_o[j] * cell[j]
                copy(dx[first + r, t], left[r])
                carried[r, 0, :] = zero
            add_product(carried, 0, 0, 0, left, weight, rows)
            carry_back(carried, mask, first, rows)
            for r in range(rows):
                copy(dh[first + r], carried[r, 0])
