"""LSTM with a shortcut from its input to its output."""

from collections.abc import Sequence
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from forecastlab.backbones.kernels.choice import usable
from forecastlab.backbones.kernels.lstm import lstm
from forecastlab.backbones.layered import GatedLayer, Layered, input_widths
from forecastlab.batch import State


class ResidualLSTM(Layered):
    """LSTM with a spatial shortcut inside the output gate: the output of the cell is added to the input of the layer.

        i_t = s(W_i x_t + U_i h_{t-1} + v_i * c_{t-1} + b_i)
        f_t = s(W_f x_t + U_f h_{t-1} + v_f * c_{t-1} + b_f)
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
        c_t = f_t * c_{t-1} + i_t * g_t
        o_t = s(W_o x_t + U_o h_{t-1} + v_o * c_t + b_o)
        h_t = o_t * (W_p tanh(c_t) + W_r x_t)

    `peephole="none"` leaves out the terms with v, and `projection=False` leaves out W_p. If x_t is as wide as h_t, W_r
    is the identity and has no parameter. This holds for every layer above the first.

    Source: Kim, El-Khamy and Lee 2017. The gate scales the shortcut too, and the sum recurs. Adding x_t after the
    output gate is another model: `Residual` around an `LSTM`. The cell is as wide as the output here.

    The state of a layer is (h, c), each (batch, hidden_size). The signals of `trace` are "input_gate", "forget_gate",
    "candidate", "output_gate", "cell", "shortcut" (W_r x_t) and "hidden"; the gates are called "input", "forget",
    "candidate" and "output".

    Args:
        input_size: width of the inputs.
        hidden_size: width of the hidden and cell states, and of the outputs.
        num_layers: number of stacked layers.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        recurrent_dropout: probability that the gates do not see a unit of the hidden state, in training. The same units
            are dropped at every step of a sequence.
        peephole: "diagonal", as in the paper, or "none".
        projection: whether tanh(c_t) goes through W_p.
        forget_bias: added to the forget gate's bias at the start.
        fused: whether a compiled kernel runs long sequences on a CPU. It needs numba (see `kernels.choice`). Without
            it, a loop in Python computes the same up to rounding.
        weight_dropout: probability that an entry of the hidden-to-hidden matrices is dropped, in training (DropConnect;
            Merity et al. 2018, arXiv:1708.02182). The same entries are dropped at every step and in all sequences of a
            batch. W_p and the peepholes are not dropped.

    Raises:
        ValueError: for a size below 1, a dropout outside [0, 1), or an unknown `peephole`.
    """

    source: ClassVar[str] = "Kim, El-Khamy and Lee 2017, arXiv:1701.03360"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        peephole: Literal["diagonal", "none"] = "diagonal",
        projection: bool = True,
        forget_bias: float = 0.0,
        fused: bool = True,
        weight_dropout: float = 0.0,
    ) -> None:
        if peephole not in ("none", "diagonal"):
            raise ValueError(f"peephole must be 'none' or 'diagonal', got {peephole!r}")
        widths = input_widths(input_size, hidden_size, num_layers)
        options = (recurrent_dropout, peephole == "diagonal", projection, forget_bias, fused, weight_dropout)
        layers = [ResidualLSTMLayer(width, hidden_size, *options) for width in widths]
        super().__init__(input_size, layers, hidden_size, dropout)


class ResidualLSTMLayer(GatedLayer):
    """One layer of `ResidualLSTM`.

    It has the parameters of `GatedLayer`. Depending on its arguments it also has `weight_ch` (3, hidden_size), the
    peepholes of the input, forget and output gate; `projection` (hidden_size, hidden_size), W_p; and `shortcut`
    (hidden_size, input_size), W_r.
    """

    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    hidden_and_cell: ClassVar[bool] = True
    parts: ClassVar[tuple[str, ...]] = (
        "input_gate",
        "forget_gate",
        "candidate",
        "output_gate",
        "cell",
        "shortcut",
        "hidden",
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        recurrent_dropout: float,
        peephole: bool,
        projection: bool,
        forget_bias: float,
        fused: bool,
        weight_dropout: float,
    ) -> None:
        super().__init__(input_size, hidden_size, recurrent_dropout, weight_dropout)
        self.fused = fused
        self.weight_ch = self._parameter(3, hidden_size) if peephole else None
        self.projection = self._parameter(hidden_size, hidden_size) if projection else None
        self.shortcut = self._parameter(hidden_size, input_size) if input_size != hidden_size else None
        with torch.no_grad():
            self.gate("forget").bias.add_(forget_bias)

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        h_and_c = cast("tuple[Tensor, Tensor]", state)
        inputs, mask = self.project(x), self.mask(h_and_c[0])
        shortcut = x if self.shortcut is None else linear(x, self.shortcut)
        if self.fused and not keep_parts and usable(inputs, *h_and_c, self.weight_hh, shortcut):
            return *lstm(inputs, self.recurrent_weight(), h_and_c, mask, self.weight_ch, shortcut, self.projection), ()
        recur = self.recurrence(mask)
        v_i, v_f, v_o = (None, None, None) if self.weight_ch is None else self.weight_ch.unbind()

        def step(inputs: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
            h, c = cast("tuple[Tensor, Tensor]", state)
            x_t, r = inputs.tensor_split([4 * self.hidden_size], -1)
            i, f, g, o = (x_t + recur(h)).chunk(4, -1)
            i = torch.sigmoid(_peep(i, v_i, c))
            f = torch.sigmoid(_peep(f, v_f, c))
            g = torch.tanh(g)
            c = f * c + i * g
            o = torch.sigmoid(_peep(o, v_o, c))
            m = torch.tanh(c)
            h = o * ((m if self.projection is None else linear(m, self.projection)) + r)
            return h, (h, c), (i, f, g, o, c, r, h)

        return self.scan(step, torch.cat([inputs, shortcut], -1), state, keep_parts)

    def initial_state(self, batch_size: int) -> State:
        zeros = self.bias.new_zeros(batch_size, self.hidden_size)
        return zeros, zeros.clone()

    def _parameter(self, *shape: int) -> nn.Parameter:
        bound = self.hidden_size**-0.5
        return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def _peep(gate: Tensor, weight: Tensor | None, c: Tensor) -> Tensor:
    return gate if weight is None else gate + weight * c
