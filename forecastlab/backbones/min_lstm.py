"""The minimal LSTM: its gates do not read the hidden state, and they sum to one."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from forecastlab.backbones.layered import Layered, input_widths
from forecastlab.backbones.linear_recurrence import DiagonalLayer, recur
from forecastlab.backbones.min_gru import Candidate, activated, require_candidate
from forecastlab.backbones.slstm import ForgetBias, forget_biases
from forecastlab.batch import State


class MinLSTM(Layered):
    """LSTM whose gates and candidate read the input alone, so that the recurrence is linear (Feng et al. 2024).

        f_t = s(W_f x_t + b_f)                        forget gate
        i_t = s(W_i x_t + b_i)                        input gate
        g_t = W_g x_t + b_g, or g of it               candidate
        f'_t = f_t / (f_t + i_t),  i'_t = i_t / (f_t + i_t)
        h_t = f'_t * h_{t-1} + i'_t * g_t             hidden state, the output

    There is one state: without an output gate the cell is the hidden state. The quotients sum to 1, so that h_t is a
    weighted mean of candidates, whose size does not depend on the time. They are computed as s(d) and s(-d), where d is
    log f_t - log i_t. This is the same, and no gate that is shut makes a division of 0 by 0.

    The paper also gives a form without the quotients, for tasks whose states may grow with time. It is not built.
    For the two readings of the candidate see `MinGRU`: linear in the section on the minLSTM, and g(x) = x + 0.5 for
    x >= 0, s(x) below, in the appendix on log space.

    Deviations: the blocks that the paper puts around the cell (convolution, MLP, shortcuts) are left to hybrids.
    Weights and biases start uniform in +-1/sqrt(hidden_size) as in torch.nn. `forget_bias` is added to the
    forget gate's bias.

    The state of a layer is h, (batch, hidden_size). The signals of `trace` are "forget_gate" f', "input_gate" i',
    "candidate" and "hidden", each (batch, time, hidden_size); the gates are called "forget", "input" and "candidate".
    No h_{t-1} enters a gate, so there is no recurrent dropout.

    Args:
        input_size: width of the inputs.
        hidden_size: width of the hidden state, and of the outputs.
        num_layers: number of stacked layers.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        candidate: the candidate's activation, "linear" or "positive".
        forget_bias: added to the forget gates' biases at the start: a number, or those of the first and of the last
            unit, evenly between. None for 0 to 6.
        fused: whether a compiled kernel runs long sequences on a CPU. It needs numba (see `kernels.choice`). Without
            it, a loop in Python computes the same up to rounding.

    Raises:
        ValueError: for a size below 1, a dropout outside [0, 1), or an unknown candidate.
    """

    source: ClassVar[str] = "Feng et al. 2024, Were RNNs All We Needed?, arXiv:2410.01201, section 3.2 (appendix: g)"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        candidate: Candidate = "linear",
        forget_bias: ForgetBias = None,
        fused: bool = True,
    ) -> None:
        widths = input_widths(input_size, hidden_size, num_layers)
        layers = [MinLSTMLayer(width, hidden_size, candidate, forget_bias, fused) for width in widths]
        super().__init__(input_size, layers, hidden_size, dropout)


class MinLSTMLayer(DiagonalLayer):
    """One layer of a `MinLSTM`."""

    gates: ClassVar[tuple[str, ...]] = ("forget", "input", "candidate")
    parts: ClassVar[tuple[str, ...]] = ("forget_gate", "input_gate", "candidate", "hidden")

    def __init__(
        self, input_size: int, hidden_size: int, candidate: Candidate, forget_bias: ForgetBias, fused: bool
    ) -> None:
        require_candidate(candidate)
        super().__init__(input_size, hidden_size, fused)
        self.candidate = candidate
        with torch.no_grad():
            self.gate("forget").bias.add_(forget_biases(forget_bias, "sigmoid", hidden_size))

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        f, i, g = self.project(x)
        balance = logsigmoid(f) - logsigmoid(i)
        f, i = torch.sigmoid(balance), torch.sigmoid(-balance)
        g = activated(g, self.candidate)
        h, last = recur(self, f, i * g, state, self.fused)
        return h, last, (f, i, g, h)
