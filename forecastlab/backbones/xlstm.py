"""The xLSTM: a residual stack of blocks around sLSTM and mLSTM cells."""

from collections.abc import Sequence
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, silu

from forecastlab.backbones.base import Backbone, GateParameters, require_positive, require_probability
from forecastlab.backbones.causal_conv import CausalConv
from forecastlab.backbones.layered import Layer, Layered
from forecastlab.backbones.mlstm import initial_memory, remember
from forecastlab.backbones.slstm import (
    Forget,
    ForgetBias,
    SLSTMLayer,
    forget_biases,
    log_forget_gate,
    require_forget,
    require_heads,
)
from forecastlab.batch import State


class XLSTM(Backbone):
    """Residual stack of blocks with an sLSTM ("s") or an mLSTM ("m") inside, in a given pattern.

        u^0 = E x                                     inputs to the width of the stack
        u^l = u^{l-1} + block^l(LN(u^{l-1}))          pre-normalised blocks
        y = LN(u^L)

        block "s", post up-projection:
            a = swish(conv(u))                        causal, each channel its own filter
            ĩ, f̃ from a;  z̃, õ from u                 block-diagonal, as the recurrence: head by head
            h = GN(sLSTM(ĩ, f̃, z̃, õ))                 each head normalised
            block = W_down (gelu(W_up h) ⊙ V_up h)    4/3 times as wide

        block "m", pre up-projection:
            v, g = W_up u                             2 times as wide each
            a = swish(conv(v))
            q, k = block-diagonal maps of a           blocks of 4;  ĩ, f̃ = W a + b, one number per head
            h = GN(mLSTM(q, k, v, ĩ, f̃)) + s ⊙ a      learnable skip s
            block = W_down (h ⊙ swish(g))             swish(g) stands for the mLSTM's output gate

    The cells are those of `SLSTM` and `MLSTM`; the mLSTM runs in its parallel or chunkwise form.

    Deviations: the paper's stack embeds words, this one maps the inputs linearly. Descriptions of the blocks differ.
    Here an "s" block is one residual step, not one for the cell and another for the gated projection. In an "m" block
    the gates read a, as the sLSTM's do, and the cell reads v without another map. Weights start as in torch.nn, those
    of the sLSTM as in `SLSTM`. `forget_bias` is added to the biases of the forget gates.

    Parameters of block l are below `blocks.layers.l`: `norm`, `conv` (weight (width, kernel_size), oldest step first),
    `group_norm`, `up`, `down`; in an "s" block `cell` (weight_ih and weight_hh (4 * hidden_size, head_size)), in an "m"
    block `query` and `key` (2 * hidden_size, 4), `gates` (rows of all heads' ĩ, then f̃) and `skip`.

    The state is, per block, (the last kernel_size - 1 inputs of its convolution, its cell's state as in `SLSTM` or
    `MLSTM`). `trace` gives per block the signals that the cell's class gives, and "stream", u^l (batch, time,
    hidden_size). In an "m" block they are 2 * hidden_size wide instead of hidden_size, "output_gate" is swish(g), and
    "hidden" is the output of the mLSTM before its normalisation.

    Args:
        input_size: width of the inputs.
        hidden_size: width of the stack and of the output, even.
        num_layers: number of blocks; the pattern is repeated. None for the pattern once.
        dropout: probability that a value of a block's output is dropped before it is added, in training.
        recurrent_dropout: as in `SLSTM`, for "s" blocks.
        pattern: "s" and "m" per block, lowest first.
        num_heads: number of heads in every block.
        forget: activation of the forget gates.
        forget_bias: added to the forget gates' biases at the start: a number, or those of the first and of the last
            unit or head, evenly between. None for 0 to 6 with "sigmoid", and 0 with "exp".
        kernel_size: number of steps that a convolution sees.
        chunk_size: as in `MLSTM`.
        fused: as in `SLSTM`, for "s" blocks.

    Raises:
        ValueError: for a size that is not positive, a hidden size that is odd or not a multiple of `num_heads`, a
            pattern that is empty or has other letters, an unknown forget gate or a probability outside [0, 1).
    """

    source: ClassVar[str] = "Beck et al. 2024, xLSTM: Extended Long Short-Term Memory, arXiv:2405.04517, section 2.4"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        pattern: Sequence[Literal["s", "m"]] = ("m", "s"),
        num_heads: int = 4,
        forget: Forget = "sigmoid",
        forget_bias: ForgetBias = None,
        kernel_size: int = 4,
        chunk_size: int = 32,
        fused: bool = True,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if not pattern or not set(pattern) <= {"s", "m"}:
            raise ValueError(f"pattern must be a sequence of 's' and 'm', one per block, got {pattern!r}")
        num_layers = len(pattern) if num_layers is None else num_layers
        require_positive(num_layers=num_layers, kernel_size=kernel_size, chunk_size=chunk_size)
        require_probability(dropout=dropout, recurrent_dropout=recurrent_dropout)
        require_heads(num_heads, hidden_size=hidden_size)
        require_forget(forget)
        if hidden_size % 2:
            raise ValueError(f"hidden_size must be even, since blocks of 4 divide its double, got {hidden_size}")
        self.hidden_size = hidden_size
        common = (hidden_size, num_heads, forget, forget_bias, kernel_size, dropout)
        kinds = (pattern[number % len(pattern)] for number in range(num_layers))
        blocks = [
            SBlock(*common, recurrent_dropout, fused) if kind == "s" else MBlock(*common, chunk_size) for kind in kinds
        ]
        self.embed = nn.Linear(input_size, hidden_size)
        self.blocks = Layered(hidden_size, blocks, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        self.require_sequence(x)
        u, state = self.blocks(self.embed(x), state)
        return self.norm(u), state

    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        self.require_sequence(x)
        signals = self.blocks.trace(self.embed(x), state)
        return signals | {"output": self.norm(signals["output"])}

    def initial_state(self, batch_size: int) -> State:
        return self.blocks.initial_state(batch_size)

    def gate(self, layer: int, name: str) -> GateParameters:
        """The parameters of one gate of a block, as views.

        In an "s" block, "input", "forget", "candidate" and "output": both weights (hidden_size, head_size), blocks one
        below the other. In an "m" block, "input" and "forget": weight_ih (num_heads, 2 * hidden_size), weight_hh of
        width 0.

        Raises:
            ValueError: for a block or a gate that the network does not have.
        """
        blocks = cast(Sequence["SBlock | MBlock"], self.blocks.layers)
        if not 0 <= layer < len(blocks):
            raise ValueError(f"layer must be at least 0 and below {len(blocks)}, got {layer!r}")
        return blocks[layer].gate(name)


class SBlock(Layer):
    """The residual block around an sLSTM."""

    parts: ClassVar[tuple[str, ...]] = (*SLSTMLayer.parts, "stream")

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        forget: Forget,
        forget_bias: ForgetBias,
        kernel_size: int,
        dropout: float,
        recurrent_dropout: float,
        fused: bool,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm = nn.LayerNorm(hidden_size)
        self.conv = CausalConv(hidden_size, kernel_size)
        options = (recurrent_dropout, num_heads, forget, forget_bias, fused)
        self.cell = SLSTMLayer(hidden_size // num_heads, hidden_size, *options)
        self.group_norm = nn.GroupNorm(num_heads, hidden_size)
        width = -(-4 * hidden_size // 3)
        self.up = nn.Linear(hidden_size, 2 * width)
        self.down = nn.Linear(width, hidden_size)

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        past, cell_state = cast(tuple[Tensor, tuple[Tensor, ...]], state)
        u = self.norm(x)
        a, past = self.conv(u, past)
        from_a, from_u = self.cell.weight_ih.chunk(2)
        inputs = torch.cat([block_linear(silu(a), from_a), block_linear(u, from_u)], -1) + self.cell.bias
        h, after, parts = self.cell.recur(inputs, cell_state, keep_parts)
        gate, value = self.up(_normalise_heads(self.group_norm, h)).chunk(2, -1)
        x = x + dropout(self.down(gelu(gate) * value), self.dropout, self.training)
        return x, (past, after), [*parts, x] if keep_parts else []

    def initial_state(self, batch_size: int) -> State:
        return self.conv.initial_state(batch_size), self.cell.initial_state(batch_size)

    def gate(self, name: str) -> GateParameters:
        """The parameters of one gate of the cell, as views."""
        return self.cell.gate(name)


class MBlock(Layer):
    """The residual block around an mLSTM."""

    parts: ClassVar[tuple[str, ...]] = (
        "query",
        "key",
        "value",
        "output_gate",
        "input_gate",
        "forget_gate",
        "normaliser",
        "stabiliser",
        "hidden",
        "stream",
    )

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        forget: Forget,
        forget_bias: ForgetBias,
        kernel_size: int,
        dropout: float,
        chunk_size: int,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.forget = forget
        self.dropout = dropout
        self.chunk_size = chunk_size
        self.width = width = 2 * hidden_size
        self.norm = nn.LayerNorm(hidden_size)
        self.up = nn.Linear(hidden_size, 2 * width)
        self.conv = CausalConv(width, kernel_size)
        self.query = nn.Parameter(torch.empty(width, 4).uniform_(-0.5, 0.5))
        self.key = nn.Parameter(torch.empty(width, 4).uniform_(-0.5, 0.5))
        self.gates = nn.Linear(width, 2 * num_heads)
        self.group_norm = nn.GroupNorm(num_heads, width)
        self.skip = nn.Parameter(torch.ones(width))
        self.down = nn.Linear(width, hidden_size)
        with torch.no_grad():
            self.gate("forget").bias.add_(forget_biases(forget_bias, forget, num_heads))

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        past, cell_state = cast(tuple[Tensor, State], state)
        v, g = self.up(self.norm(x)).chunk(2, -1)
        a, past = self.conv(v, past)
        a, g = silu(a), silu(g)
        q, k = block_linear(a, torch.cat([self.query, self.key])).chunk(2, -1)
        i, f = self.gates(a).chunk(2, -1)
        log_f = log_forget_gate(f, self.forget)
        h, after, parts = remember(q, k, v, i, log_f, cell_state, self.chunk_size, keep_parts)
        mixed = _normalise_heads(self.group_norm, h.to(self.skip.dtype)) + self.skip * a
        x = x + dropout(self.down(mixed * g), self.dropout, self.training)
        return x, (past, after), [q, k, v, g, *parts, h, x] if keep_parts else []

    def initial_state(self, batch_size: int) -> State:
        memory = initial_memory(self.skip, batch_size, self.num_heads, self.width // self.num_heads)
        return self.conv.initial_state(batch_size), tuple(memory)

    def gate(self, name: str) -> GateParameters:
        """The parameters of the "input" or the "forget" gate, as views.

        Raises:
            ValueError: for another name.
        """
        if name not in ("input", "forget"):
            raise ValueError(f"unknown gate {name!r}; {type(self).__name__} has input, forget")
        number = ("input", "forget").index(name)
        weight, bias = self.gates.weight.chunk(2)[number], self.gates.bias.chunk(2)[number]
        return GateParameters(weight, weight[:, :0], bias)


def block_linear(x: Tensor, weight: Tensor) -> Tensor:
    """Several block-diagonal linear maps, whose outputs are concatenated.

    Args:
        x: (batch, time, width).
        weight: (maps * width, block): the square blocks of each map, one below the other.

    Returns:
        (batch, time, maps * width).
    """
    block = weight.shape[1]
    maps = weight.view(-1, x.shape[-1] // block, block, block)
    return torch.einsum("btni,mnoi->btmno", x.view(*x.shape[:2], -1, block), maps).flatten(2)


def _normalise_heads(norm: nn.GroupNorm, h: Tensor) -> Tensor:
    """(batch, time, width) -> the same, each head of each step normalised by itself."""
    return cast(Tensor, norm(h.flatten(0, 1))).view_as(h)
