"""The base of hybrids: several parts in some order; the state is the tuple of the parts' states."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

from torch import Tensor, nn

from forecastlab.backbones.base import Backbone
from forecastlab.batch import State

Factory: TypeAlias = Callable[[int], Backbone]
"""Builds a backbone for a width of its inputs: a class, or functools.partial(cls, **arguments)."""


class Composed(Backbone):
    """A backbone made of backbones; causal if all of them are.

    A subclass wires the parts in `combine`. Stepping, feeding in pieces and tracing follow from it.

    Args:
        input_size: width of the inputs.
        branches: the parts.
        output_size: width of the outputs.
    """

    def __init__(self, input_size: int, branches: Sequence[Backbone], output_size: int) -> None:
        super().__init__(input_size, output_size, causal=all(branch.causal for branch in branches))
        self.branches = nn.ModuleList(branches)

    @abstractmethod
    def combine(self, x: Tensor, run: Callable[[int, Tensor], Tensor]) -> Tensor:
        """The wiring.

        Args:
            x: (..., input_size): a sequence (batch, time, input_size) or one step (batch, input_size).
            run: runs a part, given by its number, on an input (..., width). Call it once for each part, in order.

        Returns:
            (..., output_size)
        """

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        self.require_sequence(x)
        return self._run(x, state, lambda branch: branch)

    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        self.require_causal()
        return self._run(x_t, state, lambda branch: branch.step)

    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        self.require_sequence(x)
        states = self._split(state)
        signals: dict[str, Tensor] = {}

        def run(number: int, x: Tensor) -> Tensor:
            traced = self._branches[number].trace(x, states[number])
            signals.update({f"branches.{number}.{name}": signal for name, signal in traced.items()})
            return traced["output"]

        return {"output": self.combine(x, run), **signals}

    def initial_state(self, batch_size: int) -> State:
        return tuple(branch.initial_state(batch_size) for branch in self._branches) if self.causal else ()

    @property
    def _branches(self) -> list[Backbone]:
        return cast(list[Backbone], list(self.branches))

    def _split(self, state: State | None) -> Sequence[State | None]:
        if state is None:
            return [None] * len(self.branches)
        self.require_causal()
        if not isinstance(state, tuple) or len(state) != len(self.branches):
            raise ValueError(f"expected a state of {len(self.branches)} parts, one for each branch")
        return state

    def _run(
        self, x: Tensor, state: State | None, method: Callable[[Backbone], Callable[..., tuple[Tensor, State]]]
    ) -> tuple[Tensor, State]:
        states = self._split(state)
        after: list[State] = []

        def run(number: int, x: Tensor) -> Tensor:
            y, last = method(self._branches[number])(x, states[number])
            after.append(last)
            return y

        y = self.combine(x, run)
        return y, tuple(after) if self.causal else ()


def require_branches(branches: Sequence[Factory]) -> None:
    """Raises ValueError if there is nothing to build."""
    if not branches:
        raise ValueError("branches must name at least one backbone, got none")


def chain(input_size: int, branches: Sequence[Factory], next_width: Callable[[int], int]) -> list[Backbone]:
    """Builds backbones one after the other.

    Args:
        input_size: width of the first one's inputs.
        branches: the factories that build them.
        next_width: maps the output width of one to the input width of the next.
    """
    require_branches(branches)
    built: list[Backbone] = []
    for branch in branches:
        built.append(branch(next_width(built[-1].output_size) if built else input_size))
    return built
