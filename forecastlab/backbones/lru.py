"""The linear recurrent unit: a complex diagonal recurrence that cannot explode, in a residual block."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from forecastlab.backbones.kernels.linear import Linear
from forecastlab.backbones.kernels.lru import lru
from forecastlab.backbones.layered import Layered, input_widths
from forecastlab.backbones.state_space import Discretised, StateSpaceLayer


class LRU(Layered):
    """Stack of linear recurrent units: complex diagonal recurrences in residual blocks (Orvieto et al. 2023).

        u_t = W x_t + b                                  the encoder, in the first layer; u_t = x_t in the others
        v_t = LayerNorm(u_t)
        λ = exp(-exp(ν) + i exp(θ))                      |λ| < 1 for every ν
        s_t = λ * s_{t-1} + exp(γ) * (B v_t)             complex state
        y_t = Re(C s_t) + D * v_t
        h_t = u_t + y_t * s(W_g y_t + b_g)               gated linear unit (GLU) and shortcut, the output

    ν, θ, γ are logarithms and trained. They start so that λ is uniform on a ring of the complex plane: |λ|² uniform
    between r_min² and r_max², its phase uniform between 0 and max_phase. γ starts at log sqrt(1 - |λ|²), which gives
    all states the same variance under white noise.

    The block is that of the paper's figure 1: norm, recurrence, GLU, shortcut. The paper writes "batch/layer
    normalization". Here it is layer norm, which sees one step alone: the network stays causal, and can be stepped.
    The recurrence runs step by step and not as a parallel scan.

    The value of a GLU (Dauphin et al. 2017) has a matrix of its own: W_v y_t + b_v in place of y_t. This is
    `full_glu=True`. It is off, since y_t is a linear map of the state already, and the matrix costs a quarter more.

    Deviations: dropout acts between the layers alone.

    The state of a layer is s as two reals, (batch, 2 * state_size): the real parts, then the imaginary parts. The
    signals of `trace` are "state_real" and "state_imaginary", (batch, time, state_size), and "output_gate", the
    logistic factor of the GLU, and "hidden", (batch, time, hidden_size). Nothing of the state enters a gate, so there
    is no recurrent dropout.

    Args:
        input_size: width of the inputs.
        hidden_size: width of the blocks, and of the outputs.
        num_layers: number of stacked blocks.
        dropout: probability that an output of a block is dropped before the next block reads it, in training.
        state_size: number of complex states of a block; None for half of hidden_size, which is hidden_size reals.
        r_min: the smallest |λ| at the start. 0.9 suits long memories.
        r_max: the largest |λ| at the start; 0.999 suits long memories.
        max_phase: the largest phase of λ at the start, in radians. A small one suits slow signals.
        full_glu: whether the value of the gated linear unit has a matrix of its own.
        fused: whether a compiled kernel runs long sequences on a CPU. It needs numba (see `kernels.choice`). Without
            it, a loop in Python computes the same up to rounding.

    Raises:
        ValueError: for a size below 1, a dropout outside [0, 1), radii that are not 0 <= r_min < r_max <= 1, or a phase
            outside (0, 2π].
    """

    source: ClassVar[str] = "Orvieto et al. 2023, Resurrecting Recurrent Neural Networks, arXiv:2303.06349"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        state_size: int | None = None,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        full_glu: bool = False,
        fused: bool = True,
    ) -> None:
        ring = (r_min, r_max, max_phase)
        widths = input_widths(input_size, hidden_size, num_layers)
        layers = [
            LRULayer(width, hidden_size, state_size, not n, ring, full_glu, fused) for n, width in enumerate(widths)
        ]
        super().__init__(input_size, layers, hidden_size, dropout)


class LRULayer(StateSpaceLayer):
    """One block of an `LRU`.

    Its parameters are named as in the paper: `nu_log`, `theta_log` and `gamma_log` (state_size,), `B` (2, state_size,
    hidden_size) with its real and imaginary part, `C` (hidden_size, 2, state_size) with its real part and minus its
    imaginary part, and `D` (hidden_size,). The encoder, the layer norm and the matrices of the GLU are `encoder`,
    `norm`, `gate_linear` and, with `full_glu`, `value_linear`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        state_size: int | None,
        first: bool,
        ring: tuple[float, float, float],
        full_glu: bool,
        fused: bool,
    ) -> None:
        super().__init__(input_size, hidden_size, state_size, first, fused)
        states = self.state_size
        nu, theta = on_a_ring(states, *ring)
        self.nu_log = nn.Parameter(nu.log().to(self.D.dtype))
        self.theta_log = nn.Parameter(theta.log().to(self.D.dtype))
        self.gamma_log = nn.Parameter(log_norm(nu).to(self.D.dtype))
        self.B = nn.Parameter(torch.randn(2, states, hidden_size) * (2 * hidden_size) ** -0.5)
        self.C = nn.Parameter(torch.randn(hidden_size, 2, states) * states**-0.5)
        self.gate_linear = Linear(hidden_size, hidden_size, fused)
        self.value_linear = Linear(hidden_size, hidden_size, fused) if full_glu else None

    def discretised(self) -> Discretised:
        size, phase = torch.exp(-torch.exp(self.nu_log)), torch.exp(self.theta_log)
        a = torch.cat([size * torch.cos(phase), size * torch.sin(phase)])
        return Discretised(a, (torch.exp(self.gamma_log).unsqueeze(-1) * self.B).flatten(0, 1), self.C.flatten(1))

    def kernel(self, v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return lru(v, self.nu_log, self.theta_log, self.gamma_log, self.B, self.C, self.D, state)

    def mix(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return y if self.value_linear is None else self.value_linear(y), self.gate_linear(y)


def on_a_ring(states: int, r_min: float, r_max: float, max_phase: float) -> tuple[Tensor, Tensor]:
    """Random decays ν and phases θ, float64, such that exp(-ν + iθ) is uniform on a ring of the complex plane.

    Args:
        states: how many.
        r_min: inner radius.
        r_max: outer radius.
        max_phase: the largest phase, in radians.

    Raises:
        ValueError: for radii that are not 0 <= r_min < r_max <= 1, or a phase outside (0, 2π].
    """
    if not 0 <= r_min < r_max <= 1:
        raise ValueError(f"radii must be 0 <= r_min < r_max <= 1, got r_min={r_min!r} and r_max={r_max!r}")
    if not 0 < max_phase <= 2 * math.pi:
        raise ValueError(f"max_phase must be above 0 and at most 2 pi, got {max_phase!r}")
    uniform, phase = torch.rand(2, states, dtype=torch.float64).clamp(1e-6, 1 - 1e-6)  # no logarithm of 0
    return -0.5 * torch.log(uniform * (r_max**2 - r_min**2) + r_min**2), max_phase * phase


def log_norm(nu: Tensor) -> Tensor:
    """Log sqrt(1 - exp(-2 ν)), of the shape of ν, without loss of digits where ν is small."""
    return 0.5 * torch.log(-torch.expm1(-2 * nu))
