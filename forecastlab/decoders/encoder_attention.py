"""A decoder's attention over the encoded history."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from forecastlab.backbones.attention import Score, additive_scores, causal_mask, require_score
from forecastlab.errors import ConfigError

_LIMIT = 2 * 2**30


class AttentionSizeError(ConfigError, ValueError):
    """The attention weights of a batch would not fit in memory."""


def require_room(needed: int, attention: str, choice: str) -> None:
    """Checks that attention weights fit in memory.

    Args:
        needed: bytes that are held.
        attention: what of how many, for the message.
        choice: what else may be chosen, for its end; "" for nothing.

    Raises:
        AttentionSizeError: if they are more than 2 GiB.
    """
    if isinstance(needed, int) and needed > _LIMIT:  # an exported program learns its sizes later
        raise AttentionSizeError(
            f"{attention} would hold {needed} bytes, more than {_LIMIT}. Set --data.lookback to a number of rows or a "
            f"smaller --data.batch_size{choice}"
        )


class Memory(NamedTuple):
    """The history that is attended to, prepared once per batch."""

    keys: Tensor
    """(batch, time, query_size, or attention_size for the additive score): the projected history."""
    values: Tensor
    """(batch, time, width): the encoded history."""
    seen: Tensor | None
    """(origins, 1, time), boolean: whether an origin may see a step; None if the only origin sees all steps."""


class EncoderAttention(nn.Module):
    """Weighs the encoded history h_1 ... h_origin for queries s of a decoder.

        e_i = v · tanh(W s + U h_i)      additive (Bahdanau et al. 2015, arXiv:1409.0473)
              s · h_i                    dot (Luong et al. 2015, arXiv:1508.04025)
              s · W h_i                  general (Luong et al. 2015)
              s · h_i / sqrt(width)      scaled_dot (Vaswani et al. 2017, arXiv:1706.03762)
        α_i = exp(e_i) / Σ_{j≤origin} exp(e_j),   context = Σ_{i≤origin} α_i h_i

    The additive score is that of Zangari, eq. 2.59. The parts that depend on the history alone are computed once, not
    per query.

    Args:
        width: width of the encoded history.
        query_size: width of the queries; it must be `width` for dot and scaled_dot.
        score: how a query and a step are compared.
        attention_size: width of the additive score's hidden layer; None for `query_size`.

    Raises:
        ValueError: for an unknown score, sizes that the score cannot compare, or an attention_size that is not positive
            or not used by the score.
    """

    def __init__(self, width: int, query_size: int, score: Score, attention_size: int | None = None) -> None:
        super().__init__()
        require_score(score, attention_size)
        if score in ("dot", "scaled_dot") and query_size != width:
            raise ValueError(
                f"attention {score!r} multiplies the decoder's state with the encoding: hidden_size must be {width}, "
                f"got {query_size}; attention 'general' compares any two widths"
            )
        self.score = score
        self.size = query_size
        if score == "additive":
            self.size = query_size if attention_size is None else attention_size
            self.query = nn.Linear(query_size, self.size, bias=False)
            self.energy = nn.Linear(self.size, 1, bias=False)
        self.key = nn.Linear(width, self.size, bias=False) if score in ("additive", "general") else None
        self.scale = width**-0.5 if score == "scaled_dot" else 1.0

    def remember(self, encoded: Tensor, origins: int, steps: int) -> Memory:
        """Projects the history, once for all queries.

        Args:
            encoded: (batch, time, width).
            origins: number of origins, the last positions of the history.
            steps: number of queries per origin whose weights are held at once.

        Raises:
            AttentionSizeError: if the weights, or the hidden values of the additive score, take more than 2 GiB.
        """
        batch, time, _ = encoded.shape
        hidden = self.size if self.score == "additive" else 1
        needed = batch * origins * steps * time * hidden * encoded.element_size()
        require_room(
            needed,
            f"attention {self.score!r} of {batch} sequences, {origins} origins and {steps} steps to {time} rows",
            ", or choose attention 'none'" + (" or 'general'" if hidden > 1 else ""),
        )
        keys = encoded if self.key is None else self.key(encoded)
        seen = None
        if origins > 1:
            seen = causal_mask(encoded[:, None, -origins:], encoded[:, None]).unsqueeze(1)
        return Memory(keys, encoded, seen)

    def forward(self, s: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Attends.

        Args:
            s: (batch * origins, ..., query_size): the queries, of one step or of several.
            memory: what `remember` gave.

        Returns:
            The contexts (batch * origins, ..., width) and the weights (batch * origins, ..., time).
        """
        queries = s.shape[:-1]
        batch, time, _ = memory.keys.shape
        s = s.reshape(batch, -1, s.shape[-1])
        if self.score == "additive":
            scores = additive_scores(self.query(s), memory.keys, self.energy.weight)
        else:
            scores = self.scale * s @ memory.keys.transpose(1, 2)
        if memory.seen is not None:
            by_origin = scores.view(batch, len(memory.seen), -1, time)
            scores = by_origin.masked_fill(~memory.seen, -torch.inf).flatten(1, 2)
        weights = scores.softmax(-1)
        return (weights @ memory.values).view(*queries, -1), weights.view(*queries, time)
