"""The loops over time of the cells, and their derivatives, compiled by numba: nothing here knows torch.

One file holds them all, since numba keeps compiled code on disk until the file of the kernel changes, whatever happens
to the files of the functions that it calls. Importing it imports numba; nothing is compiled before its first call.

A kernel takes a block of rows of the batch through all steps before it turns to the next block, so that states and
gates stay in the nearest cache. A row is computed by the same operations in the same order wherever it stands and
whatever the other rows are. Exponentials are polynomials, which become vector instructions; for the same reason every
inner loop is short and writes into one array.

Arrays are C-contiguous and all of one dtype, float32 or float64: inputs (batch, time, gates * hidden), states and masks
(batch, hidden), outputs (batch, time, hidden). Results go into arrays that the caller made. A forward kernel leaves the
gates of a step in `kept` (batch, time, ...) for the backward kernel; where that has room for one step only, they are
written over.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

Array = NDArray[Any]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])

ROWS = 8
"""How many rows of a batch go through time together."""

# Products may be fused with sums. Nothing else is relaxed: infinities and NaN stay, and sums keep their order.
OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}


def compiled(function: Kernel) -> Kernel:
    """Compiles a function at its first call and keeps the machine code on disk, beside this file or in the home."""
    try:
        return cast(Kernel, numba.njit(cache=True, nogil=True, **OPTIONS)(function))
    except RuntimeError:  # neither can be written to: every process compiles anew
        return cast(Kernel, numba.njit(nogil=True, **OPTIONS)(function))


def inlined(function: Kernel) -> Kernel:
    """Compiles a function into the kernels that call it."""
    return cast(Kernel, numba.njit(forceinline=True, **OPTIONS)(function))


# Elementwise functions


class Functions(NamedTuple):
    """Elementwise functions of one dtype."""

    exp: Callable[..., Any]
    tanh: Callable[..., Any]
    sigmoid: Callable[..., Any]
    logsigmoid: Callable[..., Any]


def functions(dtype: Any, integer: Any, degree: int, terms: int) -> Functions:
    """Elementwise functions of a dtype, exact to about two units in the last place.

    Args:
        dtype: the floating dtype.
        integer: the integer dtype of the same size.
        degree: degree of the Taylor polynomial of exp on +-ln(2)/2 that suffices for the dtype.
        terms: half the number of terms of the series of log(1 + e), 0 <= e <= 1, that suffices.
    """
    info = np.finfo(dtype)
    zero, half, one, two = (dtype(number) for number in (0, 0.5, 1, 2))
    one_bits, shift = integer(one.view(integer)), integer(info.nmant)
    magic = dtype(1.5 * 2.0**info.nmant)  # adding it rounds to an integer, which then stands in the lowest bits
    per_ln2, resolution = dtype(1 / math.log(2)), 2.0 ** (info.nmant - 11)
    ln2 = dtype(math.floor(math.log(2) * resolution) / resolution)  # few bits, so that its multiples are exact
    ln2_rest = dtype(Decimal(2).ln() - Decimal(float(ln2)))
    taylor = tuple(dtype(1 / math.factorial(k)) for k in range(degree, 2, -1))
    series = tuple(dtype(2 / (2 * k + 1)) for k in range(2 * terms, 0, -1))
    high_terms, low_terms = series[:terms], series[terms:]  # two loops: a long one would not be unrolled
    lowest, highest = dtype(math.log(info.tiny)), dtype(math.log(info.max) - 1)
    infinity, saturated = dtype(math.inf), dtype(info.nmant)

    @inlined
    def powers(x: Any) -> Any:
        # exp(x) = 2^n (1 + p) with p = exp(r) - 1 and |r| <= ln(2) / 2; gives p and 2^n.
        rounded = dtype(x * per_ln2 + magic)
        n = rounded - magic
        r = (x - n * ln2) - n * ln2_rest
        p = zero
        for coefficient in taylor:
            p = p * r + coefficient
        p = (p * r + half) * (r * r) + r
        return p, integer((dtype(rounded).view(integer) << shift) + one_bits).view(dtype)

    @inlined
    def exp_(x: Any) -> Any:
        p, power = powers(lowest if x < lowest else (highest if x > highest else x))
        y = power * p + power
        return zero if x < lowest else (infinity if x > highest else y)

    def exp(x: Any) -> Any:
        return exp_(x)

    def tanh(x: Any) -> Any:
        y = two * abs(x)
        p, power = powers(saturated if y > saturated else y)
        e = power * p + (power - one)  # exp(y) - 1, exact near 0
        return math.copysign(e / (e + two), x)

    def sigmoid(x: Any) -> Any:
        return one / (one + exp_(-x))

    def logsigmoid(x: Any) -> Any:
        # log(1 + e) = 2 artanh(s) with s = e / (2 + e)
        e = exp_(-abs(x))
        s = e / (two + e)
        square, q = s * s, zero
        for coefficient in high_terms:
            q = (q + coefficient) * square
        for coefficient in low_terms:
            q = (q + coefficient) * square
        return (zero if x > zero else x) - (q * s + two * s)

    return Functions(exp, tanh, sigmoid, logsigmoid)


SINGLE, DOUBLE = functions(np.float32, np.int32, 7, 4), functions(np.float64, np.int64, 13, 8)


def exp(x: Any) -> Any:
    """e^x."""


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""


def sigmoid(x: Any) -> Any:
    """The logistic function."""


def logsigmoid(x: Any) -> Any:
    """The logarithm of the logistic function."""


def _by_dtype(name: str) -> Callable[[Any], Any]:
    chosen = {types.float32: getattr(SINGLE, name), types.float64: getattr(DOUBLE, name)}

    def choose(x: Any) -> Any:  # the annotation as in the functions: numba compares
        return chosen.get(x)

    return choose


for _function in (exp, tanh, sigmoid, logsigmoid):
    overload(_function, jit_options={"forceinline": True, **OPTIONS})(_by_dtype(_function.__name__))


# What the kernels share


@inlined
def add_product(out: Array, first: int, step: int, column: int, a: Array, weight: Array, rows: int) -> None:
    """Adds a[:rows] @ weight to out[first:, step, column:]: a (rows, depth), weight (depth, width)."""
    depth, width = weight.shape
    whole = depth - depth % 8
    for k in range(0, whole, 8):
        w0, w1, w2, w3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        w4, w5, w6, w7 = weight[k + 4], weight[k + 5], weight[k + 6], weight[k + 7]
        for r in range(rows):
            y, a_r = out[first + r, step][column : column + width], a[r]
            a0, a1, a2, a3 = a_r[k], a_r[k + 1], a_r[k + 2], a_r[k + 3]
            a4, a5, a6, a7 = a_r[k + 4], a_r[k + 5], a_r[k + 6], a_r[k + 7]
            for j in range(width):
                low = y[j] + a0 * w0[j] + a1 * w1[j] + a2 * w2[j] + a3 * w3[j]
                y[j] = low + (a4 * w4[j] + a5 * w5[j] + a6 * w6[j] + a7 * w7[j])
    for k in range(whole, depth):
        w0 = weight[k]
        for r in range(rows):
            y, a0 = out[first + r, step][column : column + width], a[r, k]
            for j in range(width):
                y[j] += a0 * w0[j]


@inlined
def copy(out: Array, a: Array) -> None:
    """Writes the first elements of a into out."""
    for j in range(out.shape[0]):
        out[j] = a[j]


@inlined
def add(out: Array, a: Array) -> None:
    """Adds a to out."""
    for j in range(out.shape[0]):
        out[j] += a[j]


@inlined
def multiply(out: Array, a: Array, b: Array) -> None:
    """Writes a * b into out."""
    for j in range(out.shape[0]):
        out[j] = a[j] * b[j]


@inlined
def apply_sigmoid(out: Array) -> None:
    """Takes the logistic function of out in place."""
    for j in range(out.shape[0]):
        out[j] = sigmoid(out[j])


@inlined
def apply_tanh(out: Array) -> None:
    """Takes tanh of out in place."""
    for j in range(out.shape[0]):
        out[j] = tanh(out[j])


@inlined
def carry_back(carried: Array, mask: Array, first: int, rows: int) -> None:
    """What reaches h through the mask: carried[:rows, 0] times the rows of the mask from `first` on."""
    for r in range(rows):
        multiply(carried[r, 0], carried[r, 0], mask[first + r])


# RNN


@compiled
def rnn_forward(inputs: Array, weight: Array, mask: Array, h: Array, relu: bool, y: Array) -> None:
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
def rnn_backward(dy: Array, weight: Array, mask: Array, y: Array, relu: bool, dx: Array, dh: Array) -> None:
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


# GRU; kept: r, z, a, n with a = the recurrent share of the candidate, or r * seen where the gate comes before it


@compiled
def gru_forward(
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
def gru_backward(
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
    """As `rnn_backward`, from the first state h; da is the gradient of what `candidate` gave (reset_after only).

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
                before = y[first + r, t - 1] if t > 0 else h[first + r]
                d_r, d_z, d_n = left[r, :hidden], left[r, hidden:], inner[r]
                add(d, dy[first + r, t])
                for j in range(hidden):
                    d_n[j] = d[j] * (one - z[j]) * (one - n[j] * n[j])
                for j in range(hidden):
                    d_z[j] = d[j] * (before[j] - n[j]) * z[j] * (one - z[j])
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
                    reset, before = kept[first + r, t][:hidden], y[first + r, t - 1] if t > 0 else h[first + r]
                    d_r, through_r, mask_r = left[r, :hidden], through[r, 0], mask[first + r]
                    for j in range(hidden):
                        d_r[j] = through_r[j] * before[j] * mask_r[j] * reset[j] * (one - reset[j])
                    multiply(carried[r, 0], through_r, reset)
            add_product(carried, 0, 0, 0, left, gates, rows)
            carry_back(carried, mask, first, rows)
            for r in range(rows):
                d, z = dh[first + r], kept[first + r, t][hidden : 2 * hidden]
                copy(dx[first + r, t][: 2 * hidden], left[r])
                multiply(d, d, z)
                add(d, carried[r, 0])


