"""The feed-forward baseline: a multilayer perceptron on a sliding window."""

from collections.abc import Callable
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout as drop
from torch.nn.functional import elu, leaky_relu, linear, relu

from forecastlab.backbones.activations import activation_function
from forecastlab.backbones.base import Backbone, require_positive, require_probability
from forecastlab.batch import State


def _step(x: Tensor) -> Tensor:
    return (x >= 0).to(x.dtype) + (x - x.detach())  # the second term is 0 and lets the gradient through


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "step": _step,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "identity": activation_function("identity"),
}


class MLP(Backbone):
    """A multilayer perceptron that sees the last `window` steps as one long vector.

        u_t = [x_{t-window+1} ; ... ; x_t]             zeros stand before the first step
        a^1_t = f(W^1 u_t + b^1),   a^l_t = f(W^l a^{l-1}_t + b^l),   output a^L_t

    f is one of the six functions of the thesis: step (1 from 0 on, else 0), sigmoid, tanh, relu, leaky_relu (slope 0.01
    below 0) and elu (alpha = 1). Or f is the identity: the network is then a linear map of the window, such as a linear
    path beside a recurrent net. There is no recurrence: a step older than the window cannot reach the output.

    Deviations: the threshold of the step function is 0, since the bias already shifts it. Its gradient is zero almost
    everywhere, so it is replaced by 1 to make training possible (straight-through, Bengio et al. 2013,
    arXiv:1308.3432).

    The state is a tensor (batch, window - 1, input_size), the inputs that the next step still sees, oldest first.
    `trace` gives "layers.l.hidden" (batch, time, hidden_size), the activations of layer l.

    Args:
        input_size: width of the inputs.
        hidden_size: width of every hidden layer and of the output.
        num_layers: number of hidden layers.
        window: number of steps that the network sees, including the present one; usually the data's lookback.
        activation: the function f.
        dropout: probability that an activation is dropped before the next layer reads it, in training.

    Raises:
        ValueError: for a size that is not positive, a dropout outside [0, 1) or an unknown activation.
    """

    source: ClassVar[str] = "Zangari, thesis on LSTM networks, section 2.1, eq. 2.1-2.7"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        window: int = 30,
        activation: Literal["step", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "identity"] = "relu",
        dropout: float = 0.0,
    ) -> None:
        require_positive(hidden_size=hidden_size, num_layers=num_layers, window=window)
        require_probability(dropout=dropout)
        super().__init__(input_size, hidden_size)
        if activation not in _ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(_ACTIVATIONS)}, got {activation!r}")
        self.window = window
        self.activation = activation
        self.dropout = dropout
        widths = [window * input_size] + [hidden_size] * num_layers
        self.layers = nn.ModuleList(nn.Linear(below, hidden_size) for below in widths[:-1])

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        hidden, state = self._run(x, state)
        return hidden[-1], state

    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        hidden, _ = self._run(x, state)
        return {"output": hidden[-1]} | {f"layers.{number}.hidden": a for number, a in enumerate(hidden)}

    def initial_state(self, batch_size: int) -> State:
        return self.new_zeros(batch_size, self.window - 1, self.input_size)

    def _run(self, x: Tensor, state: State | None) -> tuple[list[Tensor], State]:
        self.require_sequence(x)
        past = cast(Tensor, self.initial_state(x.shape[0]) if state is None else state)
        seen = torch.cat([past, x], 1)
        a = seen.unfold(1, self.window, 1).transpose(2, 3).flatten(2)  # (batch, time, window * input_size)
        hidden = []
        for number, layer in enumerate(cast(list[nn.Linear], list(self.layers))):
            if number and self.dropout:
                a = drop(a, self.dropout, self.training)
            a = _ACTIVATIONS[self.activation](linear(a, layer.weight, layer.bias))
            hidden.append(a)
        return hidden, seen[:, x.shape[1] :]
