"""The gated recurrent unit, all steps in one call."""

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


def gru(
    inputs: Tensor, weight_hh: Tensor, bias_hh: Tensor, h: Tensor, mask: Tensor | None, reset_after: bool
) -> tuple[Tensor, Tensor]:
    """Runs the gated recurrent unit along time.

    Args:
        inputs: (batch, time, 3 * hidden_size): the input's share in reset gate, update gate and candidate.
        weight_hh: (3 * hidden_size, hidden_size), in the same order.
        bias_hh: (3 * hidden_size,); that of the candidate stands beside the product with its weights.
        h: (batch, hidden_size), the state before the first step.
        mask: (batch, hidden_size), or None for no mask.
        reset_after: whether the reset gate multiplies after the recurrent product or before it.

    Returns:
        The states of all steps, (batch, time, hidden_size), and the last one.
    """
    keep = differentiated(inputs, weight_hh, bias_hh, h)
    y, last = call(_GRU, inputs, weight_hh, bias_hh, h, ones_or(mask, h), reset_after, keep)
    return y, last


class _GRU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight_hh: Tensor,
        bias_hh: Tensor,
        h: Tensor,
        mask: Tensor,
        reset_after: bool,
        keep: bool,
    ) -> Any:
        (batch, time, _), hidden = inputs.shape, h.shape[1]
        gates, candidate = weight_hh.split([2 * hidden, hidden])
        kept, y = empty(inputs, batch, time if keep else 1, 4 * hidden), empty(inputs, batch, time, hidden)
        last = changing(h)
        weights = (array(gates.T), array(candidate.T), array(bias_hh))
        loops().gru.forward(array(inputs), *weights, array(mask), array(last), reset_after, array(kept), array(y))
        ctx.save_for_backward(weight_hh, h, mask, kept, y)
        ctx.reset_after = reset_after
        return y, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        weight_hh, h, mask, kept, y = ctx.saved_tensors
        batch, time, hidden = y.shape
        gates, candidate = weight_hh.split([2 * hidden, hidden])
        dh, dx = changing(gradients[1]), empty(y, batch, time, 3 * hidden)
        da = empty(y, *y.shape) if ctx.reset_after else empty(y, 0, 0, 0)
        weights = (array(gates), array(candidate))
        loops().gru.backward(
            array(gradients[0]),
            *weights,
            array(mask),
            array(h),
            ctx.reset_after,
            array(kept),
            array(y),
            array(dx),
            array(da),
            array(dh),
        )
        seen = seen_before(h, y, mask).T.contiguous().T  # turned once for both products
        rows = dx.flatten(0, 1)
        dweight, dbias = of_weight(rows, seen), rows.sum(0)  # of whole rows: a part of the columns takes longer
        if ctx.reset_after:
            d_candidate, read = da.flatten(0, 1), seen
            dbias[2 * hidden :] = d_candidate.sum(0)
        else:
            d_candidate, read = rows[:, 2 * hidden :], kept[..., 2 * hidden : 3 * hidden].flatten(0, 1)
        dweight[2 * hidden :] = of_weight(d_candidate, read)
        return dx, dweight, dbias, dh, None, None, None
