"""What diagonal state space models share: a complex linear recurrence, and the residual block around it."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from forecastlab.backbones.base import require_positive
from forecastlab.backbones.kernels.choice import usable
from forecastlab.backbones.kernels.linear import Linear
from forecastlab.backbones.kernels.shortcut import gated_shortcut
from forecastlab.backbones.kernels.state_space import state_space
from forecastlab.backbones.layered import Layer
from forecastlab.backbones.linear_recurrence import recur_complex
from forecastlab.batch import State


class Discretised(NamedTuple):
    """The matrices of a diagonal state space model with steps of 1, complex numbers as two reals.

    The real parts of all states stand first, the imaginary parts after them.
    """

    a: Tensor
    """(2 * state_size,): the factors of the state, s_t = a * s_{t-1} + b v_t."""
    b: Tensor
    """(2 * state_size, hidden_size): from the input."""
    c: Tensor
    """(hidden_size, 2 * state_size): to the output, so that c s_t is the real part of the complex product."""


class StateSpaceLayer(Layer):
    """A residual block around a linear recurrence of complex states.

        u_t = W x_t + b                   the encoder, in the first layer; u_t = x_t in the others
        v_t = LayerNorm(u_t)
        s_t = a * s_{t-1} + b v_t         the recurrence, complex
        y_t = Re(c s_t) + D * v_t         with a, b and c of `discretised`
        h_t = u_t + value_t * s(gate_t)   with value and gate of `mix`, and a shortcut

    Args:
        input_size: width of the inputs.
        hidden_size: width of u, v, y and h.
        state_size: number of complex states; None for half of hidden_size.
        first: whether the layer is the first of a stack.
        fused: whether a compiled kernel may run the recurrence.
    """

    parts: ClassVar[tuple[str, ...]] = ("state_real", "state_imaginary", "output_gate", "hidden")

    def __init__(self, input_size: int, hidden_size: int, state_size: int | None, first: bool, fused: bool) -> None:
        super().__init__()
        states = max(1, hidden_size // 2) if state_size is None else state_size
        require_positive(input_size=input_size, hidden_size=hidden_size, state_size=states)
        self.hidden_size = hidden_size
        self.state_size = states
        self.fused = fused
        self.encoder = Linear(input_size, hidden_size, fused) if first else nn.Identity()
        self.norm = nn.LayerNorm(hidden_size)
        self.D = nn.Parameter(torch.randn(hidden_size))

    @abstractmethod
    def discretised(self) -> Discretised:
        """The matrices, computed from the parameters."""

    @abstractmethod
    def mix(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The value and the gate before its logistic function: (batch, time, hidden_size) -> likewise each."""

    def kernel(self, v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """All steps by a compiled kernel: (batch, time, hidden_size) and a state -> y likewise, and the last state."""
        return state_space(v, *self.discretised(), self.D, state)

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        u = self.encoder(x)
        v = self.norm(u)
        if self.fused and not keep_parts and usable(v, self.D, cast(Tensor, state)):
            y, after = self.kernel(v, cast(Tensor, state))
            return gated_shortcut(u, *self.mix(y)), after, ()
        # autocast rounds what the products give, but neither the factors, which are no products, nor the state
        a, b, c = self.discretised()
        s, last = recur_complex(self, a, linear(v, b), state)
        h, parts = self.read_out(u, v, s, c)
        return h, last, parts

    def read_out(self, u: Tensor, v: Tensor, s: Tensor, c: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """The output of the block, and its parts, from the states of all steps.

        Args:
            u: (batch, time, hidden_size).
            v: likewise.
            s: (batch, time, 2 * state_size).
            c: as in `Discretised`.
        """
        value, gate = self.mix(linear(s, c) + self.D * v)
        gate = torch.sigmoid(gate)
        h = u + value * gate
        return h, (*s.chunk(2, -1), gate, h)

    def initial_state(self, batch_size: int) -> State:
        return self.D.new_zeros(batch_size, 2 * self.state_size)
