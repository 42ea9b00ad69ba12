"""The attention LSTM of van Diepen."""

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from forecastlab.backbones.activations import Activation, activation_function
from forecastlab.backbones.attention import causal_attention, causal_weights
from forecastlab.backbones.base import require_positive
from forecastlab.backbones.layered import Layer, Layered, input_widths
from forecastlab.batch import State


class ALSTM(Layered):
    """Attention LSTM: each head weighs a function of all inputs so far; the heads are summed.

        H   = sum over heads k of  W^k a(X Theta^k)                          output (time, hidden_size)
        W^k = S^k / rowsum(S^k)                                              attention weights (time, time)
        S^k = exp(scale * X Q^k K^k X^T) * L,  L lower-triangular ones       masked scores

    Source: van Diepen, "Improving the performance of recurrent neural networks for time series prediction by combining
    LSTM and attention LSTM", eq. 3, with its parentheses balanced so that L masks S before it is normalised. This is
    causal softmax attention with the values a(X Theta^k) of each head, and it is computed so that exp does not
    overflow. The state holds the keys and values so far. A sequence can therefore be fed in pieces or step by step, and
    nothing is computed twice. Other texts call an LSTM with additive attention ALSTM; this is not that network. It has
    no recurrence; it shares only the interface of the state with an LSTM. As in the paper there are no biases, and no
    encoding of position.

    The state of a layer is (keys, values), (batch, num_heads, past, key_size) and (batch, num_heads, past,
    hidden_size); it grows by one position per step. The signals of `trace` are "attention" (batch, time, num_heads,
    past + time), the rows of W^k, and "hidden".

    Args:
        input_size: width of the inputs.
        hidden_size: width of the values, and of the outputs.
        num_layers: number of stacked layers; the paper uses two.
        num_heads: number of heads.
        key_size: width of queries and keys; None for `hidden_size`.
        scale: factor of the scores; None for 1 / sqrt(key_size).
        activation: a, the paper's sigma_C.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.

    Raises:
        ValueError: for a size below 1, a dropout outside [0, 1), or an unknown activation.
    """

    source: ClassVar[str] = "van Diepen, eq. 3 (LSTM and attention LSTM for time series)"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        num_heads: int = 4,
        key_size: int | None = None,
        scale: float | None = None,
        activation: Activation = "tanh",
        dropout: float = 0.0,
    ) -> None:
        key_size = hidden_size if key_size is None else key_size
        widths = input_widths(input_size, hidden_size, num_layers)
        layers = [ALSTMLayer(width, hidden_size, num_heads, key_size, scale, activation) for width in widths]
        super().__init__(input_size, layers, hidden_size, dropout)


class ALSTMLayer(Layer):
    """One layer of `ALSTM`.

    The parameters are `query` and `key` (num_heads * key_size, input_size), the transposes of the paper's Q^k and its
    K^k, and `value` (num_heads * hidden_size, input_size), the transposes of Theta^k; the rows of the heads follow each
    other. They start uniform in +-1/sqrt(input_size).
    """

    parts: ClassVar[tuple[str, ...]] = ("attention", "hidden")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_heads: int,
        key_size: int,
        scale: float | None,
        activation: Activation,
    ) -> None:
        super().__init__()
        require_positive(input_size=input_size, hidden_size=hidden_size, num_heads=num_heads, key_size=key_size)
        self.hidden_size = hidden_size
        self.num_heads = num_heads
        self.key_size = key_size
        self.scale = key_size**-0.5 if scale is None else scale
        self.activation = activation_function(activation)
        bound = input_size**-0.5
        self.query = nn.Parameter(torch.empty(num_heads * key_size, input_size).uniform_(-bound, bound))
        self.key = nn.Parameter(torch.empty(num_heads * key_size, input_size).uniform_(-bound, bound))
        self.value = nn.Parameter(torch.empty(num_heads * hidden_size, input_size).uniform_(-bound, bound))

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        query, key, value = (self._heads(linear(x, weight)) for weight in (self.query, self.key, self.value))
        past_key, past_value = cast("tuple[Tensor, Tensor]", state)
        key = torch.cat([past_key, key], 2)
        value = torch.cat([past_value, self.activation(value)], 2)
        if not keep_parts:
            return causal_attention(query, key, value, self.scale).sum(1), (key, value), ()
        weights = causal_weights(query, key, self.scale)
        y = (weights @ value).sum(1)
        return y, (key, value), (weights.transpose(1, 2), y)

    def initial_state(self, batch_size: int) -> State:
        return (
            self.key.new_zeros(batch_size, self.num_heads, 0, self.key_size),
            self.key.new_zeros(batch_size, self.num_heads, 0, self.hidden_size),
        )

    def _heads(self, x: Tensor) -> Tensor:
        # (batch, time, heads * width) -> (batch, heads, time, width)
        return x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)
