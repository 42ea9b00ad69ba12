"""A matrix as memory: values are written to it under keys, and queries read them. Step by step, and chunk by chunk."""

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.functional import pad

from forecastlab.backbones.any_length import loop, of_any_length
from forecastlab.batch import State


class Writes(NamedTuple):
    """What is written into the memories of several heads: at every step the state decays, then takes some writes."""

    k: Tensor
    """(batch, time, heads, writes, key size): the keys."""
    v: Tensor
    """(batch, time, heads, writes, value size): the values."""
    beta: Tensor
    """(batch, time, heads, writes): how strongly each is written."""
    log_a: Tensor
    """(batch, time, heads): the logarithm of the decay, at most 0."""


def remember(q: Tensor, writes: Writes, S: Tensor, chunk_size: int, erase: bool) -> tuple[Tensor, Tensor]:
    """Writes a sequence into the memories and reads them after every step, in the form that suits its length.

        S ← a_t S_{t-1};  for every write:  S ← S + β (v - S k) kᵀ;  S_t = S;  y_t = S_t q_t

    Without `erase` a write is S ← S + β v kᵀ. A single step takes the recurrent form, a longer sequence the chunkwise
    one. They differ by rounding only.

    Args:
        q: (batch, time, heads, key size): the queries.
        writes: what is written.
        S: (batch, heads, value size, key size): the state before the first step.
        chunk_size: the most steps that are computed at once; changes speed and memory only.
        erase: whether a write takes away what the memory gives for its key: the delta rule.

    Returns:
        y (batch, time, heads, value size) and the state after the last step.
    """
    if of_any_length(q):
        parts = (q, *writes)
        step = partial(_flat_step, [part.shape[2:] for part in parts], erase)
        y, last = loop(step, torch.cat([part.flatten(2) for part in parts], -1), S)
        return y.unflatten(-1, (S.shape[1], S.shape[2])), cast(Tensor, last)
    if q.shape[1] == 1:
        y, S = recurrent(q.squeeze(1), Writes(*(part.squeeze(1) for part in writes)), S, erase)
        return y.unsqueeze(1), S
    return chunkwise(q, writes, S, chunk_size, erase)


def recurrent(q: Tensor, writes: Writes, S: Tensor, erase: bool) -> tuple[Tensor, Tensor]:
    """One step of `remember`: the same arguments without their axis of time."""
    S = torch.exp(writes.log_a)[..., None, None] * S
    for k, v, beta in zip(writes.k.unbind(2), writes.v.unbind(2), writes.beta.unsqueeze(-1).unbind(2), strict=True):
        if erase:
            v = v - (S @ k.unsqueeze(-1)).squeeze(-1)
        S = S + (beta * v).unsqueeze(-1) * k.unsqueeze(-2)
    return (S @ q.unsqueeze(-1)).squeeze(-1), S


def chunkwise(q: Tensor, writes: Writes, S: Tensor, chunk_size: int, erase: bool) -> tuple[Tensor, Tensor]:
    """The chunkwise form of `remember`: matrix products within chunks, all at once, recurrent from chunk to chunk.

    Number the writes of a chunk by t. Let S be the state before the chunk, and D_ts the product of all decays after
    write s up to write t, D_t that of all up to t. The state after write t is D_t S + Σ_{s≤t} D_ts u_s k_sᵀ, where u_s
    is what write s really adds. With the delta rule these follow from a triangular system, the WY form of a product of
    Householder matrices (Yang et al. 2024, arXiv:2406.06484):

        u_t + β_t Σ_{s<t} D_ts (k_tᵀ k_s) u_s = β_t (v_t - D_t S k_t)

    It is solved for v_t and for D_t k_t in place of the right side, before S is known. The logarithm of each D_ts is a
    sum of its own, not a difference of two sums: no strong decay costs the digits of those after it.

    The arguments and results are those of `remember`.
    """
    batch, time, heads, number, _ = writes.k.shape
    chunks = -(-time // chunk_size)
    length = -(-time // chunks)

    def cut(part: Tensor) -> Tensor:  # (batch, time, heads, ...) -> (batch * heads, chunks, length, ...)
        part = part.transpose(1, 2)
        part = pad(part, (0, 0) * (part.dim() - 3) + (0, chunks * length - time))  # writes nothing, forgets nothing
        return part.reshape(batch * heads, chunks, length, *part.shape[3:])

    q, k, v, beta = cut(q), cut(writes.k).flatten(2, 3), cut(writes.v).flatten(2, 3), cut(writes.beta).flatten(2)
    log_a = pad(cut(writes.log_a).unsqueeze(-1), (0, number - 1)).flatten(2).unsqueeze(-1)
    beta = beta.unsqueeze(-1)

    past = q.new_ones(length * number, length * number).tril()
    decay = torch.exp(past @ (log_a * past.tril(-1))) * past
    before = torch.exp(past @ log_a)
    right = [beta * v, beta * before * k] if erase else [beta * v]
    if erase:
        system = beta * (k @ k.mT) * decay
        solved = torch.linalg.solve_triangular(system, torch.cat(right, -1), upper=False, unitriangular=True)
        right = list(solved.split([v.shape[-1], k.shape[-1]], -1))
    kept = decay[..., -1:, :].mT * k  # as much of each key as there is at the end of the chunk
    starts, updates, state = [], [], S.flatten(0, 1)
    for keys, decayed, u, *seen in zip(*(part.unbind(1) for part in (kept, before[..., -1:, :], *right)), strict=True):
        starts.append(state)
        if seen:
            u = torch.baddbmm(u, seen[0], state.mT, alpha=-1)
        updates.append(u)
        state = torch.baddbmm(decayed * state, u.mT, keys)

    last_write = slice(number - 1, None, number)  # of each step
    read = (q @ k.mT * decay[..., last_write, :]) @ torch.stack(updates, 1)
    y = torch.addcmul(read, before[..., last_write, :], q @ torch.stack(starts, 1).mT)
    return y.unflatten(0, (batch, heads)).flatten(2, 3)[:, :, :time].transpose(1, 2), state.unflatten(0, (batch, heads))


def memory(like: Tensor, batch_size: int, heads: int, values: int, keys: int) -> Tensor:
    """Memories that hold nothing, (batch, heads, value size, key size), on the device of `like`.

    They are float32 or float64: what is added up over thousands of steps needs more digits than bfloat16 has.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    return like.new_zeros(batch_size, heads, values, keys, dtype=dtype)


def exactly(x: Tensor) -> AbstractContextManager[object]:
    """Switches autocast off: under it the products would have bfloat16, in which a decay near 1 is 1."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def _flat_step(
    shapes: list[torch.Size], erase: bool, x_t: Tensor, state: State
) -> tuple[Tensor, State, tuple[Tensor, ...]]:
    """A step of `remember` on concatenated inputs, for exports: the number of chunks could not vary there."""
    pieces = x_t.split([shape.numel() for shape in shapes], -1)
    q, *writes = (piece.unflatten(-1, shape) for piece, shape in zip(pieces, shapes, strict=True))
    y, S = recurrent(q, Writes(*writes), cast(Tensor, state), erase)
    return y.flatten(1), S, ()
