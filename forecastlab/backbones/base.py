"""What every backbone is: a causal map from a sequence to a sequence that can also be fed step by step."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from forecastlab.batch import LayerStates, State


class Backbone(nn.Module, ABC):
    """A network that maps a sequence of inputs to a sequence of outputs of the same length.

    Subclasses take `input_size` as their first constructor argument and give every other one a default. They hold
    mathematics only: no training policy, no scaling, no horizon. The state is data: it is passed in and returned,
    never kept on `self` and never changed in place, so that feeding a sequence in pieces equals feeding it whole.

    A backbone that is not causal sets `causal = False` on the instance, returns `()` as its state, and refuses `step`
    and a given state.

    Attributes:
        input_size: width of the inputs.
        output_size: width of the outputs.
        causal: whether the output at step t depends on inputs up to t only.
        source: where the equations come from (a citation of one line).
        reads_static: whether the constructor takes `static`, the positions of the inputs that are the same in every
            row, which a `Network` fills in.
        reads_elapsed: whether the constructor takes `elapsed`, the position of the input that tells how much time has
            passed since the row before, which a `Network` fills in if its data have one (`data.elapsed`).
        zero_gradient: ends of the names of parameters whose gradient the equations make zero by symmetry.
    """

    source: ClassVar[str]
    reads_static: ClassVar[bool] = False
    reads_elapsed: ClassVar[bool] = False
    zero_gradient: ClassVar[tuple[str, ...]] = ()

    input_size: int
    output_size: int
    causal: bool

    def __init__(self, input_size: int, output_size: int, causal: bool = True) -> None:
        super().__init__()
        require_positive(input_size=input_size, output_size=output_size)
        self.input_size = input_size
        self.output_size = output_size
        self.causal = causal

    @abstractmethod
    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Runs over a sequence.

        Args:
            x: (batch, time, input_size).
            state: what an earlier call returned; None for the start of a sequence.

        Returns:
            The outputs (batch, time, output_size) and the state after the last step.
        """

    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        """Runs over one step: (batch, input_size) and a state -> (batch, output_size) and the next state.

        Raises:
            RuntimeError: if the backbone is not causal.
        """
        self.require_causal()
        y, state = self(x_t.unsqueeze(1), state)
        return y.squeeze(1), state

    def latest(self, x: Tensor, steps: int) -> Tensor:
        """The outputs of the last steps alone, which a class may compute without all others.

        Args:
            x: (batch, time, input_size), a whole sequence.
            steps: how many, at most `time`.

        Returns:
            (batch, steps, output_size)
        """
        y: Tensor = self(x)[0]
        return y[:, -steps:]

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """The state before the first step; `()` for a backbone that is not causal."""

    def layer_states(self, state: State) -> LayerStates | None:
        """What an encoder hands over to a decoder with the cell of an LSTM or a GRU: h and c, or h, of its layers.

        Args:
            state: what `forward` or `initial_state` returned.

        Returns:
            (h, c) or (h,), (batch, layers, hidden_size) each; None if the state holds something else.
        """
        return None

    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        """The inner signals for an input: gates, cell and hidden states, attention weights, by name.

        Args:
            x: (batch, time, input_size).
            state: as in `forward`.

        Returns:
            "output" (batch, time, output_size) and the signals that the class documents. Signals of layer l are named
            "layers.l.<signal>", (batch, time, width) each unless the class says otherwise; signals of a part of a
            hybrid are prefixed with the name of the part.
        """
        return {"output": self(x, state)[0]}

    def require_causal(self) -> None:
        """Raises RuntimeError if the backbone is not causal."""
        if not self.causal:
            raise RuntimeError(
                f"{type(self).__name__} is not causal: it reads the whole window and cannot be run step by step or "
                "from a given state. Use it with an integer lookback."
            )

    def require_sequence(self, x: Tensor) -> None:
        """Raises ValueError if `x` is not (batch, time, input_size)."""
        if x.dim() != 3 or x.shape[2] != self.input_size:
            raise ValueError(
                f"{type(self).__name__} expects an input of shape (batch, time, {self.input_size}), "
                f"got {tuple(x.shape)}"
            )

    def new_zeros(self, *shape: int) -> Tensor:
        """Zeros of the dtype and on the device of the parameters."""
        parameter = next(self.parameters(), None)
        return torch.zeros(shape) if parameter is None else parameter.new_zeros(shape)


class GateParameters(NamedTuple):
    """The parameters of one gate, as views: writing into them (under `torch.no_grad()`) changes the network."""

    weight_ih: Tensor
    """(hidden_size, input width): from the input."""
    weight_hh: Tensor
    """(hidden_size, hidden_size): from the previous hidden state."""
    bias: Tensor
    """(hidden_size,)"""


def require_positive(**sizes: int) -> None:
    """Raises ValueError for a size that is not a positive integer, naming it."""
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{name} must be a positive integer, got {size!r}")


def require_probability(**probabilities: float) -> None:
    """Raises ValueError for a probability outside [0, 1), naming it."""
    for name, probability in probabilities.items():
        if not 0 <= probability < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {probability!r}")
