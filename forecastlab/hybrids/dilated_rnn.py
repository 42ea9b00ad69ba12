"""Recurrent layers that skip back: each reads the state of several steps before."""

from collections.abc import Callable, Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from forecastlab.backbones.any_length import of_any_length
from forecastlab.backbones.base import Backbone, require_positive
from forecastlab.backbones.lstm import LSTM
from forecastlab.batch import State


class DilatedRNN(Backbone):
    """Recurrent layers, of which layer l reads its own state of d_l steps before instead of the last step.

        s_t^l, y_t^l = cell^l(y_t^{l-1}, s_{t-d_l}^l),   y_t^0 = x_t,   d_l = 1, 2, 4, ... by default

    So layer l is d_l interleaved sequences with the same weights: the steps t, t + d_l, t + 2 d_l, ... are one of them.
    The way between distant steps is shorter, and a gradient passes fewer steps. Any backbone with a state may be the
    cell; one with several layers is a dilated stack.

    Deviations: the paper puts another layer behind the last one if the first dilation is above 1, which mixes
    neighbouring steps. Here the output is that of the last layer. Each interleaved sequence has its own mask of
    recurrent dropout.

    The state is, per layer, a queue of the last d_l states of its cell, the one that the next step reads first. Before
    the first d_l steps they are the cell's initial state. `trace` gives the signals of the cells that have a value per
    step, named "branches.l.<signal>", in the order of the steps. Signals that relate steps, such as attention weights,
    are left out.

    Args:
        input_size: width of the inputs.
        backbone: the cell of each layer, a class or functools.partial(cls, **arguments).
        dilations: of each layer, bottom first, how many steps before the state lies that it reads.

    Raises:
        ValueError: for no dilations, one that is not positive, or a backbone that has no state.
    """

    source: ClassVar[str] = "Chang et al. 2017, Dilated Recurrent Neural Networks, arXiv:1710.02224"

    def __init__(
        self,
        input_size: int,
        backbone: Callable[[int], Backbone] = LSTM,
        dilations: Sequence[int] = (1, 2, 4),
    ) -> None:
        if not dilations:
            raise ValueError("dilations must name a number of steps for at least one layer, got none")
        for number, dilation in enumerate(dilations):
            require_positive(**{f"dilations[{number}]": dilation})
        layers: list[Backbone] = []
        for _ in dilations:
            layers.append(backbone(layers[-1].output_size if layers else input_size))
        if not layers[0].causal:
            raise ValueError(f"{type(layers[0]).__name__} must have a state to be dilated, but it reads both ways")
        super().__init__(input_size, layers[-1].output_size)
        self.dilations = tuple(dilations)
        self.branches = nn.ModuleList(layers)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        self.require_sequence(x)
        queues = self._queues(x, state)
        if of_any_length(x):
            return self._folded(x), queues  # what is exported for windows reads no state after them
        after: list[State] = []
        for layer, queue in zip(self._layers, queues, strict=True):
            parts, states = [], []
            for x_part, slot in zip(_parts(x, len(queue)), queue, strict=True):
                y, last = layer(x_part, slot) if x_part.shape[1] else (None, slot)
                parts += [] if y is None else [y]
                states.append(last)
            after.append(_rotated(states, x.shape[1]))
            x = _interleaved(parts)
        return x, tuple(after)

    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        after: list[State] = []
        for layer, queue in zip(self._layers, self._queues(x_t, state), strict=True):
            x_t, last = layer.step(x_t, queue[0])
            after.append((*queue[1:], last))
        return x_t, tuple(after)

    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        self.require_sequence(x)
        signals: dict[str, Tensor] = {}
        for number, (layer, queue) in enumerate(zip(self._layers, self._queues(x, state), strict=True)):
            parts = [part for part in _parts(x, len(queue)) if part.shape[1]]
            traced = [layer.trace(part, slot) for part, slot in zip(parts, queue, strict=False)]
            for name in traced[0]:
                each = [found[name] for found in traced]
                if all(one.dim() == 3 and one.shape[1] == part.shape[1] for one, part in zip(each, parts, strict=True)):
                    signals[f"branches.{number}.{name}"] = _interleaved(each)
            x = signals[f"branches.{number}.output"]
        return {"output": x, **signals}

    def initial_state(self, batch_size: int) -> State:
        layers = zip(self._layers, self.dilations, strict=True)
        return tuple(tuple(layer.initial_state(batch_size) for _ in range(dilation)) for layer, dilation in layers)

    def _folded(self, x: Tensor) -> Tensor:
        """The outputs from the start, with the interleaved sequences of a layer as rows of one batch, for exports.

        The sequences are padded at their ends to one length, which changes no output before.
        """
        batch, time, _ = x.shape
        for layer, dilation in zip(self._layers, self.dilations, strict=True):
            rounds = (time + dilation - 1) // dilation
            padded = torch.cat([x, x.new_zeros(batch, dilation - 1, x.shape[2])], 1)[:, : rounds * dilation]
            rows = padded.reshape(batch, rounds, dilation, -1).transpose(1, 2).reshape(batch * dilation, rounds, -1)
            y = layer(rows)[0].reshape(batch, dilation, rounds, -1).transpose(1, 2)
            x = y.reshape(batch, rounds * dilation, -1)[:, :time]
        return x

    @property
    def _layers(self) -> list[Backbone]:
        return cast(list[Backbone], list(self.branches))

    def _queues(self, x: Tensor, state: State | None) -> tuple[tuple[State, ...], ...]:
        """The states that wait in each layer, the next one first."""
        queues = self.initial_state(x.shape[0]) if state is None else state
        found = tuple(len(queue) if isinstance(queue, tuple) else 0 for queue in queues)
        if found != self.dilations:
            raise ValueError(f"expected a state of {self.dilations} states, got {found}")
        return cast(tuple[tuple[State, ...], ...], queues)


def _parts(x: Tensor, dilation: int) -> list[Tensor]:
    """The interleaved sequences of (batch, time, width), one for each place in a queue; late ones may be empty."""
    return [x[:, place::dilation] for place in range(dilation)]


def _interleaved(parts: Sequence[Tensor]) -> Tensor:
    """What `_parts` took apart, (batch, time, width), from the parts that have a step."""
    first = parts[0]
    y = first.new_empty(first.shape[0], sum(part.shape[1] for part in parts), first.shape[2])
    for place, part in enumerate(parts):
        y[:, place :: len(parts)] = part
    return y


def _rotated(queue: Sequence[State], steps: int) -> State:
    """The queue after some steps, the state that the next one reads first."""
    next_place = steps % len(queue)
    return (*queue[next_place:], *queue[:next_place])
