"""Attention over a backbone's own past outputs."""

from collections.abc import Callable
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from forecastlab.backbones.any_length import of_any_length
from forecastlab.backbones.attention import Score, additive_scores, causal_attention, causal_mask, require_score
from forecastlab.backbones.base import Backbone
from forecastlab.backbones.lstm import LSTM
from forecastlab.batch import State

_BLOCK = 256  # queries whose additive scores are held at once


class Attentive(Backbone):
    """Attention of a backbone's output at step t over all its outputs up to t.

        h_1 ... h_T = backbone(x)
        e_{t,i} = v · tanh(W_1 h_t + W_2 h_i)           additive (Bahdanau et al. 2015)
                  h_t · h_i                             dot (Luong et al. 2015)
                  h_t · W_a h_i                         general (Luong et al. 2015)
                  h_t · h_i / sqrt(width of h)          scaled_dot (Vaswani et al. 2017)
        α_{t,i} = exp(e_{t,i}) / Σ_{j≤t} exp(e_{t,j}),   context_t = Σ_{i≤t} α_{t,i} h_i
        output_t = tanh(W_c [context_t ; h_t])

    The sums run over i <= t, including the present output. If the backbone is not causal (`Bidirectional`), they run
    over the whole window, and this hybrid is not causal either. The context never enters the backbone, so it is no
    recurrent state. The texts call both the context and the cell state c_t.

    The state is (state of the backbone, outputs so far (batch, steps, width)). The additive and the general score add
    the projections W_2 h_i or W_a h_i (batch, steps, attention_size or width), so that each is computed once. The state
    grows along time. Dot products run in PyTorch's fused attention. Additive scores of long sequences are computed for
    some queries at a time, and again in the backward pass. Memory then grows with the length and not with its square.

    `trace` gives "attention" (batch, time, steps so far), the weights α, and the backbone's signals under "backbone.".

    Args:
        input_size: width of the inputs.
        backbone: the backbone whose outputs are attended to.
        score: how h_t and h_i are compared. The additive score is by far the slowest on long sequences.
        attention_size: width of the additive score's hidden layer; None for the width of the backbone's output.

    Raises:
        ValueError: for an unknown score, or an attention_size that is not positive or not used by the score.
    """

    source: ClassVar[str] = "Luong et al. 2015, arXiv:1508.04025; additive score: Bahdanau et al. 2015, arXiv:1409.0473"

    def __init__(
        self,
        input_size: int,
        backbone: Callable[[int], Backbone] = LSTM,
        score: Score = "general",
        attention_size: int | None = None,
    ) -> None:
        require_score(score, attention_size)
        inner = backbone(input_size)
        super().__init__(input_size, inner.output_size, inner.causal)
        self.backbone = inner
        self.score = score
        width = inner.output_size
        self.scale = width**-0.5 if score == "scaled_dot" else 1.0
        self.combine = nn.Linear(2 * width, width, bias=False)
        self.key_size = width
        if score == "additive":
            self.key_size = attention_size or width
            self.query = nn.Linear(width, self.key_size, bias=False)
            self.energy = nn.Linear(self.key_size, 1, bias=False)
        self.key = nn.Linear(width, self.key_size, bias=False) if score in ("additive", "general") else None

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        backbone_state, cache = self._split(x, state)
        h, after = self.backbone(x, backbone_state)
        keys, values, cache = self._remember(h, cache)
        y = self._combine(self._context(h, keys, values), h)
        return y, (after, *cache) if self.causal else ()

    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        backbone_state, cache = self._split(x, state)
        signals = self.backbone.trace(x, backbone_state)
        h = signals["output"]
        keys, values, _ = self._remember(h, cache)
        weights = self._weights(self._query(h), keys)
        output = self._combine(weights @ values, h)
        return {"output": output, "attention": weights} | {f"backbone.{name}": s for name, s in signals.items()}

    def initial_state(self, batch_size: int) -> State:
        if not self.causal:
            return ()
        outputs = self.new_zeros(batch_size, 0, self.output_size)
        keys = () if self.key is None else (self.new_zeros(batch_size, 0, self.key_size),)
        return (self.backbone.initial_state(batch_size), outputs, *keys)

    def _split(self, x: Tensor, state: State | None) -> tuple[State | None, list[Tensor]]:
        """The backbone's state and the cache of earlier outputs (and their keys)."""
        self.require_sequence(x)
        if state is None:
            return None, []
        self.require_causal()
        backbone_state, *cache = state
        return backbone_state, cast(list[Tensor], cache)

    def _remember(self, h: Tensor, cache: list[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """New outputs and the cache of earlier ones -> the keys and values of all, and the cache of all."""
        new = [h] if self.key is None else [h, self.key(h)]
        cache = [torch.cat([old, part], 1) for old, part in zip(cache, new, strict=True)] if cache else new
        return cache[-1], cache[0], cache

    def _query(self, h: Tensor) -> Tensor:
        return self.query(h) if self.score == "additive" else h

    def _combine(self, context: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(self.combine(torch.cat([context, h], -1)))

    def _context(self, h: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(batch, time, width), keys and values of all steps so far -> the contexts (batch, time, width)."""
        if self.score == "additive":
            return self._additive_context(self.query(h), keys, values)
        query, keys, values = h.unsqueeze(1), keys.unsqueeze(1), values.unsqueeze(1)  # a single head
        if self.causal:
            return causal_attention(query, keys, values, self.scale).squeeze(1)
        return scaled_dot_product_attention(query, keys, values, scale=self.scale).squeeze(1)

    def _additive_context(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        time, steps = query.shape[1], keys.shape[1]
        if of_any_length(query) or time <= _BLOCK:
            return self._weights(query, keys) @ values
        contexts = []
        for start in range(0, time, _BLOCK):
            end = min(start + _BLOCK, time)
            seen = steps - time + end if self.causal else steps
            block = (query[:, start:end], keys[:, :seen], values[:, :seen])
            contexts.append(cast(Tensor, checkpoint(self._attend, *block, use_reentrant=False)))
        return torch.cat(contexts, 1)

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return self._weights(query, keys) @ values

    def _weights(self, query: Tensor, keys: Tensor) -> Tensor:
        """Queries of the newest steps and keys of all -> the attention weights (batch, queries, steps)."""
        scores = self._scores(query, keys)
        if self.causal:
            scores = scores.masked_fill(~causal_mask(query.unsqueeze(1), keys.unsqueeze(1)), -torch.inf)
        return scores.softmax(-1)

    def _scores(self, query: Tensor, keys: Tensor) -> Tensor:
        if self.score != "additive":
            return self.scale * query @ keys.transpose(1, 2)
        return additive_scores(query, keys, self.energy.weight)
