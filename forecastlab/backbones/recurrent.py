"""What `RNN`, `LSTM` and `GRU` share: torch.nn's kernel if it can compute the cell, and our own loop if it cannot."""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from forecastlab.backbones.any_length import of_any_length
from forecastlab.backbones.base import Backbone, require_positive, require_probability
from forecastlab.backbones.kernels.choice import usable
from forecastlab.backbones.kernels.linear import linear
from forecastlab.backbones.layered import dropout_mask, dropped_weight
from forecastlab.backbones.stepping import Stepped
from forecastlab.batch import LayerStates, State

Initialization: TypeAlias = Literal["uniform", "orthogonal"]
"""How weights start. "uniform": weights and biases uniform in +-1/sqrt(hidden_size), as torch.nn does. "orthogonal":
per gate, Xavier-uniform from the input, orthogonal from the hidden state, biases zero."""


class TorchGateParameters(NamedTuple):
    """The parameters of one gate of a torch.nn network, as views: writing into them changes the network.

    torch.nn keeps two biases. Their sum is the bias of the equations. The candidate of a reset-after GRU is the
    exception: its `bias_hh` stands inside the product with the reset gate.
    """

    weight_ih: Tensor
    """(hidden_size, input width): from the input."""
    weight_hh: Tensor
    """(hidden_size, hidden_size): from the previous hidden state."""
    bias_ih: Tensor
    """(hidden_size,)"""
    bias_hh: Tensor
    """(hidden_size,)"""


