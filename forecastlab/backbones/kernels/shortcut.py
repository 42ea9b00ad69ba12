"""A gated value beside a shortcut, in one call."""

from typing import Any

import torch
from torch import Tensor

from forecastlab.backbones.kernels.calls import array, call, empty, refuse_second_derivatives
from forecastlab.backbones.kernels.choice import loops


def gated_shortcut(u: Tensor, value: Tensor, gate: Tensor) -> Tensor:
    """Computes u + value * s(gate), where s is the logistic function; all are (batch, time, units)."""
    h: Tensor = call(_GatedShortcut, u, value, gate)
    return h


class _GatedShortcut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, value: Tensor, gate: Tensor) -> Tensor:
        h = empty(u, *u.shape)
        loops().shortcut.forward(*(array(part.flatten(0, 1)) for part in (u, value, gate, h)))
        ctx.save_for_backward(value, gate)
        return h

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        value, gate = ctx.saved_tensors
        dvalue, dgate = empty(value, *value.shape), empty(gate, *gate.shape)
        loops().shortcut.backward(*(array(part.flatten(0, 1)) for part in (gradients[0], value, gate, dvalue, dgate)))
        return gradients[0], dvalue, dgate
