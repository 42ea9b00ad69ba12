"""What the networks with attention share: causal attention over a growing past, and scores."""

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn.functional import linear, pad, scaled_dot_product_attention

from forecastlab.backbones.base import require_positive

Score: TypeAlias = Literal["additive", "dot", "general", "scaled_dot"]
"""How a query and a step are compared: by a small network (Bahdanau et al. 2015), by their product, by their product
with a matrix in between (Luong et al. 2015), or by their product over the root of their width (Vaswani et al. 2017)."""


def causal_attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Attention of the newest positions over themselves and everything before them.

    Args:
        query: (batch, heads, time, key_size): the newest `time` positions.
        key: (batch, heads, past + time, key_size): the past positions, then the newest.
        value: (batch, heads, past + time, value_size).
        scale: factor of the scores.

    Returns:
        (batch, heads, time, value_size): query t is a weighted mean of the values up to past + t.
    """
    time, width = query.shape[2], value.shape[3]
    if time == 1:  # one query sees everything: no mask
        return scaled_dot_product_attention(query, key, value, scale=scale)
    if key.shape[2] > time:  # is_causal is aligned to the top left, which would hide the past from the first queries
        return scaled_dot_product_attention(query, key, value, causal_mask(query, key), scale=scale)
    if query.shape[3] != width:  # the fused kernels want one width; zeros change neither scores nor results
        both = max(query.shape[3], width)
        query, key, value = (pad(tensor, (0, both - tensor.shape[3])) for tensor in (query, key, value))
    return scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale)[..., :width]


def causal_weights(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """The weights of `causal_attention`, (batch, heads, time, past + time): each row sums to 1, the future has 0."""
    scores = scale * query @ key.transpose(-1, -2)
    return scores.masked_fill(~causal_mask(query, key), -torch.inf).softmax(-1)


def require_score(score: Score, attention_size: int | None) -> None:
    """Raises ValueError for an unknown score, or for an attention_size that is not positive or not used."""
    if score not in get_args(Score):
        raise ValueError(f"score must be one of {', '.join(get_args(Score))}, got {score!r}")
    if attention_size is not None:
        require_positive(attention_size=attention_size)
        if score != "additive":
            raise ValueError(f"attention_size belongs to the additive score; leave it out for score {score!r}")


def additive_scores(query: Tensor, key: Tensor, weight: Tensor) -> Tensor:
    """The scores weight · tanh(query_t + key_i) of projected queries and keys (Bahdanau et al. 2015).

    Args:
        query: (batch, queries, attention_size)
        key: (batch, steps, attention_size)
        weight: (1, attention_size)

    Returns:
        (batch, queries, steps)
    """
    hidden = torch.tanh(query.unsqueeze(2) + key.unsqueeze(1))  # (batch, queries, steps, attention_size)
    return linear(hidden, weight).squeeze(-1)


def sinusoidal_positions(start: int, like: Tensor) -> Tensor:
    """The sinusoidal encoding of positions (Vaswani et al. 2017, section 3.5).

    Args:
        start: position of the first step: the number of steps before it.
        like: (batch, time, width), whose width and number of steps are encoded.

    Returns:
        (time, width). An even column holds the sine of position / 10000^(column / width). The odd column after it holds
        the cosine of the same angle.
    """
    time, width = like.shape[1:]
    # bfloat16 could not tell positions beyond 256 apart
    exact = torch.float64 if like.dtype == torch.float64 else torch.float32
    column = torch.arange(width, device=like.device)
    rate = 10000.0 ** (-(column - column % 2).to(exact) / width)
    angle = torch.arange(start, start + time, dtype=exact, device=like.device).unsqueeze(1) * rate
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).to(like.dtype)


def causal_mask(query: Tensor, key: Tensor) -> Tensor:
    """(time, past + time), boolean: whether the query of a row may see the key of a column."""
    time, total = query.shape[2], key.shape[2]
    return torch.ones(time, total, dtype=torch.bool, device=query.device).tril(total - time)
