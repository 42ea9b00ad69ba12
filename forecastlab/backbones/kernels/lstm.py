"""Long short-term memory and its relatives with peepholes or a shortcut, all steps in one call."""

from typing import Any

import torch
from torch import Tensor

from forecastlab.backbones.kernels.calls import (
    array,
    call,
    changing,
    differentiated,
    empty,
    ones_or,
    refuse_second_derivatives,
    seen_before,
)
from forecastlab.backbones.kernels.choice import loops
from forecastlab.backbones.kernels.linear import of_weight


def lstm(
    inputs: Tensor,
    weight_hh: Tensor,
    state: tuple[Tensor, Tensor],
    mask: Tensor | None,
    peephole: Tensor | None = None,
    shortcut: Tensor | None = None,
    projection: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Runs an LSTM along time, with h_t = o_t * tanh(c_t), or o_t * (W_p tanh(c_t) + shortcut_t).

    Args:
        inputs: (batch, time, 4 * hidden_size): the input's share in input gate, forget gate, candidate and output gate,
            all biases included.
        weight_hh: (4 * hidden_size, hidden_size), in the same order.
        state: (h, c) before the first step, each (batch, hidden_size).
        mask: (batch, hidden_size), multiplies h wherever it recurs; None for no mask.
        peephole: (3, hidden_size), diagonal weights of the cell state in input, forget and output gate; None for none.
        shortcut: (batch, time, hidden_size), or None for none.
        projection: W_p, (hidden_size, hidden_size), or None for the identity; only with a shortcut.

    Returns:
        h of all steps, (batch, time, hidden_size), and the state after the last one.
    """
    h, c = state
    keep = differentiated(inputs, weight_hh, h, c, peephole, shortcut, projection)
    y, *last = call(_LSTM, inputs, weight_hh, h, c, ones_or(mask, h), peephole, shortcut, projection, keep)
    return y, (last[0], last[1])


class _LSTM(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight_hh: Tensor,
        h: Tensor,
        c: Tensor,
        mask: Tensor,
        peephole: Tensor | None,
        shortcut: Tensor | None,
        projection: Tensor | None,
        keep: bool,
    ) -> Any:
        (batch, time, _), hidden = inputs.shape, h.shape[1]
        kept = empty(inputs, batch, time if keep else 1, (5 if shortcut is None else 6) * hidden)
        y, h_last, c_last = empty(inputs, batch, time, hidden), changing(h), changing(c)
        loops().lstm.forward(
            array(inputs),
            array(weight_hh.T),
            array(empty(inputs, 0, 0) if projection is None else projection.T),
            array(empty(inputs, 0, 0, 0) if shortcut is None else shortcut),
            array(inputs.new_zeros(3, hidden) if peephole is None else peephole),
            array(mask),
            array(h_last),
            array(c_last),
            array(kept),
            array(y),
        )
        ctx.save_for_backward(weight_hh, h, c, mask, peephole, projection, kept, y)
        ctx.residual = shortcut is not None
        return y, h_last, c_last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        weight_hh, h, c, mask, peephole, projection, kept, y = ctx.saved_tensors
        hidden = h.shape[1]
        dy, dh, dc = gradients[0], changing(gradients[1]), changing(gradients[2])
        dx, dpeephole = empty(y, *y.shape[:2], 4 * hidden), y.new_zeros(3, hidden)
        nothing = empty(y, 0, 0, 0)
        dp = empty(y, *y.shape) if ctx.residual else nothing
        squashed = nothing if projection is None else empty(y, *y.shape)
        loops().lstm.backward(
            array(dy),
            array(weight_hh),
            array(empty(y, 0, 0) if projection is None else projection),
            array(y.new_zeros(3, hidden) if peephole is None else peephole),
            array(mask),
            array(c),
            array(kept),
            array(dx),
            array(dp),
            array(squashed),
            array(dpeephole),
            array(dh),
            array(dc),
        )
        dweight = of_weight(dx.flatten(0, 1), seen_before(h, y, mask))
        dprojection = None
        if projection is not None:
            dprojection = of_weight(dp.flatten(0, 1), squashed.flatten(0, 1))
        return (
            dx,
            dweight,
            dh,
            dc,
            None,
            None if peephole is None else dpeephole,
            dp if ctx.residual else None,
            dprojection,
            None,
        )
