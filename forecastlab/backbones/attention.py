"""Causal attention over a growing past: what the attention backbones share."""

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention


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


def sinusoidal_positions(start: int, like: Tensor) -> Tensor:
    """The sinusoidal encoding of positions (Vaswani et al. 2017, section 3.5).

    Args:
        start: position of the first step: the number of steps before it.
        like: (batch, time, width), whose width and number of steps are encoded.

    Returns:
        (time, width): the sine of position / 10000^(column / width) in the even columns; in each odd one the cosine
        of the same angle as in the column before it.
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
