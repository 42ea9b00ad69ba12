"""The sLSTM: an LSTM with exponential gates, a normaliser and a stabiliser, and recurrence within heads."""

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from forecastlab.backbones.base import require_positive
from forecastlab.backbones.kernels.choice import usable
from forecastlab.backbones.kernels.slstm import slstm
from forecastlab.backbones.layered import GatedLayer, Layered, input_widths
from forecastlab.batch import State

Forget: TypeAlias = Literal["sigmoid", "exp"]
"""The activation of a forget gate."""

ForgetBias: TypeAlias = float | tuple[float, float] | None
"""What is added to the forget gates' biases: a number, or those of the first and the last unit, evenly between."""

NOTHING = -1e30
"""The stabiliser before the first step. It stands for minus infinity, and is finite so that no gradient becomes NaN."""


class SLSTM(Layered):
    """LSTM with an exponential input gate, whose cell is a weighted mean of candidates (Beck et al. 2024).

        ĩ, f̃, z̃, õ = W x_t + R h_{t-1} + b           R block-diagonal: units mix within their head only
        z = tanh(z̃),  o = σ(õ),  log f = log σ(f̃) or f̃
        m_t = max(log f + m_{t-1}, ĩ)                 stabiliser; m_1 = ĩ
        i' = exp(ĩ - m_t),  f' = exp(log f + m_{t-1} - m_t)
        c_t = f' ⊙ c_{t-1} + i' ⊙ z                   cell
        n_t = f' ⊙ n_{t-1} + i'                       normaliser, never below 1
        h_t = o ⊙ c_t / n_t

    m cancels in c_t / n_t. It keeps the exponentials finite and changes neither the outputs nor their gradients. Do not
    confuse c_t and n_t with the unstabilised ones, which are exp(m_t) times as large.

    Eqs. 2.45-2.52 of the thesis are this cell with the forget gate "exp". They leave out z, o and the values before the
    first step, which are h = c = n = 0 and m = -infinity (here -1e30).

    Deviations: weights and biases start uniform in +-1/sqrt(hidden_size) as in torch.nn. `forget_bias` is added to the
    forget gate's bias.

    The gates are called "input", "forget", "candidate" and "output" and are rows of the parameters in this order.
    The state is, per layer, (h, c, n, m), each (batch, hidden_size). `trace` gives per layer "input_gate" i',
    "forget_gate" f', "candidate" z, "output_gate" o, "cell" c, "normaliser" n, "stabiliser" m and "hidden" h, each
    (batch, time, hidden_size).

    Args:
        input_size: width of the inputs.
        hidden_size: width of every layer and of the output.
        num_layers: number of layers.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        recurrent_dropout: probability that a unit of h_{t-1} is dropped, in training. The same units are dropped at all
            steps of a sequence (Gal and Ghahramani 2016).
        num_heads: number of equal blocks of the recurrent matrices; 1 mixes all units.
        forget: activation of the forget gate.
        forget_bias: added to the forget gates' biases at the start: a number, or those of the first and of the last
            unit, evenly between. None for 0 to 6 with "sigmoid", and 0 with "exp".
        fused: whether a compiled kernel runs long sequences on a CPU. It needs numba (see `kernels.choice`). Without
            it, a loop in Python computes the same up to rounding.
        weight_dropout: probability that an entry of the hidden-to-hidden matrices is dropped, in training (DropConnect;
            Merity et al. 2018, arXiv:1708.02182). The same entries are dropped at every step and in all sequences of a
            batch.

    Raises:
        ValueError: for a size that is not positive, a hidden size that is not a multiple of `num_heads`, an unknown
            forget gate or a probability outside [0, 1).
    """

    source: ClassVar[str] = "Beck et al. 2024, xLSTM: Extended Long Short-Term Memory, arXiv:2405.04517, section 2.2"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        num_heads: int = 1,
        forget: Forget = "sigmoid",
        forget_bias: ForgetBias = None,
        fused: bool = True,
        weight_dropout: float = 0.0,
    ) -> None:
        widths = input_widths(input_size, hidden_size, num_layers)
        options = (recurrent_dropout, num_heads, forget, forget_bias, fused, weight_dropout)
        layers = [SLSTMLayer(width, hidden_size, *options) for width in widths]
        super().__init__(input_size, layers, hidden_size, dropout)


