"""What cells that are stepped through time share: gates, dropout, and the stack of layers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear

from forecastlab.backbones.base import Backbone, GateParameters, require_positive, require_probability
from forecastlab.backbones.stepping import Stepped
from forecastlab.batch import LayerStates, State


def dropout_mask(like: Tensor, probability: float, training: bool) -> Tensor | None:
    """A mask for recurrent dropout: drawn once per sequence, then multiplied to the hidden state at every step.

    The same units are dropped at every step. This makes dropout on a recurrent path an approximate posterior (Gal and
    Ghahramani 2016, arXiv:1512.05287). The mask lives as long as one call of `forward`.

    Args:
        like: a tensor of the shape, dtype and device of the hidden state, (batch, hidden_size).
        probability: probability that a unit is dropped. The others are multiplied by 1 / (1 - probability).
        training: whether to drop at all.

    Returns:
        The mask, of the shape of `like`; None if nothing is dropped.
    """
    return dropout(torch.ones_like(like), probability) if training and probability else None


def dropped_weight(weight: Tensor, probability: float, training: bool) -> Tensor:
    """A weight for one sequence, some entries dropped: DropConnect on a recurrent path (Merity et al. 2018).

    All steps of a sequence, and all sequences of a batch, miss the same entries.

    Args:
        weight: the parameter.
        probability: probability that an entry is dropped. The others are multiplied by 1 / (1 - probability).
        training: whether to drop at all.

    Returns:
        The weight, of the same shape; the parameter itself, which kernels and exports know, if nothing is dropped.
    """
    return dropout(weight, probability) if training and probability else weight


def input_widths(input_size: int, hidden_size: int, num_layers: int) -> list[int]:
    """What each layer of a stack of equal layers reads: the inputs, then the output of the layer below.

    Raises:
        ValueError: for a size that is not positive.
    """
    require_positive(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
    return [input_size] + [hidden_size] * (num_layers - 1)


class Layer(Stepped, ABC):
    """One layer of a `Layered` backbone: a cell and its loop over time.

    Attributes:
        parts: names of the inner signals that `run` gives, in order.
        hidden_and_cell: whether its state begins with the h and c of an LSTM, (batch, hidden_size) each.
    """

    parts: ClassVar[tuple[str, ...]]
    hidden_and_cell: ClassVar[bool] = False

    @abstractmethod
    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        """(batch, time, input width) and a state -> (batch, time, output width), the state after it, and the parts."""

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """The state before the first step."""


class Layered(Backbone):
    """A stack of equal layers with dropout between them; its state is a tuple of the layers' states.

    Args:
        input_size: width of the inputs.
        layers: the layers, bottom first; layer l + 1 reads the output of layer l.
        output_size: width of the top layer's output.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
    """

    def __init__(self, input_size: int, layers: Sequence[Layer], output_size: int, dropout: float = 0.0) -> None:
        super().__init__(input_size, output_size)
        require_positive(num_layers=len(layers))
        require_probability(dropout=dropout)
        self.layers = nn.ModuleList(layers)
        self.dropout = dropout

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        return self._run(x, state, None)

    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        signals: dict[str, Tensor] = {}
        signals["output"], _ = self._run(x, state, signals)
        return signals

    def initial_state(self, batch_size: int) -> State:
        return tuple(layer.initial_state(batch_size) for layer in self._layers)

    def layer_states(self, state: State) -> LayerStates | None:
        if not all(layer.hidden_and_cell for layer in self._layers):
            return None
        states = cast("tuple[tuple[Tensor, ...], ...]", state)
        return tuple(torch.stack(part, 1) for part in zip(*(layer[:2] for layer in states), strict=True))

    def gate(self, layer: int, name: str) -> GateParameters:
        """The parameters of one gate of a layer, as views.

        Raises:
            ValueError: for a layer or a gate that the network does not have, or for layers without gates.
        """
        if not 0 <= layer < len(self.layers):
            raise ValueError(f"layer must be at least 0 and below {len(self.layers)}, got {layer!r}")
        gated = self.layers[layer]
        if not isinstance(gated, GatedLayer | InputGatedLayer):
            raise ValueError(f"the layers of {type(self).__name__} have no gates")
        return gated.gate(name)

    @property
    def _layers(self) -> list[Layer]:
        return cast(list[Layer], list(self.layers))

    def read(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What the first layer reads, and what `run` of every layer is given besides; (batch, time, ...) each."""
        return x, ()

    def _run(self, x: Tensor, state: State | None, signals: dict[str, Tensor] | None) -> tuple[Tensor, State]:
        self.require_sequence(x)
        x, beside = self.read(x)
        states = self.initial_state(x.shape[0]) if state is None else state
        after = []
        for number, (layer, state_before) in enumerate(zip(self._layers, states, strict=True)):
            if number and self.dropout:
                x = dropout(x, self.dropout, self.training)
            x, new, parts = layer.run(x, state_before, signals is not None, *beside)
            after.append(new)
            if signals is not None:
                signals |= {f"layers.{number}.{name}": part for name, part in zip(layer.parts, parts, strict=True)}
        return x, tuple(after)


