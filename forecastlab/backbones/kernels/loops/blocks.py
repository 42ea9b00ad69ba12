"""What the kernels share: blocks of rows, their products with weights, and operations on one row."""

from forecastlab.backbones.kernels.loops.compiling import Array, inlined
from forecastlab.backbones.kernels.loops.elementwise import sigmoid, tanh

ROWS = 8
"""The number of rows of a batch in a block."""


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
    """Multiplies the gradients carried[:rows, 0] by the rows of the mask from `first` on."""
    for r in range(rows):
        multiply(carried[r, 0], carried[r, 0], mask[first + r])
