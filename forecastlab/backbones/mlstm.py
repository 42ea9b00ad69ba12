"""The mLSTM: an LSTM whose cell is a matrix. Keys and values write to it, queries read it."""

import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.functional import pad

from forecastlab.backbones.any_length import loop, of_any_length
from forecastlab.backbones.base import require_positive
from forecastlab.backbones.layered import InputGatedLayer, Layered, input_widths
from forecastlab.backbones.matrix_memory import exactly
from forecastlab.backbones.matrix_memory import memory as empty_memory
from forecastlab.backbones.slstm import (
    NOTHING,
    Forget,
    ForgetBias,
    forget_biases,
    log_forget_gate,
    require_forget,
    require_heads,
)
from forecastlab.batch import State


class MLSTM(Layered):
    """LSTM with an exponential input gate and a matrix cell, an associative memory without recurrence of h.

        q, k, v, õ, ĩ, f̃ = W x_t + b                  k then divided by sqrt(d), d = head_size
        o = σ(õ),  log f = log σ(f̃) or f̃              i, f one number per head
        m_t = max(log f + m_{t-1}, ĩ)                 stabiliser; m_1 = ĩ
        i' = exp(ĩ - m_t),  f' = exp(log f + m_{t-1} - m_t)
        C_t = f' C_{t-1} + i' v kᵀ                    cell, d x d
        n_t = f' n_{t-1} + i' k                       normaliser
        h_t = o ⊙ C_t q / max(|n_tᵀ q|, exp(-m_t))

    C_t and n_t are exp(-m_t) times the unstabilised ones. The thesis (eqs. 2.53-2.55) divides the unstabilised ones by
    max(|nᵀq|, 1), which gives the same h. With the stabilised ones that divisor would give another h.

    Three forms compute it; they differ by rounding only. A single step, as in `step`, uses the recurrent form. A
    sequence up to `chunk_size` uses the parallel form, whose cost is quadratic in the length. A longer sequence is cut
    into chunks, parallel within and recurrent between them, and the cost is linear in the length. No h_{t-1} enters a
    gate, so there is no recurrent dropout.

    Deviations: the key's bias is divided by sqrt(d) too. Weights and biases start uniform in +-1/sqrt(hidden_size) as
    in torch.nn; `forget_bias` is added to the forget gate's bias. The exponent -m_t is bounded so that quotient and
    gradient are finite: between -22 and 44 in float32, and between -177 and 354 in float64.

    The rows of the parameters are called "query", "key", "value", "output", "input" and "forget", in this order.

    The state is, per layer, (C, n, m): (batch, heads, head_size, head_size), (batch, heads, head_size), (batch, heads);
    before the first step C = n = 0 and m = -infinity (here -1e30). It is float32 even in a network of bfloat16.
    `trace` gives per layer "query", "key" (not yet divided), "value", "output_gate" o, "normaliser" n, "hidden" h, each
    (batch, time, hidden_size), and "input_gate" i', "forget_gate" f', "stabiliser" m, each (batch, time, num_heads).

    Args:
        input_size: width of the inputs.
        hidden_size: width of every layer and of the output.
        num_layers: number of layers.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        num_heads: number of independent memories; each has d = hidden_size / num_heads units.
        forget: activation of the forget gate.
        forget_bias: added to the forget gates' biases at the start: a number, or those of the first and of the last
            head, evenly between. None for 0 to 6 with "sigmoid", and 0 with "exp".
        chunk_size: longest part of a sequence that is computed in the parallel form; changes speed and memory only.

    Raises:
        ValueError: for a size that is not positive, a hidden size that is not a multiple of `num_heads`, an unknown
            forget gate or a dropout outside [0, 1).
    """

    source: ClassVar[str] = "Beck et al. 2024, xLSTM: Extended Long Short-Term Memory, arXiv:2405.04517, section 2.3"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        num_heads: int = 1,
        forget: Forget = "sigmoid",
        forget_bias: ForgetBias = None,
        chunk_size: int = 32,
    ) -> None:
        widths = input_widths(input_size, hidden_size, num_layers)
        options = (num_heads, forget, forget_bias, chunk_size)
        layers = [MLSTMLayer(width, hidden_size, *options) for width in widths]
        super().__init__(input_size, layers, hidden_size, dropout)


