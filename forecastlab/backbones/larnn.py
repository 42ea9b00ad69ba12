"""The linear attention recurrent neural network."""

from collections.abc import Callable, Sequence
from math import ceil, log2, pi
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import elu as exponential_linear
from torch.nn.functional import linear

from forecastlab.backbones.base import require_positive
from forecastlab.backbones.batch_norm import StepBatchNorm
from forecastlab.backbones.layered import GatedLayer, Layered, dropout_mask, input_widths
from forecastlab.batch import State


def encode_ages(window: int) -> Tensor:
    """The positional encoding of a queue: a geometric series of waves over the age of a cell.

    Args:
        window: the longest the queue gets.

    Returns:
        (window, 2 * waves). The first row is the oldest cell, of age `window`; the last row is the newest, of age 1.
        The columns are cos(2π age / 2^j) for j = 1 ... waves, then sin(2π age / 2^(j+1)). There are waves = ceil(log2(4
        * window)), so that the slowest wave turns by at most a quarter.
    """
    ages = torch.arange(window, 0, -1, dtype=torch.float64).unsqueeze(1)
    turns = ages / 2.0 ** torch.arange(1, ceil(log2(4 * window)) + 1)
    return torch.cat([torch.cos(2 * pi * turns), torch.sin(pi * turns)], 1).to(torch.get_default_dtype())


