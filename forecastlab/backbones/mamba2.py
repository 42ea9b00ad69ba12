"""Mamba2: a matrix state per head with one decay, to which the inputs are added."""

import math
from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm, silu, softplus

from forecastlab.backbones.base import require_positive
from forecastlab.backbones.causal_conv import CausalConv
from forecastlab.backbones.layered import InputGatedLayer, Layered, input_widths
from forecastlab.backbones.matrix_memory import Writes, exactly, memory, remember
from forecastlab.backbones.slstm import require_heads
from forecastlab.batch import State


class Mamba2(Layered):
    """Stack of Mamba2 layers: state space models whose matrices follow the input (Dao and Gu 2024).

        x, B, C = silu(conv(W u_t + b))               causal; u_t is the input of the layer
        Δ_t = softplus(W_Δ u_t + b_Δ)                 step size, one number per head
        a_t = exp(-exp(A) Δ_t)                        decay, between 0 and 1
        S_t = a_t S_{t-1} + Δ_t x Bᵀ                  state, d x state_size, d = hidden_size / num_heads
        y_t = S_t C + D x                             D is one number per head
        h_t = RMSNorm(y_t * silu(W_z u_t + b_z))      one norm over all units; the output

    Each head has units x of its own; B and C are the same for all heads. A large Δ_t forgets the past and takes the
    present in, a small one keeps the state and ignores the input: they cannot be chosen apart, as in a `GatedDeltaNet`,
    and nothing is erased but by the decay. Do not confuse the order of norm and gate with that of the `GatedDeltaNet`.

    A single step, as in `step`, uses the recurrence above, and a longer sequence its chunkwise form ("SSD", see
    `matrix_memory.chunkwise`). They differ by rounding only, and the cost is linear in the length.

    Taken from the paper: the recurrence, the short convolution with silu on x, B and C, the gate and the norm. exp(A)
    starts uniform between 1 and 16, b_Δ such that softplus(b_Δ) is log-uniform between 0.001 and 0.1, and D at 1. Not
    taken: the matrix after the norm, since the next layer or the decoder starts with one, and the norm and the shortcut
    around the block, which are left to hybrids such as `Residual`. Weights and biases start uniform in
    +-1/sqrt(hidden_size) as in torch.nn, and the projections have biases.

    The state of a layer is (the last kernel_size - 1 inputs of the convolution, (batch, kernel_size - 1, hidden_size +
    2 * state_size), oldest first; S, (batch, heads, d, state_size)). S is float32 even in a network of bfloat16.
    `trace` gives per layer "value" x, "output_gate" silu(..) and "hidden", (batch, time, hidden_size), "key" B and
    "query" C, (batch, time, state_size), and "step_size" Δ and "decay" a, (batch, time, num_heads). The rows of the
    parameters are called "value", "key", "query", "output" and "step". No h_{t-1} enters a gate, so there is no
    recurrent dropout.

    Args:
        input_size: width of the inputs.
        hidden_size: width of every layer and of the output.
        num_layers: number of layers.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        num_heads: number of independent states.
        state_size: number of columns of a state, the paper's N.
        kernel_size: number of steps that the convolution sees.
        chunk_size: the most steps that are computed at once; changes speed and memory only.

    Raises:
        ValueError: for a size that is not positive, a hidden size that is not a multiple of `num_heads`, or a dropout
            outside [0, 1).
    """

    source: ClassVar[str] = "Dao and Gu 2024, Transformers are SSMs, arXiv:2405.21060, sections 6 and 7"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        num_heads: int = 4,
        state_size: int = 32,
        kernel_size: int = 4,
        chunk_size: int = 32,
    ) -> None:
        options = (num_heads, state_size, kernel_size, chunk_size)
        widths = input_widths(input_size, hidden_size, num_layers)
        super().__init__(
            input_size, [Mamba2Layer(width, hidden_size, *options) for width in widths], hidden_size, dropout
        )


class Mamba2Layer(InputGatedLayer):
    """One layer of a `Mamba2`.

    The parameters are `weight_ih` and `bias`, with the rows of value, key, query, output and step; `conv.weight` and
    `conv.bias` of value, key and query; `A_log` and `D`, (num_heads,); `norm`, (hidden_size,), the weights of the norm.
    """

    gates: ClassVar[tuple[str, ...]] = ("value", "key", "query", "output", "step")
    parts: ClassVar[tuple[str, ...]] = ("value", "key", "query", "output_gate", "step_size", "decay", "hidden")

    def __init__(
        self, input_size: int, hidden_size: int, num_heads: int, state_size: int, kernel_size: int, chunk_size: int
    ) -> None:
        require_positive(state_size=state_size, kernel_size=kernel_size, chunk_size=chunk_size)
        require_heads(num_heads, hidden_size=hidden_size)
        super().__init__(input_size, hidden_size, [hidden_size, state_size, state_size, hidden_size, num_heads])
        self.num_heads = num_heads
        self.state_size = state_size
        self.chunk_size = chunk_size
        self.conv = CausalConv(hidden_size + 2 * state_size, kernel_size)
        self.A_log = nn.Parameter(torch.empty(num_heads))
        self.D = nn.Parameter(torch.ones(num_heads))
        self.norm = nn.Parameter(torch.ones(hidden_size))
        start_decays(self.A_log, self.gate("step").bias)

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        past, S = cast(tuple[Tensor, Tensor], state)
        *mixed, z, step = self.project(x)
        convolved, past = self.conv(torch.cat(mixed, -1), past)
        with exactly(x):
            v, k, q = (part.to(S.dtype) for part in silu(convolved).split(self.rows[:3], -1))
            z, step = silu(z).to(S.dtype), softplus(step.to(S.dtype))
            log_a = -torch.exp(self.A_log) * step
            values = v.unflatten(-1, (self.num_heads, -1))
            keys, queries = (part.unsqueeze(2).expand(-1, -1, self.num_heads, -1) for part in (k, q))
            writes = Writes(keys.unsqueeze(3), values.unsqueeze(3), step.unsqueeze(3), log_a)
            y, S = remember(queries, writes, S, self.chunk_size, erase=False)
            y = (y + self.D.unsqueeze(-1) * values).flatten(2)
            h = rms_norm(y * z, y.shape[-1:], self.norm.to(y.dtype), 1e-5)
        return h.to(self.bias.dtype), (past, S), (v, k, q, z, step, torch.exp(log_a), h) if keep_parts else ()

    def initial_state(self, batch_size: int) -> State:
        S = memory(self.bias, batch_size, self.num_heads, self.hidden_size // self.num_heads, self.state_size)
        return self.conv.initial_state(batch_size), S


def start_decays(A_log: Tensor, bias: Tensor) -> None:
    """Gives exp(A_log) values between 1 and 16, uniform, and softplus(bias) log-uniform ones from 0.001 to 0.1."""
    with torch.no_grad():
        A_log.uniform_(1, 16).log_()
        step = torch.empty_like(bias).uniform_(math.log(1e-3), math.log(1e-1)).exp_()
        bias.copy_(step + torch.log(-torch.expm1(-step)))