class Recurrent(Backbone, Stepped):
    """A network of torch.nn (`rnn`) with a second way to compute the same cell, step by step in Python.

    By default `forward` is one call of torch.nn's kernel. Three things need another way: other equations than
    torch.nn's, dropout on the recurrent path in training, and `trace`. If a compiled kernel of ours can compute the
    layer (`fused`), that is one call too. Otherwise a loop in Python runs. It is slow: for an LSTM on one CPU core 3
    times slower than torch.nn on batches of windows, and 28 times on one long sequence. RNN and GRU use our kernel
    instead of torch.nn's where it is faster: on a CPU, for long sequences in small batches. The choice depends on sizes
    only, never on values. Both kernels drop the same units and differ by rounding only. All ways read the same
    parameters, those of `rnn`: `rnn.weight_ih_l0`, `rnn.weight_hh_l0`, `rnn.bias_ih_l0`, `rnn.bias_hh_l0`,
    `rnn.weight_ih_l1`, ...
    `rnn.load_state_dict` takes weights of torch.nn.

    Attributes:
        gates: names of the gates in the order of their rows in each parameter.
        parts: names of the signals that `cell` gives, in order.
        fused_up_to: size of a state, batch * hidden_size, up to which our kernel is faster than torch.nn's on a CPU.
    """

    fused_up_to: ClassVar[int] = 0
    gates: ClassVar[tuple[str, ...]]
    parts: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        rnn: Callable[..., nn.RNNBase],
        input_size: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        recurrent_dropout: float,
        weight_dropout: float,
        initialization: str,
        native: bool,
        fused: bool,
    ) -> None:
        require_positive(hidden_size=hidden_size, num_layers=num_layers)
        require_probability(dropout=dropout, recurrent_dropout=recurrent_dropout, weight_dropout=weight_dropout)
        super().__init__(input_size, hidden_size)
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.weight_dropout = weight_dropout
        self.native = native
        self.fused = fused
        between = dropout if num_layers > 1 else 0.0  # torch.nn warns where there is nothing between layers
        self.rnn = rnn(input_size, hidden_size, num_layers, batch_first=True, dropout=between)
        if initialization == "orthogonal":
            self._start_orthogonal()
        elif initialization != "uniform":
            raise ValueError(f"initialization must be 'uniform' or 'orthogonal', got {initialization!r}")

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        self.require_sequence(x)
        drops = self.training and bool(self.recurrent_dropout or self.weight_dropout)
        if not self.native or drops or of_any_length(x):
            return self._loop(x, state, None)
        if self._faster_than_torch(x):
            return self._loop(x, state, None, time_first=True)
        y, last = self.rnn(x, None if state is None else _swap(state))
        return y, _swap(last)

    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        self.require_sequence(x)
        signals: dict[str, Tensor] = {}
        signals["output"], _ = self._loop(x, state, signals)
        return signals

    def gate(self, layer: int, name: str) -> TorchGateParameters:
        """The parameters of one gate of a layer, as views.

        Raises:
            ValueError: for a layer or a gate that the network does not have.
        """
        if not 0 <= layer < self.num_layers:
            raise ValueError(f"layer must be at least 0 and below {self.num_layers}, got {layer!r}")
        if name not in self.gates:
            raise ValueError(f"unknown gate {name!r}; {type(self).__name__} has {', '.join(self.gates)}")
        start = self.gates.index(name) * self.hidden_size
        rows = slice(start, start + self.hidden_size)
        return TorchGateParameters(*(parameter[rows] for parameter in self._layer(layer)))

    @abstractmethod
    def cell(self, weights: "LayerWeights", x_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
        """One step of one layer.

        Args:
            weights: the layer's parameters.
            x_t: (batch, gates * hidden_size), the input's share in all gates, `bias_ih` included.
            state: the layer's state, each part (batch, hidden_size).

        Returns:
            The output (batch, hidden_size), the next state, and the signals named in `parts`.
        """

    @abstractmethod
    def kernel(self, weights: "LayerWeights", inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps of one layer by a compiled kernel; called if `fused`.

        Args:
            weights: the layer's parameters.
            inputs: (batch, time, gates * hidden_size), the input's share in all gates, `bias_ih` included.
            state: the layer's state, each part (batch, hidden_size).

        Returns:
            The outputs (batch, time, hidden_size) and the state after the last step.
        """

    def initial_state(self, batch_size: int) -> State:
        return self.new_zeros(batch_size, self.num_layers, self.hidden_size)

    def layer_states(self, state: State) -> LayerStates | None:
        return tuple(_leaves(state))

    def _faster_than_torch(self, x: Tensor) -> bool:
        if not (self.fused and self.fused_up_to):
            return False
        return usable(x, *self._layer(0)) and x.shape[0] * self.hidden_size <= self.fused_up_to

    def _layer(self, layer: int) -> TorchGateParameters:
        names = TorchGateParameters._fields
        return TorchGateParameters(*(getattr(self.rnn, f"{name}_l{layer}") for name in names))

    def _loop(
        self, x: Tensor, state: State | None, signals: dict[str, Tensor] | None, time_first: bool = False
    ) -> tuple[Tensor, State]:
        states = self.initial_state(x.shape[0]) if state is None else state
        after = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = (
                    _drop_time_first(x, self.dropout, self.training)
                    if time_first
                    else dropout(x, self.dropout, self.training)
                )
            weight_ih, weight_hh, bias_ih, bias_hh = self._layer(layer)
            mask = dropout_mask(x.new_ones(x.shape[0], self.hidden_size), self.recurrent_dropout, self.training)
            weight_hh = dropped_weight(weight_hh, self.weight_dropout, self.training)
            weights, start = LayerWeights(weight_hh, bias_hh, mask), _pick(states, layer)
            inputs = linear(x, weight_ih, bias_ih, self.fused)
            if self.fused and signals is None and usable(inputs, weight_hh, *_leaves(start)):
                x, last = self.kernel(weights, inputs, start)
                after.append(last)
                continue
            x, last, parts = self.scan(partial(self.cell, weights), inputs, start, signals is not None)
            after.append(last)
            if signals is not None:
                signals |= {f"layers.{layer}.{name}": part for name, part in zip(self.parts, parts, strict=True)}
        return x, _gather(after)

    def _start_orthogonal(self) -> None:
        for layer in range(self.num_layers):
            for name in self.gates:
                gate = self.gate(layer, name)
                nn.init.xavier_uniform_(gate.weight_ih)
                nn.init.orthogonal_(gate.weight_hh)
                nn.init.zeros_(gate.bias_ih)
                nn.init.zeros_(gate.bias_hh)


class LayerWeights(NamedTuple):
    """What one layer does to its hidden state: the recurrent parameters, and the dropout mask of the sequence."""

    weight_hh: Tensor
    """(gates * hidden_size, hidden_size)"""
    bias_hh: Tensor
    """(gates * hidden_size,)"""
    mask: Tensor | None
    """(batch, hidden_size): recurrent dropout, the same at every step and for every gate; None without."""

    def recur(self, h: Tensor, rows: slice = slice(None)) -> Tensor:
        """A hidden state (batch, hidden_size) -> its share in the given rows of the gates (batch, rows)."""
        h = h if self.mask is None else h * self.mask
        return nn.functional.linear(h, self.weight_hh[rows], self.bias_hh[rows])


def _drop_time_first(x: Tensor, probability: float, training: bool) -> Tensor:
    # torch.nn draws for (time, batch, hidden), so this draws in the same order.
    return dropout(x.transpose(0, 1).contiguous(), probability, training).transpose(0, 1)


def _swap(state: State) -> State:
    # torch.nn's (layers, batch, hidden) to our (batch, layers, hidden), and back.
    if isinstance(state, tuple):
        return tuple(_swap(part) for part in state)
    return state.transpose(0, 1).contiguous()


def _pick(state: State, layer: int) -> State:
    return tuple(_pick(part, layer) for part in state) if isinstance(state, tuple) else state[:, layer]


def _leaves(state: State) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else [leaf for part in state for leaf in _leaves(part)]


def _gather(states: list[State]) -> State:
    first = states[0]
    if isinstance(first, Tensor):
        return torch.stack([state for state in states if isinstance(state, Tensor)], 1)
    return tuple(_gather([state[part] for state in states]) for part in range(len(first)))
