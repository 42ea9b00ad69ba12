"""LSTM whose gates see the cell state."""

from collections.abc import Sequence
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from forecastlab.backbones.kernels.choice import usable
from forecastlab.backbones.kernels.lstm import lstm
from forecastlab.backbones.layered import GatedLayer, Layered, input_widths
from forecastlab.batch import State


class PeepholeLSTM(Layered):
    """LSTM with peepholes: input and forget gate see the previous cell state, the output gate sees the new one.

        i_t = s(W_i x_t + U_i h_{t-1} + V_i c_{t-1} + b_i)
        f_t = s(W_f x_t + U_f h_{t-1} + V_f c_{t-1} + b_f)
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)                 the candidate sees no cell state
        c_t = f_t * c_{t-1} + i_t * g_t
        o_t = s(W_o x_t + U_o h_{t-1} + V_o c_t + b_o)          c_t, not c_{t-1}
        h_t = o_t * tanh(c_t)

    Source: Gers, Schraudolph and Schmidhuber 2002, where each V is diagonal, so that a cell sees only itself. Zangari,
    eqs. 2.39-2.41, prints full matrices: `peephole="full"`.

    The state of a layer is (h, c), each (batch, hidden_size). The signals of `trace` are "input_gate", "forget_gate",
    "candidate", "output_gate", "cell" and "hidden"; the gates are called "input", "forget", "candidate" and "output".

    Args:
        input_size: width of the inputs.
        hidden_size: width of the hidden and cell states, and of the outputs.
        num_layers: number of stacked layers.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        recurrent_dropout: probability that the gates do not see a unit of the hidden state, in training. The same units
            are dropped at every step of a sequence. The peepholes are not dropped.
        peephole: "diagonal" (Gers) or "full" (Zangari).
        forget_bias: added to the forget gate's bias at the start.
        fused: whether a compiled kernel runs long sequences on a CPU, if the peepholes are diagonal. It needs numba
            (see `kernels.choice`). Without it, a loop in Python computes the same up to rounding.
        weight_dropout: probability that an entry of the hidden-to-hidden matrices is dropped, in training (DropConnect;
            Merity et al. 2018, arXiv:1708.02182). The same entries are dropped at every step and in all sequences of a
            batch. The peepholes are not dropped.

    Raises:
        ValueError: for a size below 1, a dropout outside [0, 1), or an unknown `peephole`.
    """

    source: ClassVar[str] = "Gers, Schraudolph and Schmidhuber 2002, JMLR 3; Zangari, eqs. 2.39-2.41"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        peephole: Literal["diagonal", "full"] = "diagonal",
        forget_bias: float = 0.0,
        fused: bool = True,
        weight_dropout: float = 0.0,
    ) -> None:
        if peephole not in ("diagonal", "full"):
            raise ValueError(f"peephole must be 'diagonal' or 'full', got {peephole!r}")
        widths = input_widths(input_size, hidden_size, num_layers)
        options = (recurrent_dropout, peephole, forget_bias, fused, weight_dropout)
        layers = [PeepholeLSTMLayer(width, hidden_size, *options) for width in widths]
        super().__init__(input_size, layers, hidden_size, dropout)


class PeepholeLSTMLayer(GatedLayer):
    """One layer of `PeepholeLSTM`.

    It has the parameters of `GatedLayer` and `weight_ch`, the peepholes of the input, forget and output gate in this
    order: (3, hidden_size) if diagonal, (3, hidden_size, hidden_size) if full.
    """

    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    hidden_and_cell: ClassVar[bool] = True
    parts: ClassVar[tuple[str, ...]] = ("input_gate", "forget_gate", "candidate", "output_gate", "cell", "hidden")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        recurrent_dropout: float,
        peephole: str,
        forget_bias: float,
        fused: bool,
        weight_dropout: float,
    ) -> None:
        super().__init__(input_size, hidden_size, recurrent_dropout, weight_dropout)
        self.fused = fused and peephole == "diagonal"
        shape = (3, hidden_size) if peephole == "diagonal" else (3, hidden_size, hidden_size)
        self.weight_ch = nn.Parameter(torch.empty(shape).uniform_(-(hidden_size**-0.5), hidden_size**-0.5))
        with torch.no_grad():
            self.gate("forget").bias.add_(forget_bias)

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        h_and_c = cast("tuple[Tensor, Tensor]", state)
        inputs, mask = self.project(x), self.mask(h_and_c[0])
        if self.fused and not keep_parts and usable(inputs, *h_and_c, self.weight_hh):
            return *lstm(inputs, self.recurrent_weight(), h_and_c, mask, self.weight_ch), ()
        recur = self.recurrence(mask)
        v_i, v_f, v_o = self.weight_ch.unbind()

        def step(x_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
            h, c = cast("tuple[Tensor, Tensor]", state)
            i, f, g, o = (x_t + recur(h)).chunk(4, -1)
            i = torch.sigmoid(i + peep(v_i, c))
            f = torch.sigmoid(f + peep(v_f, c))
            g = torch.tanh(g)
            c = f * c + i * g
            o = torch.sigmoid(o + peep(v_o, c))
            h = o * torch.tanh(c)
            return h, (h, c), (i, f, g, o, c, h)

        return self.scan(step, inputs, state, keep_parts)

    def initial_state(self, batch_size: int) -> State:
        zeros = self.bias.new_zeros(batch_size, self.hidden_size)
        return zeros, zeros.clone()


def peep(weight: Tensor, c: Tensor) -> Tensor:
    """The share of the cell state (batch, hidden_size) in a gate, through a diagonal (hidden_size,) or full weight."""
    return c * weight if weight.dim() == 1 else linear(c, weight)