class GatedLayer(Layer):
    """A layer whose gates share one matrix over the input, one over the hidden state, and one bias.

    The parameters are `weight_ih` (gates * hidden_size, input_size), `weight_hh` (gates * hidden_size, hidden_size)
    and `bias` (gates * hidden_size,); the rows of the gates follow each other in the order of `gates`. Weights and
    biases start uniform in +-1/sqrt(hidden_size), as in torch.nn.

    Args:
        input_size: width of the inputs.
        hidden_size: width of the hidden state.
        recurrent_dropout: probability that the gates do not see a unit of the hidden state, in training. The same units
            are dropped at every step of a sequence.
        weight_dropout: probability that an entry of `weight_hh` is dropped, in training (see `dropped_weight`).

    Attributes:
        gates: names of the gates in the order of their rows.
    """

    gates: ClassVar[tuple[str, ...]]

    def __init__(
        self, input_size: int, hidden_size: int, recurrent_dropout: float = 0.0, weight_dropout: float = 0.0
    ) -> None:
        super().__init__()
        require_positive(input_size=input_size, hidden_size=hidden_size)
        require_probability(recurrent_dropout=recurrent_dropout, weight_dropout=weight_dropout)
        self.hidden_size = hidden_size
        self.recurrent_dropout = recurrent_dropout
        self.weight_dropout = weight_dropout
        rows = len(self.gates) * hidden_size
        bound = hidden_size**-0.5
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(rows).uniform_(-bound, bound))

    def gate(self, name: str) -> GateParameters:
        """The parameters of one gate, as views.

        Raises:
            ValueError: for a name that is not among `gates`.
        """
        if name not in self.gates:
            raise ValueError(f"unknown gate {name!r}; {type(self).__name__} has {', '.join(self.gates)}")
        start = self.gates.index(name) * self.hidden_size
        rows = slice(start, start + self.hidden_size)
        return GateParameters(self.weight_ih[rows], self.weight_hh[rows], self.bias[rows])

    def project(self, x: Tensor) -> Tensor:
        """The input's share in all gates at all steps: (batch, time, input_size) -> (batch, time, gates * hidden)."""
        return linear(x, self.weight_ih, self.bias)

    def mask(self, like: Tensor) -> Tensor | None:
        """A new mask of recurrent dropout; call it once per sequence (see `dropout_mask`)."""
        return dropout_mask(like, self.recurrent_dropout, self.training)

    def recurrent_weight(self) -> Tensor:
        """`weight_hh` with new entries dropped, in training; call it once per sequence (see `dropped_weight`)."""
        return dropped_weight(self.weight_hh, self.weight_dropout, self.training)

    def recurrence(self, mask: Tensor | None) -> Callable[[Tensor], Tensor]:
        """The hidden state's share in all gates, as a function (batch, hidden_size) -> (batch, gates * hidden_size).

        Call it once per sequence: it drops new entries of `weight_hh`.
        """
        weight = self.recurrent_weight()
        return lambda h: linear(h if mask is None else h * mask, weight)


class InputGatedLayer(Layer):
    """A layer whose gates read the input alone: nothing of the state enters them.

    The parameters are `weight_ih` (rows, input_size) and `bias` (rows,); the rows of the gates follow each other in the
    order of `gates`. Both start uniform in +-1/sqrt(hidden_size), as in torch.nn.

    Args:
        input_size: width of the inputs.
        hidden_size: width of the output.
        rows: number of rows of each gate; None for hidden_size each.

    Attributes:
        gates: names of the gates in the order of their rows.
    """

    gates: ClassVar[tuple[str, ...]]

    def __init__(self, input_size: int, hidden_size: int, rows: Sequence[int] | None = None) -> None:
        super().__init__()
        require_positive(input_size=input_size, hidden_size=hidden_size)
        self.hidden_size = hidden_size
        self.rows = [hidden_size] * len(self.gates) if rows is None else list(rows)
        bound = hidden_size**-0.5
        self.weight_ih = nn.Parameter(torch.empty(sum(self.rows), input_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(sum(self.rows)).uniform_(-bound, bound))

    def gate(self, name: str) -> GateParameters:
        """The parameters of one gate, as views; `weight_hh` has width 0: the hidden state does not enter the gates.

        Raises:
            ValueError: for a name that is not among `gates`.
        """
        if name not in self.gates:
            raise ValueError(f"unknown gate {name!r}; {type(self).__name__} has {', '.join(self.gates)}")
        number = self.gates.index(name)
        weight, bias = (torch.split(parameter, self.rows)[number] for parameter in (self.weight_ih, self.bias))
        return GateParameters(weight, weight[:, :0], bias)

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """All gates before their activations: (batch, time, input_size) -> (batch, time, rows) for each gate."""
        return torch.split(linear(x, self.weight_ih, self.bias), self.rows, -1)
