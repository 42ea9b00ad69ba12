"""Long short-term memory."""

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from forecastlab.backbones.activations import Activation, activation_function
from forecastlab.backbones.kernels.lstm import lstm
from forecastlab.backbones.recurrent import Initialization, LayerWeights, Recurrent
from forecastlab.batch import State


class LSTM(Recurrent):
    """Long short-term memory: a cell state that gates write to, erase and read.

        i_t = s(W_i x_t + U_i h_{t-1} + b_i)      input gate
        f_t = s(W_f x_t + U_f h_{t-1} + b_f)      forget gate
        g_t = a(W_g x_t + U_g h_{t-1} + b_g)      candidate
        o_t = s(W_o x_t + U_o h_{t-1} + b_o)      output gate
        c_t = f_t * c_{t-1} + i_t * g_t           cell state
        h_t = o_t * a'(c_t)                       hidden state, the output

    Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000, in the form of torch.nn.LSTM;
    `rnn` is that module, with its parameters (rows in the order input, forget, candidate, output; each bias b is the
    sum of two). s is the logistic function, a and a' are tanh by default; they are the free functions of van Diepen's
    eq. 1 (its sigma_z and sigma_H). Other functions and `trace` need our own loop over time, which is several times
    slower. Recurrent and weight dropout in training need it too, unless a compiled kernel fits.

    The state is (h, c), each (batch, num_layers, hidden_size): the batch comes first, unlike torch.nn's. The signals of
    `trace` are "input_gate", "forget_gate", "candidate", "output_gate", "cell" and "hidden"; the gates are called
    "input", "forget", "candidate" and "output".

    Args:
        input_size: width of the inputs.
        hidden_size: width of the hidden and cell states, and of the outputs.
        num_layers: number of stacked layers.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        recurrent_dropout: probability that the gates do not see a unit of the hidden state, in training. The same units
            are dropped at every step of a sequence.
        activation: a. Keras's activation="relu" is `activation="relu"` here too.
        cell_activation: a'; None for the same as `activation`.
        gate_activation: s.
        forget_bias: added to the forget gate's bias at the start (1 makes a fresh network remember).
        initialization: how weights start: "uniform" in +-1/sqrt(hidden_size), or "orthogonal" (per gate, Xavier-uniform
            from the input and orthogonal from the hidden state, biases zero).
        fused: whether a compiled kernel runs recurrent and weight dropout in training, for long sequences on a CPU. It
            needs numba (see `kernels.choice`). Without it, a loop in Python computes the same up to rounding.
        weight_dropout: probability that an entry of the hidden-to-hidden matrices is dropped, in training (DropConnect;
            Merity et al. 2018, arXiv:1708.02182). The same entries are dropped at every step and in all sequences of a
            batch.

    Raises:
        ValueError: for a size below 1, a dropout outside [0, 1), or an unknown name.
    """

    source: ClassVar[str] = "Hochreiter and Schmidhuber 1997, Neural Computation 9(8); van Diepen eq. 1"
    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    parts: ClassVar[tuple[str, ...]] = ("input_gate", "forget_gate", "candidate", "output_gate", "cell", "hidden")

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        activation: Activation = "tanh",
        cell_activation: Activation | None = None,
        gate_activation: Activation = "sigmoid",
        forget_bias: float = 0.0,
        initialization: Initialization = "uniform",
        fused: bool = True,
        weight_dropout: float = 0.0,
    ) -> None:
        cell_activation = cell_activation or activation
        native = (activation, cell_activation, gate_activation) == ("tanh", "tanh", "sigmoid")
        super().__init__(
            nn.LSTM,
            input_size,
            hidden_size,
            num_layers,
            dropout,
            recurrent_dropout,
            weight_dropout,
            initialization,
            native,
            fused and native,
        )
        self.activation = activation_function(activation)
        self.cell_activation = activation_function(cell_activation)
        self.gate_activation = activation_function(gate_activation)
        with torch.no_grad():
            for layer in range(num_layers):
                self.gate(layer, "forget").bias_ih.add_(forget_bias)

    def initial_state(self, batch_size: int) -> State:
        zeros = self.new_zeros(batch_size, self.num_layers, self.hidden_size)
        return zeros, zeros.clone()

    def cell(self, weights: LayerWeights, x_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
        h, c = cast("tuple[Tensor, Tensor]", state)
        i, f, g, o = (x_t + weights.recur(h)).chunk(4, -1)
        i, f, o = self.gate_activation(i), self.gate_activation(f), self.gate_activation(o)
        g = self.activation(g)
        c = f * c + i * g
        h = o * self.cell_activation(c)
        return h, (h, c), (i, f, g, o, c, h)

    def kernel(self, weights: LayerWeights, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        h_and_c = cast("tuple[Tensor, Tensor]", state)
        return lstm(inputs + weights.bias_hh, weights.weight_hh, h_and_c, weights.mask)
