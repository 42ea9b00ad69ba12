"""The real-gated linear recurrent unit: a diagonal recurrence whose decay follows the input."""

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from forecastlab.backbones.kernels.choice import usable
from forecastlab.backbones.kernels.rglru import rglru
from forecastlab.backbones.layered import Layered, input_widths
from forecastlab.backbones.linear_recurrence import DiagonalLayer, recur
from forecastlab.batch import State

SHARPNESS = 8.0
"""The paper's constant c: log a at a gate of 1 is c times that of the trained parameter."""


class RGLRU(Layered):
    """Stack of real-gated linear recurrent units, the recurrence of Griffin and Hawk (De et al. 2024).

        r_t = s(W_r x_t + b_r)                              recurrence gate
        i_t = s(W_i x_t + b_i)                              input gate
        u_t = W_u x_t + b_u                                 what is written, the candidate
        a_t = exp(-c softplus(Λ) r_t),  c = 8               decay, between 0 and 1
        h_t = a_t * h_{t-1} + sqrt(1 - a_t²) * (i_t * u_t)  hidden state, the output

    A recurrence gate of 0 keeps the state and ignores the input; one of 1 forgets at the unit's own rate. Do not
    confuse r_t with the reset gate of a GRU. The scale sqrt(1 - a²) keeps the variance of h that of i * u. It is
    computed from log a, since 1 - a² loses all its digits where a is near 1.

    Λ is trained. It starts so that a_t at a gate of 1 is uniform between 0.9 and 0.999. The paper writes a = s(Λ) and
    log a_t = -c softplus(Λ) r_t, which fit together with the sign of Λ turned in one of the two; here the second holds.

    Deviations: u_t is the linear map that the paper's recurrent block puts before the unit. The block's convolution
    between the two, its branch with GELU, its norm and its shortcut are left to hybrids. Without the convolution, gates
    that read x_t are the same functions as gates that read u_t. Their matrices are full, where the paper's code has
    blocks. Weights and biases start uniform in +-1/sqrt(hidden_size) as in torch.nn.

    The state of a layer is h, (batch, hidden_size). The signals of `trace` are "recurrence_gate", "input_gate",
    "candidate" u, "decay" a and "hidden", each (batch, time, hidden_size); the gates are called "recurrence", "input"
    and "candidate". No h_{t-1} enters a gate, so there is no recurrent dropout.

    Args:
        input_size: width of the inputs.
        hidden_size: width of the hidden state, and of the outputs.
        num_layers: number of stacked layers.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        fused: whether a compiled kernel runs long sequences on a CPU. It needs numba (see `kernels.choice`). Without
            it, a loop in Python computes the same up to rounding.

    Raises:
        ValueError: for a size below 1 or a dropout outside [0, 1).
    """

    source: ClassVar[str] = "De et al. 2024, Griffin, arXiv:2402.19427, section 2.4"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        fused: bool = True,
    ) -> None:
        widths = input_widths(input_size, hidden_size, num_layers)
        layers = [RGLRULayer(width, hidden_size, fused) for width in widths]
        super().__init__(input_size, layers, hidden_size, dropout)


class RGLRULayer(DiagonalLayer):
    """One layer of an `RGLRU`; `Lambda` (hidden_size,) holds Λ."""

    gates: ClassVar[tuple[str, ...]] = ("recurrence", "input", "candidate")
    parts: ClassVar[tuple[str, ...]] = ("recurrence_gate", "input_gate", "candidate", "decay", "hidden")

    def __init__(self, input_size: int, hidden_size: int, fused: bool) -> None:
        super().__init__(input_size, hidden_size, fused)
        decay = torch.empty(hidden_size, dtype=torch.float64).uniform_(0.9, 0.999)
        self.Lambda = nn.Parameter(torch.log(torch.expm1(-decay.log() / SHARPNESS)).to(self.bias.dtype))

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        rate = SHARPNESS * softplus(self.Lambda)
        start = cast(Tensor, state)
        if self.fused and not keep_parts and usable(x, self.weight_ih, self.bias, rate, start):
            return *rglru(x, self.weight_ih, self.bias, rate, start), ()
        r, i, u = self.project(x)
        r, i = torch.sigmoid(r), torch.sigmoid(i)
        log_a = -rate * r
        a = torch.exp(log_a)
        h, last = recur(self, a, scale(log_a) * (i * u), state, self.fused)
        return h, last, (r, i, u, a, h)


def scale(log_a: Tensor) -> Tensor:
    """sqrt(1 - a²) of the same shape, from log a, which is at most 0: exact where a is near 1.

    1 - a² is -expm1(2 log a), which is -tanh(log a) (1 + a²): ONNX has tanh, and would turn expm1 into exp minus 1.
    Where a gate is shut, log a is 0 and the root has no slope. Its gradient is then 0, which is its limit with respect
    to the pre-activation of the gate.
    """
    log_a = log_a.clamp(max=-torch.finfo(log_a.dtype).tiny)
    return torch.sqrt(-torch.tanh(log_a) * (1 + torch.exp(2 * log_a)))
