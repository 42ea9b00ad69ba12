"""A layer whose matrix state is written by the delta rule: what `GatedDeltaNet` and `DeltaProduct` share."""

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm, silu, softplus

from forecastlab.backbones.base import require_positive
from forecastlab.backbones.causal_conv import CausalConv
from forecastlab.backbones.layered import InputGatedLayer
from forecastlab.backbones.mamba2 import start_decays
from forecastlab.backbones.matrix_memory import Writes, exactly, memory, remember
from forecastlab.backbones.slstm import require_heads
from forecastlab.batch import State

NEAR_ZERO = 1e-6
"""Added to the squared length of keys and queries before they are divided by it, and to the mean square of a norm."""


class DeltaLayer(InputGatedLayer):
    """A layer with a matrix state per head, written by one or several delta rules per step.

        q, k_1, v_1, .., k_n, v_n = silu(conv(W x_t + b))   each k and q then divided by its length
        z, b̃_1, .., b̃_n, ã = W' x_t + b'
        α = exp(-exp(A) softplus(ã))                        decay, one number per head; 1 if not gated
        β_j = β_max s(b̃_j)                                  write gates, one number per head
        S ← α S_{t-1};  for j = 1 .. n:  S ← S + β_j (v_j - S k_j) k_jᵀ;  S_t = S
        h_t = RMSNorm(S_t q) * silu(z)                      one norm over the units of each head

    The parameters are `weight_ih` and `bias`, with the rows of query, keys and values (of each head, n keys below each
    other), output, write and decay; `conv.weight` and `conv.bias` of query, keys and values; `norm`
    (hidden_size / num_heads,), the weights of the norm; `A_log` (num_heads,), if gated. Without a decay its gate has no
    rows.

    Args:
        input_size: width of the inputs.
        hidden_size: width of the output.
        num_heads: number of independent states.
        writes: number n of delta rules in a step.
        gated: whether the state decays.
        largest: β_max: 1, or 2 to let a write turn the state's direction round.
        kernel_size: number of steps that the convolution sees.
        chunk_size: the most steps that are computed at once.
    """

    gates: ClassVar[tuple[str, ...]] = ("query", "key", "value", "output", "write", "decay")
    parts: ClassVar[tuple[str, ...]] = ("query", "key", "value", "output_gate", "write_gate", "decay", "hidden")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_heads: int,
        writes: int,
        gated: bool,
        largest: float,
        kernel_size: int,
        chunk_size: int,
    ) -> None:
        require_positive(kernel_size=kernel_size, chunk_size=chunk_size)
        require_heads(num_heads, hidden_size=hidden_size)
        wide = hidden_size * writes
        rows = [hidden_size, wide, wide, hidden_size, num_heads * writes, num_heads if gated else 0]
        super().__init__(input_size, hidden_size, rows)
        self.num_heads = num_heads
        self.writes = writes
        self.largest = largest
        self.chunk_size = chunk_size
        self.conv = CausalConv(sum(rows[:3]), kernel_size)
        self.norm = nn.Parameter(torch.ones(hidden_size // num_heads))
        self.A_log = nn.Parameter(torch.empty(num_heads)) if gated else None
        if self.A_log is not None:
            start_decays(self.A_log, self.gate("decay").bias)

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        past, S = cast(tuple[Tensor, Tensor], state)
        q, k, v, z, b, a = self.project(x)
        mixed, past = self.conv(torch.cat([q, k, v], -1), past)
        with exactly(x):
            mixed, z, b, a = (part.to(S.dtype) for part in (silu(mixed), silu(z), b, a))
            q, k, v = (part.unflatten(-1, (self.num_heads, -1)) for part in mixed.split(self.rows[:3], -1))
            k, v = (part.unflatten(-1, (self.writes, -1)) for part in (k, v))
            q, k = unit(q), unit(k)
            beta = self.largest * torch.sigmoid(b.unflatten(-1, (self.num_heads, -1)))
            log_a = torch.zeros_like(beta[..., 0]) if self.A_log is None else -torch.exp(self.A_log) * softplus(a)
            y, S = remember(q, Writes(k, v, beta, log_a), S, self.chunk_size, erase=True)
            h = rms_norm(y, y.shape[-1:], self.norm.to(y.dtype), NEAR_ZERO).flatten(2) * z
        parts = (q.flatten(2), k.flatten(2), v.flatten(2), z, beta.flatten(2), torch.exp(log_a), h)
        return h.to(self.bias.dtype), (past, S), parts if keep_parts else ()

    def initial_state(self, batch_size: int) -> State:
        width = self.hidden_size // self.num_heads
        return self.conv.initial_state(batch_size), memory(self.bias, batch_size, self.num_heads, width, width)


def unit(x: Tensor) -> Tensor:
    """Vectors (..., width) divided by their lengths; those of nearly no length stay short."""
    return x / torch.sqrt(x.square().sum(-1, keepdim=True) + NEAR_ZERO)
