"""A backbone that reads the window both ways."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from forecastlab.backbones.base import Backbone
from forecastlab.backbones.lstm import LSTM
from forecastlab.batch import State


class Bidirectional(Backbone):
    """Two backbones of one kind: one reads the window forwards, one backwards. Their outputs are concatenated.

        output_t = [forwards(x_1 ... x_T)_t ; backwards(x_T ... x_1)_t]

    The two share no weights. At step t the second half has read the steps t to T, so this is not causal. It has no
    state and cannot be stepped. It works on windows with one origin; at the origin the second half has read the last
    step only.

    With a one-layer LSTM it equals torch.nn.LSTM(bidirectional=True). With several layers torch joins the directions
    after every layer, as a `Stack` of Bidirectionals does. Here each direction is a separate network with all its
    layers.

    `trace` gives the parts' signals under "forwards." and "backwards.". The signals of the backward part are in the
    order in which it reads: last step first.

    Args:
        input_size: width of the inputs.
        backbone: the backbone of each direction.
    """

    source: ClassVar[str] = "Schuster & Paliwal 1997, doi:10.1109/78.650093; with LSTM: Graves & Schmidhuber 2005"

    def __init__(self, input_size: int, backbone: Callable[[int], Backbone] = LSTM) -> None:
        forwards, backwards = backbone(input_size), backbone(input_size)
        super().__init__(input_size, forwards.output_size + backwards.output_size, causal=False)
        self.forwards = forwards
        self.backwards = backwards

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        self._require_start(x, state)
        return torch.cat([self.forwards(x)[0], self.backwards(x.flip(1))[0].flip(1)], -1), ()

    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        self._require_start(x, state)
        signals = {f"forwards.{name}": signal for name, signal in self.forwards.trace(x).items()}
        signals |= {f"backwards.{name}": signal for name, signal in self.backwards.trace(x.flip(1)).items()}
        return {"output": torch.cat([signals["forwards.output"], signals["backwards.output"].flip(1)], -1)} | signals

    def initial_state(self, batch_size: int) -> State:
        return ()

    def _require_start(self, x: Tensor, state: State | None) -> None:
        self.require_sequence(x)
        if state is not None:
            self.require_causal()
