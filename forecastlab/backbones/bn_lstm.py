"""The batch-normalised LSTM."""

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor
from torch.nn.functional import linear

from forecastlab.backbones.batch_norm import StepBatchNorm
from forecastlab.backbones.layered import GatedLayer, Layered, input_widths
from forecastlab.batch import State


class BNLSTMLayer(GatedLayer):
    """One layer of `BNLSTM`; `normalise_input`, `normalise_hidden` and `normalise_cell` are its batch norms."""

    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    hidden_and_cell: ClassVar[bool] = True
    parts: ClassVar[tuple[str, ...]] = ("input_gate", "forget_gate", "candidate", "output_gate", "cell", "hidden")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        recurrent_dropout: float,
        max_length: int,
        momentum: float,
        eps: float,
        weight_dropout: float,
    ) -> None:
        super().__init__(input_size, hidden_size, recurrent_dropout, weight_dropout)
        rows = 4 * hidden_size
        self.normalise_input = StepBatchNorm(rows, max_length, shift=False, momentum=momentum, eps=eps)
        self.normalise_hidden = StepBatchNorm(rows, max_length, shift=False, momentum=momentum, eps=eps)
        self.normalise_cell = StepBatchNorm(hidden_size, max_length, momentum=momentum, eps=eps)

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        recur = self.recurrence(self.mask(x.new_empty(x.shape[0], self.hidden_size)))

        def step(x_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
            h, c, t = cast(tuple[Tensor, Tensor, Tensor], state)
            gates = self.normalise_input(x_t, t) + self.normalise_hidden(recur(h), t) + self.bias
            i, f, g, o = gates.chunk(4, -1)
            i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
            c = f * c + i * g
            h = o * torch.tanh(self.normalise_cell(c, t))
            return h, (h, c, t + 1), (i, f, g, o, c, h)

        return self.scan(step, linear(x, self.weight_ih), state, keep_parts)

    def initial_state(self, batch_size: int) -> State:
        zeros = self.bias.new_zeros(batch_size, self.hidden_size)
        return zeros, zeros.clone(), torch.zeros(batch_size, dtype=torch.long, device=self.bias.device)


class BNLSTM(Layered):
    """An LSTM whose gates and output read batch-normalised values (Cooijmans et al. 2016).

        [ĩ ; f̃ ; g̃ ; õ] = BN(W_x x_t; γ_x) + BN(W_h h_{t-1}; γ_h) + b
        c_t = σ(f̃) ⊙ c_{t-1} + σ(ĩ) ⊙ tanh(g̃)         not normalised itself
        h_t = σ(õ) ⊙ tanh(BN(c_t; γ_c, β_c))

    BN takes mean and variance over the rows of the batch, separately for every time step. A cell starts from zero and
    moves away from it, so shared statistics would fit no step. All γ start at 0.1, which keeps tanh away from
    saturation. BN of the gates has no offset, since b is one. See `StepBatchNorm` for the formula.

    **It needs several sequences.** In training the rows of a batch influence each other, and a batch of one row is
    refused. In evaluation the running statistics of the training replace those of the batch: rows do not influence each
    other, and a batch may have one row. Train it on windows. Steps are counted from the start of a sequence, and the
    state carries the count. Steps from `max_length` - 1 on share their running statistics. Steps that training did not
    reach use those of the last step that it reached. In training mode `trace` moves the running statistics as `forward`
    does.

    The state is, per layer, (h (batch, hidden_size), c (batch, hidden_size), t (batch,) integer: steps so far).
    `trace` gives per layer "input_gate", "forget_gate", "candidate", "output_gate", "cell" (c, not normalised) and
    "hidden", each (batch, time, hidden_size). The gates are rows in the order input, forget, candidate, output.

    Deviation: weights and b start uniform in +-1/sqrt(hidden_size), as in torch.nn. The paper's start is orthogonal.

    Args:
        input_size: width of the inputs.
        hidden_size: width of every layer and of the output.
        num_layers: number of layers.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        recurrent_dropout: probability that a unit of h_{t-1} is dropped, in training. The same units are dropped at all
            steps of a sequence (Gal and Ghahramani 2016).
        max_length: number of time steps with running statistics of their own.
        momentum: weight of the present batch in the running statistics.
        eps: added to every variance.
        weight_dropout: probability that an entry of the hidden-to-hidden matrices is dropped, in training (DropConnect;
            Merity et al. 2018, arXiv:1708.02182). The same entries are dropped at every step and in all sequences of a
            batch.

    Raises:
        ValueError: for a size that is not positive or a probability outside [0, 1); and in training for a single row.
    """

    source: ClassVar[str] = "Cooijmans et al. 2016, Recurrent Batch Normalization, arXiv:1603.09025, eq. 6-8"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        max_length: int = 100,
        momentum: float = 0.1,
        eps: float = 1e-5,
        weight_dropout: float = 0.0,
    ) -> None:
        layers = [
            BNLSTMLayer(width, hidden_size, recurrent_dropout, max_length, momentum, eps, weight_dropout)
            for width in input_widths(input_size, hidden_size, num_layers)
        ]
        super().__init__(input_size, layers, hidden_size, dropout)
