"""The sequence-to-sequence decoder."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from forecastlab.backbones.attention import Score
from forecastlab.backbones.base import require_positive, require_probability
from forecastlab.batch import LayerStates
from forecastlab.decoders.base import Decoder
from forecastlab.decoders.encoder_attention import EncoderAttention, Memory
from forecastlab.decoders.sampling import Decay, ScheduledSampling

LayerState: TypeAlias = tuple[Tensor, ...]
"""h and c of an LSTM layer, or h of a GRU layer, (sequences, hidden_size) each."""

Attend: TypeAlias = Callable[[Tensor], Tensor]
"""States (sequences, ..., hidden_size) -> contexts (sequences, ..., width)."""


class Seq2Seq(Decoder):
    """A recurrent network that starts from the encoding at the origin and forecasts step by step.

        s_0 = tanh(B h_origin + b)                            initial_state bridge: h and c of each layer
        s_0 = the state of the backbone at the origin         initial_state encoder
        s_t = cell([y_{t-1} ; known_t], s_{t-1})              attention none, dot, general, scaled_dot
        s_t = cell([y_{t-1} ; known_t ; s̃_{t-1}], s_{t-1})    the same with input_feeding, s̃_0 = 0
        s_t = cell([y_{t-1} ; known_t ; context_t], s_{t-1})  attention additive
        s̃_t = s_t                                             attention none, additive
        s̃_t = tanh(W_c [context_t ; s_t])                     attention dot, general, scaled_dot
        forecast_t = W [s̃_t ; known_t] + b

    y_0 is the target's last value. For later steps, y_{t-1} is the point forecast of the step before, and the gradient
    flows through it. In training, y_{t-1} is the truth (teacher forcing), or scheduled sampling draws one of the two.
    The context is the weighted mean of the encoding up to the origin (`EncoderAttention`). The texts call both the
    context and the cell state c_t; they are not the same. The query of Bahdanau's additive attention is s_{t-1}, and
    its context enters the cell. The query of Luong's dot and general attention, and of scaled_dot, is s_t, and its
    context is combined with s_t. s̃_t, Luong's attentional vector, enters the next step with `input_feeding` alone: the
    cell then knows what earlier steps attended to.

    The bridge is learned and fits every backbone and every origin. With `initial_state: encoder`, the decoder goes on
    from the states of the backbone's layers, as Sutskever's does. This needs a backbone whose state is h and c (for the
    cell lstm) or h (for gru), of as many layers and as wide as the decoder's, and windows: a backbone gives its state
    after the last row, and not at every origin of a sequence. The network's dropout does not reach that state.

    Source: Sutskever et al. 2014, arXiv:1409.3215; Bahdanau et al. 2015, arXiv:1409.0473, whose output layer also reads
    y_{t-1} and the context; Luong et al. 2015, arXiv:1508.04025, section 3.3 on input feeding; scheduled sampling:
    Bengio et al. 2015, arXiv:1506.03099; Zangari, eqs. 2.56-2.61, where T_x and T_e are one length, and C and c_t are
    contexts.

    If every step reads the truth, all steps are computed at once. Additive attention and input feeding must wait for
    each step, so they are several times slower. Each origin is decoded as a sequence.

    `trace` gives "attention" (batch, origins, horizon, time), the weights of the contexts, which are 0 after the
    origin. It gives nothing if attention is "none".

    Args:
        width: width of the encoded history.
        horizon: number of steps.
        targets: number of targets.
        known: number of covariates known in advance.
        outputs: number of values per target that the loss asks for.
        cell: "lstm" or "gru".
        hidden_size: width of the states; None for `width`.
        num_layers: number of stacked layers; s_t is the top layer's h.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        attention: how a state and a step of the history are compared, or "none".
        attention_size: width of the additive score's hidden layer; None for `hidden_size`.
        teacher_forcing: probability that a training step reads the truth. `sampling` can let it decay. 0 for never.
        sampling: how this probability decays over the training steps (see `ScheduledSampling`).
        k: constant of the exponential decay (default 0.999) and of the inverse sigmoid decay (default 150).
        slope: decrease of the linear decay per training step (default 0.0007).
        floor: where the linear decay ends (default 0).
        initial_state: where s_0 comes from, "bridge" or "encoder".
        input_feeding: whether the attentional vector of a step enters the next one (dot, general, scaled_dot).

    Raises:
        ValueError: for a size below 1, a dropout outside [0, 1), an unknown name, a hidden_size that the attention
            cannot compare with `width`, or an argument that the attention or the decay does not use. Whether the state
            of the backbone fits is checked by the network, which raises a ConfigError.
    """

    feeds_back: ClassVar[bool] = True

    def __init__(
        self,
        width: int,
        horizon: int,
        targets: int,
        known: int,
        outputs: int,
        cell: Literal["lstm", "gru"] = "lstm",
        hidden_size: int | None = None,
        num_layers: int = 1,
        dropout: float = 0.0,
        attention: Literal[Score, "none"] = "general",
        attention_size: int | None = None,
        teacher_forcing: float = 1.0,
        sampling: Decay = "none",
        k: float | None = None,
        slope: float | None = None,
        floor: float | None = None,
        initial_state: Literal["bridge", "encoder"] = "bridge",
        input_feeding: bool = False,
    ) -> None:
        super().__init__(width, horizon, targets, known, outputs)
        if cell not in ("lstm", "gru"):
            raise ValueError(f"cell must be 'lstm' or 'gru', got {cell!r}")
        if attention not in ("none", *get_args(Score)):
            raise ValueError(f"attention must be one of none, {', '.join(get_args(Score))}, got {attention!r}")
        if attention == "none" and attention_size is not None:
            raise ValueError("attention_size belongs to the additive score; leave it out for attention 'none'")
        if initial_state not in ("bridge", "encoder"):
            raise ValueError(f"initial_state must be 'bridge' or 'encoder', got {initial_state!r}")
        asks_after = attention not in ("none", "additive")
        if input_feeding and not asks_after:
            raise ValueError(
                "input_feeding belongs to the attentional vector of dot, general and scaled_dot; leave it out for "
                f"attention {attention!r}"
            )
        hidden_size = width if hidden_size is None else hidden_size
        require_positive(hidden_size=hidden_size, num_layers=num_layers)
        require_probability(dropout=dropout)
        self.attends = attention != "none"
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout = dropout if num_layers > 1 else 0.0  # torch.nn warns where there is nothing between layers
        self.sampling = ScheduledSampling(teacher_forcing, sampling, k, slope, floor)
        self.attention = (
            None if attention == "none" else EncoderAttention(width, hidden_size, attention, attention_size)
        )
        self.asks_before = attention == "additive"
        self.input_feeding = input_feeding
        rnn, states = (nn.LSTM, 2) if cell == "lstm" else (nn.GRU, 1)
        inputs = targets + known + (width if self.asks_before else hidden_size if input_feeding else 0)
        self.bridge: nn.Linear | None = None
        if initial_state == "bridge":
            self.bridge = nn.Linear(width, states * num_layers * hidden_size)
        else:
            self.starts_from = ((num_layers, hidden_size),) * states
        self.rnn = rnn(inputs, hidden_size, num_layers, batch_first=True, dropout=self.dropout)
        self.combine = nn.Linear(width + hidden_size, hidden_size, bias=False) if asks_after else None
        self.output = nn.Linear(hidden_size + known, targets * outputs)

    def forward(
        self,
        encoded: Tensor,
        known: Tensor,
        last: Tensor,
        target: Tensor | None = None,
        state: LayerStates | None = None,
    ) -> Tensor:
        return self._decode(encoded, known, last, state, target if self.training else None)

    def paths(
        self,
        encoded: Tensor,
        known: Tensor,
        last: Tensor,
        draw: Callable[[Tensor], Tensor],
        state: LayerStates | None = None,
    ) -> Tensor:
        drawn: list[Tensor] = []

        def feed(outputs: Tensor) -> Tensor:
            drawn.append(draw(outputs))
            return drawn[-1]

        self._decode(encoded, known, last, state, feed=feed)
        path = torch.stack(drawn, 1)
        return path.view(*known.shape[:2], *path.shape[1:])

    def trace(
        self, encoded: Tensor, known: Tensor, last: Tensor, state: LayerStates | None = None
    ) -> dict[str, Tensor]:
        weights: list[Tensor] = []
        self._decode(encoded, known, last, state, weights=weights)
        return {"attention": torch.stack(weights, 1).unflatten(0, known.shape[:2])} if weights else {}

    def _decode(
        self,
        encoded: Tensor,
        known: Tensor,
        last: Tensor,
        handed: LayerStates | None,
        target: Tensor | None = None,
        weights: list[Tensor] | None = None,
        feed: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """As `forward`; `target` is for teacher forcing, and attention weights are appended to `weights`.

        `handed` is the state that the backbone hands over, if the decoder starts from it.

        What the next step reads of a forecast is `feed` of it, or the point forecast.
        """
        batch, origins = known.shape[:2]
        memory = None
        if self.attention is not None:
            held = self.horizon if weights is not None or torch.is_grad_enabled() else 1
            memory = self.attention.remember(encoded, origins, held)
        attend = partial(self._attend, memory, weights)
        state = self._start(encoded[:, -origins:].flatten(0, 1), handed)
        known, last = known.flatten(0, 1), last.flatten(0, 1)  # from here on every origin is a sequence
        if target is None:
            y = self._run(last, known, state, attend, feed=feed)
        else:
            truth = target.flatten(0, 1)
            fed = self.sampling(len(truth), self.horizon)
            if fed is None:
                y = self._run_forced(torch.cat([last.unsqueeze(1), truth[:, :-1]], 1), known, state, attend)
            else:
                y = self._run(last, known, state, attend, truth, fed)
        return y.view(batch, origins, *y.shape[1:])

    def _run_forced(self, previous: Tensor, known: Tensor, state: LayerState, attend: Attend) -> Tensor:
        """The forecasts if the previous value of every step is given, (sequences, horizon, targets)."""
        inputs = torch.cat([previous, known], -1)
        if not (self.asks_before or self.input_feeding):
            s, _ = self.rnn(inputs, state if len(state) > 1 else state[0])
            return self._read(self._attentional(s, attend), known)
        vectors, layers, s = [], _by_layer(state), torch.zeros_like(state[0][-1])
        for x_t in inputs.unbind(1):
            layers = self._step(x_t, s, layers, attend)
            s = self._attentional(layers[-1][0], attend)
            vectors.append(s)
        return self._read(torch.stack(vectors, 1), known)

    def _run(
        self,
        previous: Tensor,
        known: Tensor,
        state: LayerState,
        attend: Attend,
        truth: Tensor | None = None,
        fed: Tensor | None = None,
        feed: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """The forecasts step by step from the last value (sequences, targets); the truth is read where it is fed.

        What the next step reads of a forecast is `feed` of it, or the point forecast.
        """
        forecasts, layers, s = [], _by_layer(state), torch.zeros_like(state[0][-1])
        for t, known_t in enumerate(known.unbind(1)):
            layers = self._step(torch.cat([previous, known_t], -1), s, layers, attend)
            s = self._attentional(layers[-1][0], attend)
            y_t = self._read(s, known_t)
            forecasts.append(y_t)
            previous = self.point(y_t) if feed is None else feed(y_t)
            if truth is not None and fed is not None:
                previous = torch.where(fed[:, t, None], truth[:, t], previous)
        return torch.stack(forecasts, 1)

    def _start(self, encoded: Tensor, handed: LayerStates | None) -> LayerState:
        """(sequences, width) at the origins -> h and c, or h of a GRU, (layers, sequences, hidden_size) each."""
        if self.bridge is None:
            assert handed is not None
            return tuple(part.transpose(0, 1).contiguous() for part in handed)
        states = torch.tanh(self.bridge(encoded)).view(encoded.shape[0], -1, self.num_layers, self.hidden_size)
        return tuple(part.transpose(0, 1).contiguous() for part in states.unbind(1))

    def _step(self, x: Tensor, attentional: Tensor, layers: list[LayerState], attend: Attend) -> list[LayerState]:
        """One step of all layers, as in `rnn`.

        x is (sequences, targets + known), and the attentional vector of the step before (sequences, hidden_size).
        """
        if self.asks_before:
            x = torch.cat([x, attend(layers[-1][0])], -1)
        elif self.input_feeding:
            x = torch.cat([x, attentional], -1)
        after: list[LayerState] = []
        for number, (weights, state) in enumerate(zip(self.rnn.all_weights, layers, strict=True)):
            if number and self.dropout:
                x = dropout(x, self.dropout, self.training)
            if len(state) > 1:
                after.append(torch.lstm_cell(x, state, *weights))
            else:
                after.append((torch.gru_cell(x, *state, *weights),))
            x = after[-1][0]
        return after

    def _attend(self, memory: Memory | None, weights: list[Tensor] | None, s: Tensor) -> Tensor:
        assert self.attention is not None
        context: Tensor
        context, weight = self.attention(s, memory)
        if weights is not None:
            weights.append(weight)
        return context

    def _attentional(self, s: Tensor, attend: Attend) -> Tensor:
        """States -> attentional vectors s̃, (..., hidden_size)."""
        return s if self.combine is None else torch.tanh(self.combine(torch.cat([attend(s), s], -1)))

    def _read(self, s: Tensor, known: Tensor) -> Tensor:
        """Attentional vectors and known covariates (..., hidden_size) and (..., known) -> (..., targets, outputs)."""
        y: Tensor = self.output(torch.cat([s, known], -1))
        return y.view(*y.shape[:-1], self.targets, self.outputs)


def _by_layer(state: LayerState) -> list[LayerState]:
    return list(zip(*(part.unbind(0) for part in state), strict=True))
