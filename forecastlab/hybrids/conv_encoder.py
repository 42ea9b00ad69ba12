"""A causal convolution in front of a backbone."""

from collections.abc import Callable
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from forecastlab.backbones.activations import Activation, activation_function
from forecastlab.backbones.base import Backbone, require_positive
from forecastlab.backbones.lstm import LSTM
from forecastlab.batch import State


class ConvEncoder(Backbone):
    """A causal 1-D convolution along time in front of any backbone.

        u_t = f(b + Σ_{j=0..kernel_size-1} W_j x_{t-j})        zeros stand before the first step
        output = backbone(u)

    `convolution.weight` (channels, input_size, kernel_size) is that of torch.nn.Conv1d: its last slice is W_0, of the
    present step. The convolution is causal because it is padded on the left only. Padding "same" would let half of the
    kernel see the future. The article calls this network a "ConvLSTM". The class `ConvLSTM` is Shi's cell, whose
    convolutions run over the features and stand inside the recurrence.

    The state is (the last kernel_size - 1 inputs (batch, kernel_size - 1, input_size), oldest first; the state of the
    backbone). If the backbone is not causal, the state is `()` and this hybrid is not causal either.

    `trace` gives "convolution" (batch, time, channels), u, and the backbone's signals under "backbone.".

    Args:
        input_size: width of the inputs.
        backbone: the backbone that reads the convolved sequence.
        channels: width of the convolved sequence.
        kernel_size: number of steps that the convolution sees, including the present one.
        activation: the function f; "identity" for a linear convolution.

    Raises:
        ValueError: for a size that is not positive or an unknown activation.
    """

    source: ClassVar[str] = "Dylag, article on LSTM variants, paragraph on convolution before an LSTM"

    def __init__(
        self,
        input_size: int,
        backbone: Callable[[int], Backbone] = LSTM,
        channels: int = 32,
        kernel_size: int = 3,
        activation: Activation = "relu",
    ) -> None:
        require_positive(input_size=input_size, channels=channels, kernel_size=kernel_size)
        inner = backbone(channels)
        super().__init__(input_size, inner.output_size, inner.causal)
        self.convolution = nn.Conv1d(input_size, channels, kernel_size)
        self.activation = activation_function(activation)
        self.backbone = inner

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        u, past, backbone_state = self._convolve(x, state)
        y, after = self.backbone(u, backbone_state)
        return y, (past, after) if self.causal else ()

    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        u, _, backbone_state = self._convolve(x, state)
        signals = self.backbone.trace(u, backbone_state)
        own = {"output": signals["output"], "convolution": u}
        return own | {f"backbone.{name}": signal for name, signal in signals.items()}

    def initial_state(self, batch_size: int) -> State:
        return (self._no_past(batch_size), self.backbone.initial_state(batch_size)) if self.causal else ()

    def _convolve(self, x: Tensor, state: State | None) -> tuple[Tensor, Tensor, State | None]:
        """The convolved sequence, the inputs that the next step still sees, and the backbone's state before it."""
        self.require_sequence(x)
        backbone_state: State | None = None
        past = self._no_past(x.shape[0])
        if state is not None:
            self.require_causal()
            past, backbone_state = cast(tuple[Tensor, State], state)
        seen = torch.cat([past, x], 1)
        u = self.activation(self.convolution(seen.transpose(1, 2)).transpose(1, 2))
        return u, seen[:, x.shape[1] :], backbone_state

    def _no_past(self, batch_size: int) -> Tensor:
        return self.new_zeros(batch_size, self.convolution.kernel_size[0] - 1, self.input_size)
