"""The Grid LSTM over time and depth."""

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout as drop
from torch.nn.functional import linear

from forecastlab.backbones.base import require_positive
from forecastlab.backbones.layered import GatedLayer, Layer, Layered, dropout_mask
from forecastlab.batch import State


class GridLSTMLayer(GatedLayer):
    """One layer of `GridLSTM`, the blocks of all time steps at one depth.

    `weight_ih` reads the hidden state that comes up from the layer below, `weight_hh` the one that comes from the step
    before; each dimension's rows are the gates of an LSTM over the two together.
    """

    gates: ClassVar[tuple[str, ...]] = (
        "time_input",
        "time_forget",
        "time_candidate",
        "time_output",
        "depth_input",
        "depth_forget",
        "depth_candidate",
        "depth_output",
    )
    parts: ClassVar[tuple[str, ...]] = tuple(
        f"{dimension}_{signal}"
        for dimension in ("time", "depth")
        for signal in ("input_gate", "forget_gate", "candidate", "output_gate", "cell", "hidden")
    )

    def __init__(self, hidden_size: int, priority: bool, squash_gated: bool, recurrent_dropout: float) -> None:
        super().__init__(hidden_size, hidden_size, recurrent_dropout)
        self.priority = priority
        self.squash_gated = squash_gated

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        """As `Layer.run`; both x and the output are the depth dimension's [h ; m] (batch, time, 2 * hidden_size)."""
        size = self.hidden_size
        below, memory = x.chunk(2, -1)
        inputs = torch.cat([self.project(below), memory], -1)  # (batch, time, 9 * hidden_size)
        mask = dropout_mask(x.new_empty(x.shape[0], size), self.recurrent_dropout, self.training)
        time_hh, depth_hh = self.weight_hh.chunk(2)

        def share(h: Tensor, weight: Tensor) -> Tensor:
            return linear(h if mask is None else h * mask, weight)

        def step(x_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
            h, m = cast(tuple[Tensor, Tensor], state)
            from_below_time, from_below_depth, m_depth = x_t.tensor_split((4 * size, 8 * size), -1)
            h_new, m_new, time_parts = self._lstm(from_below_time + share(h, time_hh), m)
            seen = h_new if self.priority else h
            h_depth, m_depth, depth_parts = self._lstm(from_below_depth + share(seen, depth_hh), m_depth)
            return torch.cat([h_depth, m_depth], -1), (h_new, m_new), (*time_parts, *depth_parts)

        return self.scan(step, inputs, state, keep_parts)

    def initial_state(self, batch_size: int) -> State:
        zeros = self.bias.new_zeros(batch_size, self.hidden_size)
        return zeros, zeros.clone()

    def _lstm(self, gates: Tensor, m: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        i, f, g, o = gates.chunk(4, -1)
        i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
        m = f * m + i * g
        h = torch.tanh(o * m) if self.squash_gated else o * torch.tanh(m)
        return h, m, (i, f, g, o, m, h)


class GridLSTM(Layered):
    """A grid of time steps and layers with an LSTM along each of the two dimensions (Kalchbrenner et al. 2015).

    The block of layer l at step t takes a hidden state and a memory from the step before and a pair from the layer
    below, and passes one pair on in each direction:

        H = [h_depth ; h_time]                                      of layer l - 1 at t, and of layer l at t - 1
        (h_time', m_time')   = LSTM(H, m_time;  W_time)             to step t + 1
        (h_depth', m_depth') = LSTM(H, m_depth; W_depth)            to layer l + 1
        LSTM(H, m; W):  [i ; f ; g ; o] = [σ ; σ ; tanh ; σ](W H + b),   m' = f ⊙ m + i ⊙ g,   h' = o ⊙ tanh(m')

    The lowest layer's pair is a projection of the input, [h_depth ; m_depth] = W_in x_t + b_in; the output is the
    highest layer's h_depth'. So there is a cell along depth as there is one along time. Stacked LSTMs have no such
    cell. With `priority` the depth dimension is computed last and reads the new h_time' in H (section 3.2).

    The paper prints h' = tanh(o ⊙ m'), but the LSTM has o ⊙ tanh(m'). `squash_gated` uses the printed form.
    Deviation: each gate has a bias; the paper writes none.

    The state is, per layer, (h_time, m_time), each (batch, hidden_size). `trace` gives per layer "time_input_gate",
    "time_forget_gate", "time_candidate", "time_output_gate", "time_cell" (m_time'), "time_hidden" (h_time') and the
    same with "depth_", each (batch, time, hidden_size). A layer's gates are rows in the order time_input, time_forget,
    time_candidate, time_output, depth_input, depth_forget, depth_candidate, depth_output; its `weight_ih` reads
    h_depth, its `weight_hh` h_time.

    Args:
        input_size: width of the inputs.
        hidden_size: width of both dimensions' states and of the output.
        num_layers: number of layers, the extent of the grid in depth.
        tie_weights: whether all layers share one set of weights, as all time steps do; `layers` then has one entry.
        priority: whether the depth dimension reads the new hidden state of the time dimension.
        squash_gated: whether h' is tanh(o ⊙ m') instead of o ⊙ tanh(m').
        dropout: probability that an element of h_depth is dropped before the next layer reads it, in training. The
            memory is not dropped.
        recurrent_dropout: probability that a unit of h_time is dropped before it enters H, in training. The same units
            are dropped at all steps of a sequence (Gal and Ghahramani 2016).

    Raises:
        ValueError: for a size that is not positive or a probability outside [0, 1).
    """

    source: ClassVar[str] = "Kalchbrenner et al. 2015, Grid Long Short-Term Memory, arXiv:1507.01526, section 3"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 2,
        tie_weights: bool = False,
        priority: bool = False,
        squash_gated: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        require_positive(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        layers = [
            GridLSTMLayer(hidden_size, priority, squash_gated, recurrent_dropout)
            for _ in range(1 if tie_weights else num_layers)
        ]
        super().__init__(input_size, layers, hidden_size, dropout)
        self.num_layers = num_layers
        self.projection = nn.Linear(input_size, 2 * hidden_size)

    @property
    def _layers(self) -> list[Layer]:
        layers = super()._layers
        return layers if len(layers) == self.num_layers else layers * self.num_layers

    def _run(self, x: Tensor, state: State | None, signals: dict[str, Tensor] | None) -> tuple[Tensor, State]:
        self.require_sequence(x)
        states = self.initial_state(x.shape[0]) if state is None else state
        pair = self.projection(x)
        after = []
        for number, (layer, state_before) in enumerate(zip(self._layers, states, strict=True)):
            if number and self.dropout:
                h, m = pair.chunk(2, -1)
                pair = torch.cat([drop(h, self.dropout, self.training), m], -1)
            pair, new, parts = layer.run(pair, state_before, signals is not None)
            after.append(new)
            if signals is not None:
                signals |= {f"layers.{number}.{name}": part for name, part in zip(layer.parts, parts, strict=True)}
        return pair[..., : self.output_size], tuple(after)