# LSTM; kept: i, f, g, o, c and, with a shortcut, p = what the output gate scales


@compiled
def lstm_forward(
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
def lstm_backward(
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
    """As `rnn_backward`, with dh and dc for the state and c the first cell state.

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
                before = kept[first + r, t - 1][4 * hidden : 5 * hidden] if t > 0 else c[first + r]
                d_i, d_f = left[r, :hidden], left[r, hidden : 2 * hidden]
                d_g, d_o = left[r, 2 * hidden : 3 * hidden], left[r, 3 * hidden :]
                for j in range(hidden):
                    d_c[j] += d_m[j] * (one - m_r[j] * m_r[j]) + d_o[j] * v_o[j]
                for j in range(hidden):
                    d_i[j] = d_c[j] * g[j] * i[j] * (one - i[j])
                for j in range(hidden):
                    d_f[j] = d_c[j] * before[j] * f[j] * (one - f[j])
                for j in range(hidden):
                    d_g[j] = d_c[j] * i[j] * (one - g[j] * g[j])
                for j in range(hidden):
                    d_c[j] = d_c[j] * f[j] + d_i[j] * v_i[j] + d_f[j] * v_f[j]
                for j in range(hidden):
                    dpeephole[0, j] += d_i[j] * before[j]
                for j in range(hidden):
                    dpeephole[1, j] += d_f[j] * before[j]
                for j in range(hidden):
                    dpeephole[2, j] += d_o[j] * cell[j]
                copy(dx[first + r, t], left[r])
                carried[r, 0, :] = zero
            add_product(carried, 0, 0, 0, left, weight, rows)
            carry_back(carried, mask, first, rows)
            for r in range(rows):
                copy(dh[first + r], carried[r, 0])


# sLSTM; kept: i', f', z, o, c, n and the derivative of log f


@compiled
def slstm_forward(
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
def slstm_backward(
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
    """As `rnn_backward`, with dh, dc, dn and dm for the state, whose first c and n are given.

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