class LARNNLayer(GatedLayer):
    """One layer of `LARNN`.

    It has `weight_ih`, `weight_hh` and `bias`, and these maps: `weight_ah` (4 * hidden_size, hidden_size) from the
    attention result to the gates, with the same order of rows; `query` from [x ; h]; `memory` from a cell state to its
    key and value (rows in this order); `position` from the positional encoding to key and value; `attended` from the
    joined heads to the attention result.
    """

    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    hidden_and_cell: ClassVar[bool] = True
    parts: ClassVar[tuple[str, ...]] = (
        "input_gate",
        "forget_gate",
        "candidate",
        "output_gate",
        "cell",
        "hidden",
        "attended",
        "attention",
    )

    ages: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_heads: int,
        window: int,
        mode: str,
        positional_encoding: bool,
        elu: bool,
        batch_norm: bool,
        max_length: int,
        recurrent_dropout: float,
        batch_norm_attention: bool,
        weight_dropout: float,
    ) -> None:
        super().__init__(input_size, hidden_size, recurrent_dropout, weight_dropout)
        self.num_heads = num_heads
        self.window = window
        self.mode = mode
        self.activation: Callable[[Tensor], Tensor] = exponential_linear if elu else _identity
        self.cell_activation: Callable[[Tensor], Tensor] = exponential_linear if elu else torch.tanh
        bound = hidden_size**-0.5
        self.weight_ah = nn.Parameter(torch.empty(4 * hidden_size, hidden_size).uniform_(-bound, bound))
        self.query = nn.Linear(input_size + hidden_size, hidden_size)
        self.memory = nn.Linear(hidden_size, 2 * hidden_size, bias=False)
        self.attended = nn.Linear(hidden_size, hidden_size)
        self.position: nn.Linear | None = None
        if positional_encoding:
            self.register_buffer("ages", encode_ages(window), persistent=False)
            self.position = nn.Linear(self.ages.shape[1], 2 * hidden_size, bias=False)
        self.batch_norm = batch_norm
        if batch_norm:
            self.normalise_gates = StepBatchNorm(4 * hidden_size, max_length, shift=False)
            if mode == "residual":
                self.normalise_recurrent = StepBatchNorm(4 * hidden_size, max_length, shift=False)
            self.normalise_hidden = StepBatchNorm(hidden_size, max_length, scale=1.0)
        self.batch_norm_attention = batch_norm_attention
        if batch_norm_attention:
            self.normalise_memory = StepBatchNorm(2 * hidden_size, max_length, scale=1.0)
            self.normalise_attended = StepBatchNorm(hidden_size, max_length, scale=1.0)

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        width, rows = x.shape[2], 4 * self.hidden_size
        mask = dropout_mask(x.new_empty(x.shape[0], self.hidden_size), self.recurrent_dropout, self.training)
        from_x = torch.cat([self.weight_ih, self.query.weight[:, :width]])  # gates and query as one product
        from_h = torch.cat([self.recurrent_weight(), self.query.weight[:, width:]])
        positions = None if self.position is None else self.position(self.ages)
        ages = torch.arange(self.window - 1, -1, -1, device=x.device)  # of the cells in the queue, in steps

        def step(x_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
            h, c, queue, t = cast(tuple[Tensor, ...], state)
            h_t = linear(h if mask is None else h * mask, from_h)
            query = self.activation(x_t[:, rows:] + h_t[:, rows:] + self.query.bias)
            a, weights = self._attend(query, queue, positions, ages <= t.unsqueeze(1), t)
            gates = self._join(x_t[:, :rows], h_t[:, :rows], linear(a, self.weight_ah), t) + self.bias
            i, f, g, o = gates.chunk(4, -1)
            i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
            c = f * c + i * g
            h = o * self.cell_activation(c)
            if self.batch_norm:
                h = self.normalise_hidden(h, t)
            # only the newest cell is projected; the queue holds the keys and values of the others
            queue = torch.cat([queue[:, 1:], self.memory(c).unsqueeze(1)], 1)
            return h, (h, c, queue, t + 1), (i, f, g, o, c, h, a, weights)

        return self.scan(step, linear(x, from_x), state, keep_parts)

    def initial_state(self, batch_size: int) -> State:
        zeros = self.bias.new_zeros(batch_size, self.hidden_size)
        queue = self.bias.new_zeros(batch_size, self.window, 2 * self.hidden_size)  # a zero cell has zero key and value
        return zeros, zeros.clone(), queue, torch.zeros(batch_size, dtype=torch.long, device=self.bias.device)

    def _attend(
        self, query: Tensor, queue: Tensor, positions: Tensor | None, there: Tensor, t: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A query (batch, hidden_size) and the queue -> the attention result and weights (batch, heads, window)."""
        queue = self.activation(queue if positions is None else queue + positions)
        later = (t > 0).unsqueeze(1)
        if self.batch_norm_attention:
            queue = self.normalise_memory(queue * later.unsqueeze(2), t, there)
        keys, values = queue.reshape(*queue.shape[:2], 2, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        scores = query.reshape(query.shape[0], self.num_heads, 1, -1) @ keys.transpose(-1, -2)
        scores = (scores * keys.shape[-1] ** -0.5).masked_fill(~there[:, None, None], -torch.inf)
        weights = scores.softmax(-1)  # (batch, heads, 1, window)
        a = self.activation(self.attended((weights @ values).flatten(1)))
        if self.batch_norm_attention:
            a = self.normalise_attended(a * later, t)
        return a, weights.squeeze(2)

    def _join(self, x_t: Tensor, h: Tensor, a: Tensor, t: Tensor) -> Tensor:
        if not self.batch_norm:
            return x_t + h + a
        if self.mode == "layer":
            return cast(Tensor, self.normalise_gates(x_t + h + a, t))
        return cast(Tensor, self.normalise_gates(x_t, t) + self.normalise_recurrent(h, t) + a)


class LARNN(Layered):
    """An LSTM that attends over a queue of its own last cell states (Chevalier 2018).

        q_t = φ(W_q [x_t ; h_{t-1}] + b_q)
        k_j = φ(W_k [c_j ; p_{t-j}]),   v_j = φ(W_v [c_j ; p_{t-j}])          j = t - window ... t - 1, from c_0 = 0 on
        a_t = φ(W_o [heads: Σ_j softmax_j(q · k_j / sqrt(head size)) v_j] + b_o)
        [ĩ ; f̃ ; g̃ ; õ] = W_x x_t + W_h h_{t-1} + W_a a_t + b
        c_t = σ(f̃) ⊙ c_{t-1} + σ(ĩ) ⊙ tanh(g̃),   h_t = σ(õ) ⊙ tanh(c_t)

    φ is the identity. The queue is first in, first out. Its newest cell is c_{t-1}; in the first step it holds only the
    zero cell c_0. p encodes the age of a cell in the queue (`encode_ages`) and is concatenated to the cell, not added.

    `elu` takes φ = ELU, and ELU for tanh in h_t. `batch_norm` normalises per time step as `BNLSTM` does, h_t too:

        mode "layer":     BN(W [x_t ; h_{t-1} ; a_t]) + b             the result is concatenated into the gates' input
        mode "residual":  BN(W_x x_t) + BN(W_h h_{t-1}) + W_a a_t + b       it is added to the gates' input
        h_t = BN(σ(õ) ⊙ φ(c_t))

    Without batch norm the two modes are one function, since a product with a concatenation is a sum of products. With
    batch norm the rows of a batch influence each other in training, and a batch needs two or more rows: see `BNLSTM`.
    `batch_norm_attention`, with or without `batch_norm`, also normalises the attention:

        [k_j ; v_j] = BN(φ(W_kv [c_j ; p_{t-j}]))      mean and variance over the rows and the cells of the queue
        a_t = BN(φ(W_o [heads] + b_o))

    The author's best results have it, together with ELU. In the first step all rows see the same zero cell. Equal rows
    have no variance, so keys, values and result are then the offsets of their norms, in evaluation as in training.

    **The author's public code differs from the text; this class follows the text.** The code keeps its cells in a plain
    list, so the optimizer never sees their parameters, and dropout and batch norm stay in training mode in evaluation.
    It runs cell 0 on the raw input in every layer, on one state that all layers share. It throws the normalised gates
    away. Its "layer" mode needs inputs as wide as the hidden state. It normalises keys and values by one batch norm in
    turn, whose running statistics all steps share; here each has its own, per step. Deviations from the text: keys and
    values have no bias, and attention weights have no dropout.

    The state is, per layer, (h (batch, hidden_size), c (batch, hidden_size), queue (batch, window, 2 * hidden_size):
    [W_k c_j ; W_v c_j] of the last cells, oldest first, of which the newest t + 1 count; t (batch,) integer: steps so
    far). A cell is projected once, when it enters the queue. `trace` gives per layer "input_gate", "forget_gate",
    "candidate", "output_gate", "cell", "hidden" and "attended" a_t, each (batch, time, hidden_size), and "attention"
    (batch, time, num_heads, window), the weights of the cells, newest last, 0 where the queue is not yet full. The
    gates are rows in the order input, forget, candidate, output.

    Args:
        input_size: width of the inputs.
        hidden_size: width of every layer and of the output.
        num_layers: number of layers.
        num_heads: number of attention heads; it must divide hidden_size.
        window: number of past cell states that the queue holds.
        mode: where the attention result enters: "residual" or "layer".
        positional_encoding: whether the age of a cell is joined to it.
        elu: whether ELU replaces the identity in the attention and tanh on the cell.
        batch_norm: whether gates and output are normalised over the batch.
        max_length: number of time steps with running statistics of their own; used with batch norms only.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        recurrent_dropout: probability that a unit of h_{t-1} is dropped, in training. The same units are dropped at all
            steps of a sequence (Gal and Ghahramani 2016).
        batch_norm_attention: whether keys, values and the attention result are normalised over the batch.
        weight_dropout: probability that an entry of the hidden-to-hidden matrices is dropped, in training (DropConnect;
            Merity et al. 2018, arXiv:1708.02182). The same entries are dropped at every step and in all sequences of a
            batch. The query's is not dropped.

    Raises:
        ValueError: for a size that is not positive, a hidden_size that is not a multiple of num_heads, an unknown mode
            or a probability outside [0, 1).
    """

    source: ClassVar[str] = "Chevalier 2018, LARNN: Linear Attention Recurrent Neural Network, arXiv:1808.05578"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        num_heads: int = 4,
        window: int = 20,
        mode: Literal["residual", "layer"] = "residual",
        positional_encoding: bool = True,
        elu: bool = False,
        batch_norm: bool = False,
        max_length: int = 100,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        batch_norm_attention: bool = False,
        weight_dropout: float = 0.0,
    ) -> None:
        require_positive(num_heads=num_heads, window=window, max_length=max_length)
        if hidden_size % num_heads:
            raise ValueError(f"hidden_size must be a multiple of num_heads = {num_heads}, got {hidden_size}")
        if mode not in ("residual", "layer"):
            raise ValueError(f"mode must be 'residual' or 'layer', got {mode!r}")
        layers = [
            LARNNLayer(
                width,
                hidden_size,
                num_heads,
                window,
                mode,
                positional_encoding,
                elu,
                batch_norm,
                max_length,
                recurrent_dropout,
                batch_norm_attention,
                weight_dropout,
            )
            for width in input_widths(input_size, hidden_size, num_layers)
        ]
        super().__init__(input_size, layers, hidden_size, dropout)


def _identity(x: Tensor) -> Tensor:
    return x
