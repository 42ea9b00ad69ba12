"""Causal multi-head self-attention."""

from collections.abc import Sequence
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from forecastlab.backbones.attention import causal_attention, causal_weights, sinusoidal_positions
from forecastlab.backbones.base import require_positive
from forecastlab.backbones.layered import Layer, Layered, input_widths
from forecastlab.batch import State


class SelfAttention(Layered):
    """Causal multi-head self-attention: every step attends to itself and the steps before it.

        Attention(Q, K, V) = softmax(Q K^T / sqrt(d) + mask) V,     d = hidden_size / num_heads
        head_i = Attention(X W_i^Q, X W_i^K, X W_i^V)
        Y      = concat(head_1, ..., head_m) W^O

    Source: Vaswani et al. 2017, sections 3.2 and 3.5; Zangari, eqs. 2.62-2.64; van Diepen, eq. 2 before its
    simplification. Each layer equals torch.nn.MultiheadAttention with a causal mask, and its parameters have the same
    names. It is the attention alone: it has no shortcut (`Residual` adds one), no normalisation and no feed-forward
    part. With positional_encoding="sinusoidal" the inputs are first mapped to hidden_size (`layers.0.embedding`), and
    the encoding is added there. With "none" the network knows the order of past steps only from the inputs.

    The state of a layer is (keys, values), each (batch, num_heads, past, hidden_size / num_heads); it grows by one
    position per step, and a continued sequence keeps counting positions. The signals of `trace` are "attention"
    (batch, time, num_heads, past + time), the rows of the softmax, and "hidden".

    Args:
        input_size: width of the inputs.
        hidden_size: width of the outputs; a multiple of `num_heads`.
        num_layers: number of stacked layers.
        num_heads: number of heads.
        positional_encoding: "sinusoidal" or "none".
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.

    Raises:
        ValueError: for a size below 1, a `hidden_size` that the heads do not divide, a dropout outside [0, 1), or an
            unknown encoding.
    """

    source: ClassVar[str] = "Vaswani et al. 2017, arXiv:1706.03762; Zangari, eqs. 2.62-2.64"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        num_heads: int = 4,
        positional_encoding: Literal["sinusoidal", "none"] = "sinusoidal",
        dropout: float = 0.0,
    ) -> None:
        require_positive(hidden_size=hidden_size, num_layers=num_layers, num_heads=num_heads)
        if hidden_size % num_heads:
            raise ValueError(f"hidden_size must be a multiple of num_heads, got {hidden_size} and {num_heads}")
        if positional_encoding not in ("sinusoidal", "none"):
            raise ValueError(f"positional_encoding must be 'sinusoidal' or 'none', got {positional_encoding!r}")
        widths = input_widths(input_size, hidden_size, num_layers)
        layers = [
            SelfAttentionLayer(width, hidden_size, num_heads, positions=not number and positional_encoding != "none")
            for number, width in enumerate(widths)
        ]
        super().__init__(input_size, layers, hidden_size, dropout)


class SelfAttentionLayer(Layer):
    """One layer of `SelfAttention`, with the parameters of torch.nn.MultiheadAttention.

    They are `in_proj_weight` (3 * hidden_size, input width) with query, key and value in this order, `in_proj_bias` (3
    * hidden_size,), and `out_proj`. The weights from the input start Xavier-uniform, the biases at zero.
    """

    parts: ClassVar[tuple[str, ...]] = ("attention", "hidden")

    def __init__(self, input_size: int, hidden_size: int, num_heads: int, positions: bool) -> None:
        super().__init__()
        require_positive(input_size=input_size)
        self.num_heads = num_heads
        self.head_size = hidden_size // num_heads
        self.embedding = nn.Linear(input_size, hidden_size) if positions else None
        width = hidden_size if positions else input_size
        self.in_proj_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * hidden_size, width)))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * hidden_size))
        self.out_proj = nn.Linear(hidden_size, hidden_size)
        nn.init.zeros_(self.out_proj.bias)

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        past_key, past_value = cast("tuple[Tensor, Tensor]", state)
        if self.embedding is not None:
            x = self.embedding(x)
            x = x + sinusoidal_positions(past_key.shape[2], x)
        heads = (*x.shape[:2], self.num_heads, self.head_size)
        query, key, value = (
            part.reshape(heads).transpose(1, 2)
            for part in linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
        )
        key = torch.cat([past_key, key], 2)
        value = torch.cat([past_value, value], 2)
        scale = self.head_size**-0.5
        if not keep_parts:
            return self._join(causal_attention(query, key, value, scale)), (key, value), ()
        weights = causal_weights(query, key, scale)
        y = self._join(weights @ value)
        return y, (key, value), (weights.transpose(1, 2), y)

    def initial_state(self, batch_size: int) -> State:
        empty = self.in_proj_bias.new_zeros(batch_size, self.num_heads, 0, self.head_size)
        return empty, empty.clone()

    def _join(self, heads: Tensor) -> Tensor:
        # (batch, heads, time, head_size) -> (batch, time, hidden_size)
        return cast(Tensor, self.out_proj(heads.transpose(1, 2).flatten(2)))
