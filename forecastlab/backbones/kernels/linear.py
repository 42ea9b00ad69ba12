"""Linear maps of all steps in one product of matrices, by the faster of the libraries that torch brings along."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from forecastlab.adapters.torch import onednn_linear
from forecastlab.backbones.kernels.calls import call
from forecastlab.backbones.kernels.choice import computed

ONEDNN_FROM = 2**20
"""The number of multiplications from which oneDNN is faster than MKL."""


class Linear(nn.Linear):
    """As `torch.nn.Linear`, with large products by oneDNN.

    Args:
        in_features: width of the inputs.
        out_features: width of the outputs.
        fused: whether oneDNN may multiply.
    """

    def __init__(self, in_features: int, out_features: int, fused: bool = True) -> None:
        super().__init__(in_features, out_features)
        self.fused = fused

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias, self.fused)


def linear(x: Tensor, weight: Tensor, bias: Tensor, fused: bool = True) -> Tensor:
    """Computes x W' + b, with derivatives of every order.

    Args:
        x: (batch, time, width).
        weight: W, (units, width).
        bias: b, (units,).
        fused: whether oneDNN may multiply.

    Returns:
        (batch, time, units).
    """
    if fused and computed(x, weight, bias) and x.numel() * len(weight) >= ONEDNN_FROM:
        y: Tensor = call(_Linear, x, weight, bias)
        return y
    return nn.functional.linear(x, weight, bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        return of_linear(gradients[0], x, weight, ctx.needs_input_grad)


def of_linear(dy: Tensor, x: Tensor, weight: Tensor, needed: Sequence[bool]) -> tuple[Tensor | None, ...]:
    """The gradients of x, the weight and the bias of a linear map, given that of its outputs.

    Args:
        dy: (batch, time, units).
        x: (batch, time, width).
        weight: (units, width).
        needed: whether each of the three is needed; the others are None.
    """
    rows = dy.flatten(0, 1)
    dx = product(dy, weight.T) if needed[0] else None
    return dx, of_weight(rows, x.flatten(0, 1)) if needed[1] else None, rows.sum(0) if needed[2] else None


def of_weight(dy: Tensor, x: Tensor) -> Tensor:
    """The gradient of a weight, (units, width), from that of its product (rows, units) and its inputs (rows, width)."""
    if x.shape[1] < dy.shape[1]:  # the first operand is turned in memory: that shall be the smaller one
        return product(x.T, dy.T).T
    return product(dy.T, x.T)


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """Computes a b' + bias for a (..., depth), b (columns, depth) and bias (columns,).

    torch multiplies single precision by MKL, which on processors of AMD uses half the width of their registers. oneDNN
    uses all of it, but takes 10 microseconds before it starts, and gives no derivatives.
    """
    long = a.dtype == torch.float32 and a.numel() * b.shape[0] >= ONEDNN_FROM
    if long and not torch.is_grad_enabled() and torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled:
        return onednn_linear(_dense(a), _dense(b), bias)
    return nn.functional.linear(a, b, bias)


def _dense(x: Tensor) -> Tensor:
    # For a part of the columns of a matrix oneDNN would take its slowest program, which takes a hundred times as long.
    return x if x.is_contiguous() or x.mT.is_contiguous() else x.contiguous()
