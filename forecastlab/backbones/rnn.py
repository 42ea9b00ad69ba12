"""The simple recurrent network of Elman."""

from functools import partial
from typing import ClassVar, cast

from torch import Tensor, nn

from forecastlab.backbones.activations import Activation, activation_function
from forecastlab.backbones.kernels.rnn import rnn
from forecastlab.backbones.recurrent import Initialization, LayerWeights, Recurrent
from forecastlab.batch import State


class RNN(Recurrent):
    """The simple recurrent network: a hidden state that is rewritten at every step.

    h_t = a(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), with a = tanh by default.

    Source: Elman 1990, "Finding structure in time", in the form of torch.nn.RNN; `rnn` is that module, with its
    parameters. It computes tanh and relu. Another activation and `trace` need our own loop over time, which is several
    times slower. The state is h, (batch, num_layers, hidden_size). The signal of `trace` is "hidden", and so is the
    name of the only gate.

    Args:
        input_size: width of the inputs.
        hidden_size: width of the hidden state, and of the outputs.
        num_layers: number of stacked layers.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        recurrent_dropout: probability that the recurrence does not see a unit of the hidden state, in training. The
            same units are dropped at every step of a sequence.
        activation: a.
        initialization: how weights start: "uniform" in +-1/sqrt(hidden_size), or "orthogonal" (Xavier-uniform from the
            input, biases zero).
        fused: whether a compiled kernel runs long sequences on a CPU. It needs numba (see `kernels.choice`). Without
            it, torch.nn or a loop in Python computes the same up to rounding.
        weight_dropout: probability that an entry of the hidden-to-hidden matrices is dropped, in training (DropConnect;
            Merity et al. 2018, arXiv:1708.02182). The same entries are dropped at every step and in all sequences of a
            batch.

    Raises:
        ValueError: for a size below 1, a dropout outside [0, 1), or an unknown name.
    """

    source: ClassVar[str] = "Elman 1990, Cognitive Science 14(2)"
    fused_up_to: ClassVar[int] = 2**15
    gates: ClassVar[tuple[str, ...]] = ("hidden",)
    parts: ClassVar[tuple[str, ...]] = ("hidden",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        activation: Activation = "tanh",
        initialization: Initialization = "uniform",
        fused: bool = True,
        weight_dropout: float = 0.0,
    ) -> None:
        self_computed = activation not in ("tanh", "relu")
        torch_rnn = partial(nn.RNN, nonlinearity="tanh" if self_computed else activation)
        super().__init__(
            torch_rnn,
            input_size,
            hidden_size,
            num_layers,
            dropout,
            recurrent_dropout,
            weight_dropout,
            initialization,
            not self_computed,
            fused and not self_computed,
        )
        self.relu = activation == "relu"
        self.activation = activation_function(activation)

    def cell(self, weights: LayerWeights, x_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
        h = self.activation(x_t + weights.recur(cast(Tensor, state)))
        return h, h, (h,)

    def kernel(self, weights: LayerWeights, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        return rnn(inputs + weights.bias_hh, weights.weight_hh, cast(Tensor, state), weights.mask, self.relu)
