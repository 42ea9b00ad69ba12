"""S5: a diagonal state space model with many inputs and outputs, in a residual block."""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from forecastlab.backbones.base import require_positive
from forecastlab.backbones.kernels.linear import Linear
from forecastlab.backbones.layered import Layered, input_widths
from forecastlab.backbones.linear_recurrence import recur_complex_unequal
from forecastlab.backbones.state_space import Discretised, StateSpaceLayer
from forecastlab.batch import State

Discretisation: TypeAlias = Literal["zoh", "bilinear"]
"""How the input acts between two steps: it is held (zero-order hold), or the trapezoidal rule is used."""
Complex: TypeAlias = tuple[Tensor, Tensor]
"""A real and an imaginary part: files and exports hold reals only."""


class S5(Layered):
    """Stack of simplified state space layers: one diagonal system per layer for all units (Smith et al. 2023).

        u_t = W x_t + b                                the encoder, in the first layer; u_t = x_t in the others
        v_t = LayerNorm(u_t)
        ds/dt = Λ * s + B v,  y = 2 Re(C s) + D * v    complex and diagonal, in continuous time
        s_t = a * s_{t-1} + f * (B v_t)                the same at the steps, with a step size Δ for each state
        a = exp(Λ Δ),  f = (a - 1) / Λ                 "zoh", zero-order hold
        a = (1 + Λ Δ / 2) / (1 - Λ Δ / 2),  f = Δ / (1 - Λ Δ / 2)      "bilinear"
        g_t = gelu(y_t)
        h_t = u_t + g_t * s(W_g g_t + b_g)             gate and shortcut, the output

    The states come in conjugate pairs, of which one is kept; hence 2 Re. They start as the eigenvalues of HiPPO-N, the
    normal part of HiPPO-LegS: all decay at the rate 1/2, at different frequencies. B and C start as the images of real
    random matrices under its eigenvectors, so that the layer starts as a real system. Δ starts log-uniform between
    `dt_min` and `dt_max`. Λ, B, C, D and Δ are trained.

    All steps last 1, or an input tells how long each one lasts (`elapsed`): the time e_t since the step before, in
    units of the usual step. Then Δ e_t stands in the place of Δ, in all layers, and the encoder does not read that
    input. A step of length 0 changes no state; a negative length counts as 0. A `Network` finds the input if its data
    have one (`data.elapsed: true`). Inside of a hybrid nobody tells S5 which of its inputs it is: there all steps last
    1 unless you do.

    Deviations: the decay is kept as a logarithm, so that no training step makes a state grow. The paper's layers may
    have batch or layer norm; here it is layer norm, which sees one step alone: the network stays causal, and can be
    stepped. The recurrence runs step by step and not as a parallel scan. Dropout acts between the layers alone.

    The state of a layer is s as two reals, (batch, 2 * state_size): the real parts, then the imaginary parts. The
    signals of `trace` are "state_real" and "state_imaginary", (batch, time, state_size), and "output_gate"
    s(W_g g + b_g) and "hidden", (batch, time, hidden_size). Nothing of the state enters a gate, so there is no
    recurrent dropout.

    Args:
        input_size: width of the inputs.
        hidden_size: width of the blocks, and of the outputs.
        num_layers: number of stacked blocks.
        dropout: probability that an output of a block is dropped before the next block reads it, in training.
        state_size: number of conjugate pairs of states of a block (half the paper's P); None for half of hidden_size.
        num_blocks: number of HiPPO-N matrices (the paper's J) on whose diagonal blocks the states start.
        discretisation: "zoh" or "bilinear".
        dt_min: the smallest Δ at the start. A state starts by remembering about 2 / Δ steps.
        dt_max: the largest Δ at the start.
        elapsed: position of the input that tells how much time has passed since the step before; None for steps that
            all last 1. A `Network` fills it in from its data.
        fused: whether a compiled kernel runs long sequences on a CPU. It needs numba (see `kernels.choice`). Without
            it, a loop in Python computes the same up to rounding.

    Raises:
        ValueError: for a size below 1, states that do not split evenly over the blocks, a dropout outside [0, 1), an
            unknown discretisation, step sizes that are not 0 < dt_min <= dt_max, or an `elapsed` that is no position,
            or that of the only input.
    """

    source: ClassVar[str] = "Smith, Warrington and Linderman 2023, Simplified State Space Layers, arXiv:2208.04933"
    reads_elapsed: ClassVar[bool] = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        state_size: int | None = None,
        num_blocks: int = 1,
        discretisation: Discretisation = "zoh",
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        elapsed: int | None = None,
        fused: bool = True,
    ) -> None:
        require_positive(input_size=input_size, num_blocks=num_blocks)
        if elapsed is not None and not (0 <= elapsed < input_size > 1):
            raise ValueError(f"elapsed must be the position of one of several inputs, got {elapsed!r} of {input_size}")
        options = (num_blocks, discretisation, dt_min, dt_max, fused)
        widths = input_widths(input_size - (elapsed is not None), hidden_size, num_layers)
        layers = [S5Layer(width, hidden_size, state_size, not n, *options) for n, width in enumerate(widths)]
        super().__init__(input_size, layers, hidden_size, dropout)
        self.elapsed = elapsed

    def read(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        if self.elapsed is None:
            return x, ()
        others = [place for place in range(self.input_size) if place != self.elapsed]
        return x[..., others], (x[..., self.elapsed, None].clamp(min=0),)


class S5Layer(StateSpaceLayer):
    """One block of an `S5`.

    Its parameters are `log_decay` and `frequency`, which are log(-Re Λ) and Im Λ, and `log_step`, each (state_size,),
    `B` (2, state_size, hidden_size) with its real and imaginary part, `C` (hidden_size, 2, state_size) with its real
    part and minus its imaginary part, and `D` (hidden_size,). The encoder, the layer norm and the gate are `encoder`,
    `norm` and `gate_linear`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        state_size: int | None,
        first: bool,
        num_blocks: int,
        discretisation: Discretisation,
        dt_min: float,
        dt_max: float,
        fused: bool,
    ) -> None:
        super().__init__(input_size, hidden_size, state_size, first, fused)
        state_size = self.state_size
        if state_size % num_blocks:
            raise ValueError(f"state_size must be a multiple of num_blocks = {num_blocks}, got {state_size}")
        if discretisation not in ("zoh", "bilinear"):
            raise ValueError(f"discretisation must be 'zoh' or 'bilinear', got {discretisation!r}")
        if not 0 < dt_min <= dt_max:
            raise ValueError(f"step sizes must be 0 < dt_min <= dt_max, got dt_min={dt_min!r} and dt_max={dt_max!r}")
        self.discretisation = discretisation
        dtype = self.D.dtype
        poles, vectors = hippo_n(2 * state_size // num_blocks)
        V = torch.block_diag(*[vectors] * num_blocks)  # (2 * state_size, state_size)
        B = V.mH @ torch.randn(2 * state_size, hidden_size).to(V.dtype) * hidden_size**-0.5
        C = torch.randn(hidden_size, 2 * state_size).to(V.dtype) @ V * (2 * state_size) ** -0.5
        log_step = torch.empty(state_size).uniform_(math.log(dt_min), math.log(dt_max))
        self.log_decay = nn.Parameter(torch.log(-poles.real).repeat(num_blocks).to(dtype))
        self.frequency = nn.Parameter(poles.imag.repeat(num_blocks).to(dtype))
        self.log_step = nn.Parameter(log_step)
        self.B = nn.Parameter(torch.stack([B.real, B.imag]).to(dtype))
        self.C = nn.Parameter(torch.stack([C.real, -C.imag], 1).to(dtype))
        self.gate_linear = Linear(hidden_size, hidden_size, fused)

    def discretised(self) -> Discretised:
        a, (re, im) = self.factors()
        b = torch.cat(times((re.unsqueeze(-1), im.unsqueeze(-1)), (self.B[0], self.B[1])))
        return Discretised(torch.cat(a), b, self.to_output())

    def to_output(self) -> Tensor:
        """The `c` of `Discretised`: a state stands for its conjugate too, hence 2 C."""
        return 2 * self.C.flatten(1)

    def factors(self, elapsed: Tensor | None = None) -> tuple[Complex, Complex]:
        """The factors a of the states and f of what they are driven by.

        Args:
            elapsed: the lengths of the steps, (batch, time, 1); None for 1.

        Returns:
            (batch, time, state_size) each; (state_size,) for steps of length 1.
        """
        step, decay = torch.exp(self.log_step), torch.exp(self.log_decay)
        step = step if elapsed is None else step * elapsed
        pole = (-decay, self.frequency)
        x, y = pole[0] * step, pole[1] * step
        if self.discretisation == "zoh":
            size = torch.exp(x)
            a = (size * torch.cos(y), size * torch.sin(y))
            # a - 1 without loss of digits where a is near 1; exp(x) - 1 by tanh, since ONNX has no expm1
            grown = torch.tanh(x / 2) * (size + 1)
            gained = (grown * torch.cos(y) - 2 * torch.sin(y / 2).square(), a[1])
            return a, divided(gained, pole)
        below = (1 - x / 2, -y / 2)
        return divided((1 + x / 2, y / 2), below), divided((step, torch.zeros_like(step)), below)

    def run(
        self, x: Tensor, state: State, keep_parts: bool = False, elapsed: Tensor | None = None
    ) -> tuple[Tensor, State, Sequence[Tensor]]:
        """As `Layer.run`; `elapsed` is the lengths of the steps, (batch, time, 1), or None for 1."""
        if elapsed is None:
            return super().run(x, state, keep_parts)
        u = self.encoder(x)
        v = self.norm(u)
        a, factor = self.factors(elapsed.to(self.D.dtype))
        b = times(factor, (linear(v, self.B[0]), linear(v, self.B[1])))
        fused = self.fused and not keep_parts
        s, last = recur_complex_unequal(self, torch.cat(a, -1), torch.cat(b, -1), state, fused)
        h, parts = self.read_out(u, v, s, self.to_output())
        return h, last, parts

    def mix(self, y: Tensor) -> tuple[Tensor, Tensor]:
        g = gelu(y)
        return g, self.gate_linear(g)


def times(one: Complex, other: Complex) -> Complex:
    """The product of complex numbers."""
    (a, b), (c, d) = one, other
    return a * c - b * d, a * d + b * c


def divided(numerator: Complex, denominator: Complex) -> Complex:
    """The quotient of complex numbers."""
    (a, b), (c, d) = numerator, denominator
    square = c * c + d * d
    return (a * c + b * d) / square, (b * c - a * d) / square


def hippo_n(size: int) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of HiPPO-N, one of each conjugate pair, complex128.

    HiPPO-N is -1/2 on the diagonal and ∓sqrt(n + 1/2) sqrt(k + 1/2) below and above it: the part of HiPPO-LegS that is
    normal, so that its eigenvectors are orthonormal.

    Args:
        size: number of rows, an even number.

    Returns:
        The eigenvalues with a positive imaginary part, (size / 2,), and the eigenvectors in the columns of (size,
        size / 2).
    """
    root = torch.sqrt(torch.arange(size, dtype=torch.float64) + 0.5)
    skew = torch.outer(root, root)
    skew = skew.triu(1) - skew.tril(-1)
    imaginary, vectors = torch.linalg.eigh(-1j * skew)  # ascending, so the second half is positive
    half = size // 2
    return torch.complex(torch.full((half,), -0.5, dtype=torch.float64), imaginary[half:]), vectors[:, half:]
