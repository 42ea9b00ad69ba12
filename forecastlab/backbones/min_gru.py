"""The minimal gated recurrent unit: its gate does not read the hidden state."""

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from forecastlab.backbones.layered import Layered, input_widths
from forecastlab.backbones.linear_recurrence import DiagonalLayer, recur
from forecastlab.backbones.slstm import ForgetBias, forget_biases
from forecastlab.batch import State

Candidate: TypeAlias = Literal["linear", "positive"]
"""The activation of a candidate: none, or g(x) = x + 0.5 where x is at least 0 and the logistic function below."""


class MinGRU(Layered):
    """GRU whose gate and candidate read the input alone, so that the recurrence is linear (Feng et al. 2024).

        z_t = s(W_z x_t + b_z)                        update gate
        n_t = W_n x_t + b_n, or g of it               candidate
        h_t = (1 - z_t) * h_{t-1} + z_t * n_t         hidden state, the output

    Without h_{t-1} in the gate there is no reset gate, and the candidate has no tanh: h_t is a weighted mean of
    candidates and cannot leave their range. Do not confuse z_t with the update gate of our `GRU` and of torch.nn, which
    is 1 - z_t: here a gate of 1 overwrites.

    Two readings of the paper. The equations of its section on the minGRU have a linear candidate: `candidate="linear"`,
    the default. Its appendix computes h in log space, where values must be positive, and so puts the continuous
    activation g(x) = x + 0.5 for x >= 0, s(x) below, on the candidate: `candidate="positive"`. It is then the same
    function as in log space. It is computed step by step and not in log space, so h may start anywhere.

    Deviations: the blocks that the paper puts around the cell (convolution, MLP, shortcuts) are left to hybrids.
    Weights and biases start uniform in +-1/sqrt(hidden_size) as in torch.nn. `forget_bias` is taken from the
    gate's bias.

    The state of a layer is h, (batch, hidden_size). The signals of `trace` are "update_gate", "candidate" and "hidden",
    each (batch, time, hidden_size); the gates are called "update" and "candidate". No h_{t-1} enters a gate, so there
    is no recurrent dropout.

    Args:
        input_size: width of the inputs.
        hidden_size: width of the hidden state, and of the outputs.
        num_layers: number of stacked layers.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        candidate: the candidate's activation, "linear" or "positive".
        forget_bias: how far 1 - z_t, which keeps h_{t-1}, is open at the start: a number that is taken from the update
            gate's biases, or those of the first and of the last unit, evenly between. None for 0 to 6.
        fused: whether a compiled kernel runs long sequences on a CPU. It needs numba (see `kernels.choice`). Without
            it, a loop in Python computes the same up to rounding.

    Raises:
        ValueError: for a size below 1, a dropout outside [0, 1), or an unknown candidate.
    """

    source: ClassVar[str] = "Feng et al. 2024, Were RNNs All We Needed?, arXiv:2410.01201, section 3.1 (appendix: g)"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        candidate: Candidate = "linear",
        forget_bias: ForgetBias = None,
        fused: bool = True,
    ) -> None:
        widths = input_widths(input_size, hidden_size, num_layers)
        layers = [MinGRULayer(width, hidden_size, candidate, forget_bias, fused) for width in widths]
        super().__init__(input_size, layers, hidden_size, dropout)


class MinGRULayer(DiagonalLayer):
    """One layer of a `MinGRU`."""

    gates: ClassVar[tuple[str, ...]] = ("update", "candidate")
    parts: ClassVar[tuple[str, ...]] = ("update_gate", "candidate", "hidden")

    def __init__(
        self, input_size: int, hidden_size: int, candidate: Candidate, forget_bias: ForgetBias, fused: bool
    ) -> None:
        require_candidate(candidate)
        super().__init__(input_size, hidden_size, fused)
        self.candidate = candidate
        with torch.no_grad():
            self.gate("update").bias.sub_(forget_biases(forget_bias, "sigmoid", hidden_size))

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        z, n = self.project(x)
        keep, z = torch.sigmoid(-z), torch.sigmoid(z)  # 1 - z would lose the digits of a gate that is nearly shut
        n = activated(n, self.candidate)
        h, last = recur(self, keep, z * n, state, self.fused)
        return h, last, (z, n, h)


def require_candidate(candidate: str) -> None:
    """Raises ValueError for an unknown activation of the candidate."""
    if candidate not in ("linear", "positive"):
        raise ValueError(f"candidate must be 'linear' or 'positive', got {candidate!r}")


def activated(candidate: Tensor, activation: Candidate) -> Tensor:
    """A candidate after its activation, of the same shape."""
    if activation == "linear":
        return candidate
    return torch.where(candidate >= 0, candidate + 0.5, torch.sigmoid(candidate))
