"""The sLSTM, all steps in one call."""

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


def slstm(
    inputs: Tensor,
    weight_hh: Tensor,
    state: tuple[Tensor, ...],
    mask: Tensor | None,
    exponential: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs the recurrence of the sLSTM along time.

    Args:
        inputs: (batch, time, 4 * hidden_size): the input's share in input gate, forget gate, candidate and output gate,
            all biases included.
        weight_hh: (4 * hidden_size, head_size), in the same order; within a gate the blocks of the heads.
        state: (h, c, n, m) before the first step, each (batch, hidden_size).
        mask: (batch, hidden_size), multiplies h wherever it recurs; None for no mask.
        exponential: whether the forget gate is exp, otherwise it is the logistic function.

    Returns:
        h of all steps, (batch, time, hidden_size), and the state after the last one.
    """
    width = weight_hh.shape[1]
    blocks = weight_hh.view(4, -1, width, width)  # (gates, heads, head_size, head_size)
    keep = differentiated(inputs, blocks, *state)
    y, *last = call(_SLSTM, inputs, blocks, *state, ones_or(mask, state[0]), exponential, keep)
    return y, tuple(last)


class _SLSTM(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        blocks: Tensor,
        h: Tensor,
        c: Tensor,
        n: Tensor,
        m: Tensor,
        mask: Tensor,
        exponential: bool,
        keep: bool,
    ) -> Any:
        (batch, time, _), hidden = inputs.shape, h.shape[1]
        kept, y = empty(inputs, batch, time if keep else 1, 7 * hidden), empty(inputs, batch, time, hidden)
        last = tuple(changing(part) for part in (h, c, n, m))
        loops().slstm.forward(
            array(inputs), array(blocks.mT), array(mask), *map(array, last), exponential, array(kept), array(y)
        )
        ctx.save_for_backward(blocks, h, c, n, mask, kept, y)
        return y, *last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        blocks, h, c, n, mask, kept, y = ctx.saved_tensors
        dx = empty(y, *y.shape[:2], 4 * h.shape[1])
        dstate = tuple(changing(part) for part in gradients[1:])
        loops().slstm.backward(
            array(gradients[0]),
            array(blocks),
            array(mask),
            array(c),
            array(n),
            array(kept),
            array(dx),
            *map(array, dstate),
        )
        heads, width = blocks.shape[1:3]
        seen = seen_before(h, y, mask).unflatten(1, (heads, width)).transpose(0, 1)  # (heads, batch * time, width)
        per_gate = dx.flatten(0, 1).unflatten(1, (4, heads, width)).permute(1, 2, 3, 0)
        return dx, per_gate @ seen, *dstate, None, None, None