class SLSTMLayer(GatedLayer):
    """One layer of an `SLSTM`.

    The parameters are those of other gated layers, except `weight_hh` (4 * hidden_size, head_size). Within a gate, the
    blocks of the heads stand one below the other: a row holds weights from the units of its own head.
    """

    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    parts: ClassVar[tuple[str, ...]] = (
        "input_gate",
        "forget_gate",
        "candidate",
        "output_gate",
        "cell",
        "normaliser",
        "stabiliser",
        "hidden",
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        recurrent_dropout: float = 0.0,
        num_heads: int = 1,
        forget: Forget = "sigmoid",
        forget_bias: ForgetBias = None,
        fused: bool = True,
        weight_dropout: float = 0.0,
    ) -> None:
        require_heads(num_heads, hidden_size=hidden_size)
        require_forget(forget)
        super().__init__(input_size, hidden_size, recurrent_dropout, weight_dropout)
        self.num_heads = num_heads
        self.forget = forget
        self.fused = fused
        bound = hidden_size**-0.5
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size // num_heads).uniform_(-bound, bound))
        with torch.no_grad():
            self.gate("forget").bias.add_(forget_biases(forget_bias, forget, hidden_size))

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        return self.recur(self.project(x), state, keep_parts)

    def recur(self, inputs: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        """Runs the recurrence over a sequence of input projections.

        Args:
            inputs: (batch, time, 4 * hidden_size): the input's share in all gates, biases included, in the order of
                `gates`.
            state: (h, c, n, m), each (batch, hidden_size).
            keep_parts: whether the parts are collected.

        Returns:
            As `run`.
        """
        memory = cast(tuple[Tensor, ...], state)
        mask, weight_hh = self.mask(memory[0]), self.recurrent_weight()
        if self.fused and not keep_parts and usable(inputs, *memory, weight_hh):
            return *slstm(inputs, weight_hh, memory, mask, self.forget == "exp"), []
        batch, time, _ = inputs.shape
        heads, width = self.num_heads, weight_hh.shape[1]

        def split(part: Tensor) -> Tensor:  # (batch, hidden_size) -> (heads, batch, head_size)
            return part.view(batch, heads, width).transpose(0, 1)

        def merge(part: Tensor) -> Tensor:  # (heads, ..., batch, head_size) -> (batch, ..., hidden_size)
            return part.movedim(0, -2).movedim(-3, 0).flatten(-2)

        # Head by head, so that one batched product per step serves all heads and gates.
        per_head = inputs.view(batch, time, 4, heads, width).permute(3, 1, 0, 2, 4).reshape(heads, time, batch, -1)
        recurrent = weight_hh.view(4, heads, width, width).permute(1, 3, 0, 2).reshape(heads, width, 4 * width)
        kept, forget = None if mask is None else split(mask), self.forget

        def step(x_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
            h, c, n, m = cast(tuple[Tensor, ...], state)
            i, f, z, o = torch.baddbmm(x_t, h if kept is None else h * kept, recurrent).chunk(4, -1)
            decayed = log_forget_gate(f, forget) + m
            m = torch.maximum(decayed, i)
            f, i, z, o = torch.exp(decayed - m), torch.exp(i - m), torch.tanh(z), torch.sigmoid(o)
            c = torch.addcmul(f * c, i, z)
            n = torch.addcmul(i, f, n)  # at least 1 after every step, since f or i is 1: no division by zero
            h = o * (c / n)
            return h, (h, c, n, m), (i, f, z, o, c, n, m, h)

        y, last, parts = self.scan(step, per_head, tuple(split(part) for part in memory), keep_parts)
        after = tuple(merge(cast(Tensor, part)) for part in last)
        return merge(y).contiguous(), after, [merge(part) for part in parts]

    def initial_state(self, batch_size: int) -> State:
        return slstm_initial_state(self.bias, batch_size, self.hidden_size)


def slstm_initial_state(like: Tensor, batch_size: int, hidden_size: int) -> State:
    """(h, c, n, m) before the first step, each (batch, hidden_size), of the dtype and on the device of `like`."""
    zeros = like.new_zeros(batch_size, hidden_size)
    return zeros, zeros, zeros, torch.full_like(zeros, NOTHING)


def require_heads(num_heads: int, **widths: int) -> None:
    """Raises ValueError, with its name, for a width that cannot be split evenly over the heads."""
    require_positive(num_heads=num_heads, **widths)
    for name, width in widths.items():
        if width % num_heads:
            raise ValueError(f"{name} must be a multiple of num_heads = {num_heads}, got {width}")


def require_forget(forget: str) -> None:
    """Raises ValueError for an unknown activation of the forget gate."""
    if forget not in ("sigmoid", "exp"):
        raise ValueError(f"forget must be 'sigmoid' or 'exp', got {forget!r}")


def forget_biases(forget_bias: ForgetBias, forget: Forget, units: int) -> Tensor:
    """What is added to the biases of some forget gates at the start, (units,).

    Without a given bias the units of a gate "sigmoid" are spread from 0, which forgets half at each step, to 6, which
    keeps what it has for hundreds of steps. A gate "exp" of 0 keeps everything as it is.

    Raises:
        ValueError: for anything but a number, two numbers or None.
    """
    if forget_bias is None:
        forget_bias = (0.0, 6.0) if forget == "sigmoid" else 0.0
    ends = (forget_bias, forget_bias) if isinstance(forget_bias, int | float) else tuple(forget_bias)
    if len(ends) != 2:
        raise ValueError(f"forget_bias must be a number, or those of the first and the last unit, got {forget_bias!r}")
    if units == 1:
        return torch.tensor([sum(ends) / 2])
    return torch.linspace(*ends, units)


def log_forget_gate(pre_activation: Tensor, forget: Forget) -> Tensor:
    """The logarithm of f, from its pre-activation of the same shape: f itself may overflow or vanish."""
    return logsigmoid(pre_activation) if forget == "sigmoid" else pre_activation