class MLSTMLayer(InputGatedLayer):
    """One layer of an `MLSTM`.

    The parameters are `weight_ih` (4 * hidden_size + 2 * num_heads, input_size) and `bias` with as many rows. The rows
    of query, key, value and output gate come first, hidden_size each, head after head. The rows of input and forget
    gate follow, one per head. All start uniform in +-1/sqrt(hidden_size).
    """

    gates: ClassVar[tuple[str, ...]] = ("query", "key", "value", "output", "input", "forget")
    parts: ClassVar[tuple[str, ...]] = (
        "query",
        "key",
        "value",
        "output_gate",
        "input_gate",
        "forget_gate",
        "normaliser",
        "stabiliser",
        "hidden",
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_heads: int = 1,
        forget: Forget = "sigmoid",
        forget_bias: ForgetBias = None,
        chunk_size: int = 32,
    ) -> None:
        require_positive(chunk_size=chunk_size)
        require_heads(num_heads, hidden_size=hidden_size)
        require_forget(forget)
        super().__init__(input_size, hidden_size, [hidden_size] * 4 + [num_heads] * 2)
        self.num_heads = num_heads
        self.forget = forget
        self.chunk_size = chunk_size
        with torch.no_grad():
            self.gate("forget").bias.add_(forget_biases(forget_bias, forget, num_heads))

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        q, k, v, o, i, f = self.project(x)
        o, log_f = torch.sigmoid(o), log_forget_gate(f, self.forget)
        h, state, parts = remember(q, k, v, i, log_f, state, self.chunk_size, keep_parts)
        h = (o * h).to(self.bias.dtype)
        return h, state, [q, k, v, o, *parts, h] if keep_parts else []

    def initial_state(self, batch_size: int) -> State:
        return tuple(initial_memory(self.bias, batch_size, self.num_heads, self.hidden_size // self.num_heads))


class Memory(NamedTuple):
    """The state of one mLSTM, stabilised: the true C and n are exp(m) times as large."""

    C: Tensor
    """(batch, heads, head_size, head_size): the matrix cell, values along its rows, keys along its columns."""
    n: Tensor
    """(batch, heads, head_size): the normaliser."""
    m: Tensor
    """(batch, heads): the stabiliser."""


class Readout(NamedTuple):
    """The values read from the memory at every step."""

    h: Tensor
    """(batch, heads, time, head_size): C q / max(|nᵀq|, exp(-m))."""
    n: Tensor | None
    """(batch, heads, time, head_size): the normaliser; None unless it was asked for."""
    m: Tensor
    """(batch, heads, time): the stabiliser."""


def remember(
    q: Tensor, k: Tensor, v: Tensor, log_i: Tensor, log_f: Tensor, state: State, chunk_size: int, keep_parts: bool
) -> tuple[Tensor, State, list[Tensor]]:
    """Writes a sequence into the memory and reads it, in the form that is fastest for its length.

    All is computed in the precision of the state, also under autocast.

    Args:
        q: (batch, time, hidden_size): the queries, head beside head.
        k: the keys, likewise, not yet divided by the root of head_size.
        v: the values, likewise.
        log_i: (batch, time, heads): logarithms of the input gates.
        log_f: those of the forget gates, likewise.
        state: a `Memory`.
        chunk_size: as in `chunkwise`; a single step takes the recurrent form.
        keep_parts: whether the parts are computed.

    Returns:
        h (batch, time, hidden_size), the next state as a plain tuple, and the parts: stabilised input gate, forget gate
        (batch, time, heads), normaliser (batch, time, hidden_size), stabiliser (batch, time, heads).
    """
    heads = log_i.shape[-1]
    width = q.shape[-1] // heads
    memory = Memory(*cast(tuple[Tensor, Tensor, Tensor], state))
    with exactly(q):
        if q.dtype != memory.C.dtype:
            q, k, v, log_i, log_f = (part.to(memory.C.dtype) for part in (q, k, v, log_i, log_f))
        if of_any_length(q) and not keep_parts:
            return *loop(partial(_recall, heads, width), torch.cat([q, k, v, log_i, log_f], -1), state), []
        q, k, v = (part.view(*part.shape[:2], heads, width).transpose(1, 2) for part in (q, k * width**-0.5, v))
        log_i, log_f = log_i.mT, log_f.mT
        if q.shape[2] == 1:
            (h, n, m), after = recurrent(q, k, v, log_i, log_f, memory)
        else:
            (h, n, m), after = chunkwise(q, k, v, log_i, log_f, memory, chunk_size, keep_parts)
        parts = []
        if keep_parts:
            m_before = torch.cat([memory.m.unsqueeze(-1), m[..., :-1]], -1)
            i, f = torch.exp(log_i - m), torch.exp(log_f + m_before - m)
            parts = [i.mT, f.mT, cast(Tensor, n).transpose(1, 2).flatten(2), m.mT]
    return h.transpose(1, 2).flatten(2), tuple(after), parts


def _recall(heads: int, width: int, x_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
    """A step of `remember` on concatenated inputs, for exports: the number of chunks could not vary there."""
    *qkv, log_i, log_f = x_t.split([heads * width] * 3 + [heads] * 2, -1)
    q, k, v = (part.reshape(-1, heads, 1, width) for part in qkv)
    memory = Memory(*cast(tuple[Tensor, Tensor, Tensor], state))
    (h, _, _), after = recurrent(q, k * width**-0.5, v, log_i.unsqueeze(-1), log_f.unsqueeze(-1), memory)
    return h.flatten(1), tuple(after), ()


def initial_memory(like: Tensor, batch_size: int, num_heads: int, head_size: int) -> Memory:
    """The state before the first step, on the device of `like`, in float32 or float64 (see `matrix_memory.memory`)."""
    C = empty_memory(like, batch_size, num_heads, head_size, head_size)
    n = C.new_zeros(batch_size, num_heads, head_size)
    return Memory(C, n, n.new_full((batch_size, num_heads), NOTHING))


def recurrent(q: Tensor, k: Tensor, v: Tensor, log_i: Tensor, log_f: Tensor, memory: Memory) -> tuple[Readout, Memory]:
    """The recurrent form, for one step.

    Args:
        q: (batch, heads, 1, head_size): the query.
        k: the key, likewise, already divided by the root of head_size.
        v: the value, likewise.
        log_i: (batch, heads, 1): the input gate's logarithm.
        log_f: the forget gate's, likewise.
        memory: the state before the step.

    Returns:
        What the memory gave, and the state after the step.
    """
    C, n, m = memory
    decayed = log_f.squeeze(-1) + m
    m = torch.maximum(decayed, log_i.squeeze(-1))
    f, i = torch.exp(decayed - m).unsqueeze(-1), torch.exp(log_i - m.unsqueeze(-1))
    C = torch.addcmul(f.unsqueeze(-1) * C, v.transpose(-1, -2), i.unsqueeze(-1) * k)
    n = torch.addcmul(f * n, i, k.squeeze(-2))
    n_t, m_t = n.unsqueeze(-2), m.unsqueeze(-1)
    h = _normalise(q @ C.transpose(-1, -2), (q * n_t).sum(-1, keepdim=True), m_t.unsqueeze(-1))
    return Readout(h, n_t, m_t), Memory(C, n, m)


def chunkwise(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_i: Tensor,
    log_f: Tensor,
    memory: Memory,
    chunk_size: int,
    keep_normaliser: bool = False,
) -> tuple[Readout, Memory]:
    """The chunkwise form: quadratic within chunks, all at once, and recurrent from chunk to chunk.

    Let F_t be the sum of log f from the start of the chunk to t, b_s = log i_s - F_s, m the stabiliser before the
    chunk, and M_t = max(m, max_{s≤t} b_s). At step t a value written at s has the weight exp(b_s - M_t), the memory
    from before the chunk has the weight exp(m - M_t), and the stabiliser is m_t = F_t + M_t. One chunk is the parallel
    form.

    Args:
        q: (batch, heads, time, head_size): queries.
        k: keys, likewise, already divided by the root of head_size.
        v: values, likewise.
        log_i: (batch, heads, time): logarithms of the input gates.
        log_f: those of the forget gates, likewise.
        memory: the state before the first step.
        chunk_size: length of the longest chunk. There are as few chunks as possible, and the steps are spread evenly
            over them.
        keep_normaliser: whether the normaliser of every step is computed too.

    Returns:
        What the memory gave, and the state after the last step.
    """
    time, width = q.shape[-2:]
    chunks = -(-time // chunk_size)
    length = -(-time // chunks)
    missing = chunks * length - time
    if missing:  # steps that write nothing and forget nothing
        q, k, v = (pad(part, (0, 0, 0, missing)) for part in (q, k, v))
        log_i, log_f = pad(log_i, (0, missing), value=NOTHING), pad(log_f, (0, missing))
    q, k, v = (part.reshape(*part.shape[:2], chunks, length, width) for part in (q, k, v))
    log_i, log_f = (part.reshape(*part.shape[:2], chunks, length) for part in (log_i, log_f))
    v = pad(v, (0, 1), value=1.0)  # a value of 1 beside v makes the normaliser another column of the transposed C

    past = q.new_ones(length, length, dtype=torch.bool).tril()
    F = (log_f.unsqueeze(-2) * past).sum(-1)  # cumsum is not deterministic on GPUs
    b = log_i - F
    m_before, top, m = _stabilisers(F[..., -1], b.amax(-1), memory.m)
    written = (k * torch.exp(b - top.unsqueeze(-1)).unsqueeze(-1)).transpose(-1, -2) @ v
    cells, cell = _cells(written, torch.exp(m_before - top), torch.cat([memory.C.mT, memory.n.unsqueeze(-1)], -1))

    b_past = b.unsqueeze(-2).masked_fill(~past, -math.inf)
    M = torch.maximum(b_past.detach().amax(-1), m_before.detach().unsqueeze(-1))  # cancels in h: it needs no gradient
    weight, weight_before = torch.exp(b_past - M.unsqueeze(-1)), torch.exp(m_before.unsqueeze(-1) - M).unsqueeze(-1)
    read = (q @ k.mT * weight) @ v + weight_before * (q @ cells)
    m_t = F + M
    h = _normalise(read[..., :-1], read[..., -1:], m_t.unsqueeze(-1))

    def whole(part: Tensor) -> Tensor:  # (batch, heads, chunks, length, ...) -> (batch, heads, time, ...)
        return part.flatten(2, 3)[:, :, :time]

    n = whole(weight @ k + weight_before * cells[..., -1].unsqueeze(-2)) if keep_normaliser else None
    return Readout(whole(h), n, whole(m_t)), Memory(cell[..., :-1].mT, cell[..., -1], m)


def _stabilisers(total: Tensor, top: Tensor, m: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each chunk's m before it and M at its end, (batch, heads, chunks), and m after the last chunk."""
    starts, ends = [], []
    for total_j, top_j in zip(total.unbind(-1), top.unbind(-1), strict=True):
        starts.append(m)
        ends.append(torch.maximum(m, top_j))
        m = total_j + ends[-1]
    return torch.stack(starts, -1), torch.stack(ends, -1), m


def _cells(written: Tensor, decay: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """The cells before each chunk, (batch, heads, chunks, head_size, head_size + 1), and that after the last one."""
    cells = []
    for written_j, decay_j in zip(written.unbind(2), decay[..., None, None].unbind(2), strict=True):
        cells.append(cell)
        cell = torch.addcmul(written_j, decay_j, cell)
    return torch.stack(cells, 2), cell


def _normalise(numerator: Tensor, dot: Tensor, m: Tensor) -> Tensor:
    """The quotient numerator / max(|dot|, exp(-m)), with an exponent that keeps it and its gradient finite."""
    bound = -math.log(torch.finfo(m.dtype).tiny) / 4
    return numerator / torch.maximum(dot.abs(), torch.exp((-m).clamp(-bound, 2 * bound)))
