"""A gated value beside a shortcut, u + value * s(gate), in one pass over the units."""

from forecastlab.backbones.kernels.loops.compiling import Array, compiled
from forecastlab.backbones.kernels.loops.elementwise import sigmoid


@compiled
def forward(u: Array, value: Array, gate: Array, h: Array) -> None:
    """Writes h; all are (rows, units)."""
    rows, units = u.shape
    for r in range(rows):
        u_r, value_r, gate_r, h_r = u[r], value[r], gate[r], h[r]
        for j in range(units):
            h_r[j] = u_r[j] + value_r[j] * sigmoid(gate_r[j])


@compiled
def backward(dh: Array, value: Array, gate: Array, dvalue: Array, dgate: Array) -> None:
    """Writes the gradients of value and gate, given that of h; that of u is the same."""
    (rows, units), one = dh.shape, dh.dtype.type(1)
    for r in range(rows):
        d, value_r, gate_r, d_value, d_gate = dh[r], value[r], gate[r], dvalue[r], dgate[r]
        for j in range(units):
            d_gate[j] = sigmoid(gate_r[j])
        for j in range(units):
            d_value[j] = d[j] * d_gate[j]
        for j in range(units):
            d_gate[j] = d_value[j] * value_r[j] * (one - d_gate[j])
