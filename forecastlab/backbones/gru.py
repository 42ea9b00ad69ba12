"""The gated recurrent unit."""

from typing import ClassVar, cast

from torch import Tensor, nn

from forecastlab.backbones.activations import Activation, activation_function
from forecastlab.backbones.kernels.gru import gru
from forecastlab.backbones.recurrent import Initialization, LayerWeights, Recurrent
from forecastlab.batch import State


class GRU(Recurrent):
    """The gated recurrent unit: gates decide which part of the hidden state is kept.

        r_t = s(W_r x_t + b_r + U_r h_{t-1} + b'_r)             reset gate
        z_t = s(W_z x_t + b_z + U_z h_{t-1} + b'_z)             update gate
        n_t = a(W_n x_t + b_n + r_t * (U_n h_{t-1} + b'_n))     candidate, reset_after=True
        n_t = a(W_n x_t + b_n + U_n (r_t * h_{t-1}) + b'_n)     candidate, reset_after=False
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}                   hidden state, the output

    Source: Cho et al. 2014, whose candidate is that of reset_after=False. The default is the candidate of torch.nn.GRU.
    `rnn` is torch's module, with its parameters (rows in the order reset, update, candidate); both forms use the same.
    Some texts, such as the course module, write h_t = (1 - z_t) * h_{t-1} + z_t * n_t: their z_t is 1 - z_t here. Other
    functions and `trace` need our own loop over time, which is several times slower. The reset-before candidate and
    recurrent or weight dropout in training need it too, unless a compiled kernel fits.

    The state is h, (batch, num_layers, hidden_size). The signals of `trace` are "reset_gate", "update_gate",
    "candidate" and "hidden"; the gates are called "reset", "update" and "candidate".

    Args:
        input_size: width of the inputs.
        hidden_size: width of the hidden state, and of the outputs.
        num_layers: number of stacked layers.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        recurrent_dropout: probability that the gates do not see a unit of the hidden state, in training. The same units
            are dropped at every step of a sequence. What z_t keeps of h_{t-1} is not dropped.
        reset_after: whether the reset gate multiplies after the recurrent product (torch.nn) or before it (Cho).
        activation: a, tanh by default.
        gate_activation: s.
        initialization: how weights start: "uniform" in +-1/sqrt(hidden_size), or "orthogonal" (per gate, Xavier-uniform
            from the input and orthogonal from the hidden state, biases zero).
        fused: whether a compiled kernel runs long sequences on a CPU. It needs numba (see `kernels.choice`). Without
            it, torch.nn or a loop in Python computes the same up to rounding.
        weight_dropout: probability that an entry of the hidden-to-hidden matrices is dropped, in training (DropConnect;
            Merity et al. 2018, arXiv:1708.02182). The same entries are dropped at every step and in all sequences of a
            batch.

    Raises:
        ValueError: for a size below 1, a dropout outside [0, 1), or an unknown name.
    """

    source: ClassVar[str] = "Cho et al. 2014, arXiv:1406.1078; reset-after as in torch.nn.GRU"
    fused_up_to: ClassVar[int] = 2**15
    gates: ClassVar[tuple[str, ...]] = ("reset", "update", "candidate")
    parts: ClassVar[tuple[str, ...]] = ("reset_gate", "update_gate", "candidate", "hidden")

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        activation: Activation = "tanh",
        gate_activation: Activation = "sigmoid",
        initialization: Initialization = "uniform",
        fused: bool = True,
        weight_dropout: float = 0.0,
    ) -> None:
        usual = (activation, gate_activation) == ("tanh", "sigmoid")
        super().__init__(
            nn.GRU,
            input_size,
            hidden_size,
            num_layers,
            dropout,
            recurrent_dropout,
            weight_dropout,
            initialization,
            usual and reset_after,
            fused and usual,
        )
        self.reset_after = reset_after
        self.activation = activation_function(activation)
        self.gate_activation = activation_function(gate_activation)

    def cell(self, weights: LayerWeights, x_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
        h = cast(Tensor, state)
        x_gates, x_n = x_t.tensor_split([2 * self.hidden_size], -1)
        gates, candidate = slice(0, 2 * self.hidden_size), slice(2 * self.hidden_size, None)
        r, z = self.gate_activation(x_gates + weights.recur(h, gates)).chunk(2, -1)
        if self.reset_after:
            n = self.activation(x_n + r * weights.recur(h, candidate))
        else:
            n = self.activation(x_n + weights.recur(r * h, candidate))
        h = (1 - z) * n + z * h
        return h, h, (r, z, n, h)

    def kernel(self, weights: LayerWeights, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        recurrent = (weights.weight_hh, weights.bias_hh, cast(Tensor, state), weights.mask)
        return gru(inputs, *recurrent, self.reset_after)
