"""DeltaProduct: a matrix state that several delta rules change at every step."""

from typing import ClassVar

from forecastlab.backbones.base import require_positive
from forecastlab.backbones.delta_rule import DeltaLayer
from forecastlab.backbones.layered import Layered, input_widths


class DeltaProduct(Layered):
    """Stack of layers with a matrix state per head, written by several delta rules per step (Siems et al. 2025).

        q, k_1, v_1, .., k_n, v_n = silu(conv(W x_t + b))       causal; each k and q then divided by its length
        β_j = 2 s(W_j x_t + b_j),  j = 1 .. n                   write gates, one number per head each
        α_t = exp(-exp(A) softplus(W_α x_t + b_α))              decay, one number per head; 1 unless `gated`
        S ← α_t S_{t-1};  for j = 1 .. n:  S ← S (I - β_j k_j k_jᵀ) + β_j v_j k_jᵀ;  S_t = S
        h_t = RMSNorm(S_t q) * silu(W_z x_t + b_z)              one norm over the units of each head; the output

    Each factor I - β k kᵀ is a generalised Householder matrix with the eigenvalue 1 - β in the direction of k, and
    their product is what the state is multiplied by. A gate of 1 replaces what is kept under a key. A gate of 2 turns
    it round, so that two factors can rotate the state, and it can count or follow a period. No product of them makes
    it grow. With one write and a decay, and gates up to 1, this is the `GatedDeltaNet`.

    The forms that compute it, what is taken from the paper and what is not, the parametrisation of α and the start of
    the parameters are those of the `GatedDeltaNet`; the paper builds its layer on that of the same authors' library.

    The state of a layer is (the last kernel_size - 1 inputs of the convolution, (batch, kernel_size - 1,
    (1 + 2 n) * hidden_size), oldest first; S, (batch, heads, d, d), values along its rows, keys along its columns).
    `trace` gives the signals of the `GatedDeltaNet`; "key" and "value" are (batch, time, n * hidden_size) and
    "write_gate" is (batch, time, n * num_heads), the writes of a head beside each other.

    Args:
        input_size: width of the inputs.
        hidden_size: width of every layer and of the output.
        num_layers: number of layers.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        num_heads: number of independent states.
        num_writes: the paper's n_h, the number n of delta rules in a step.
        gated: whether the state decays: the paper's gated DeltaProduct.
        negative_eigenvalues: whether β goes up to 2. If not, it is s(..) and goes up to 1.
        kernel_size: number of steps that the convolution sees.
        chunk_size: the most steps that are computed at once; changes speed and memory only.

    Raises:
        ValueError: for a size that is not positive, a hidden size that is not a multiple of `num_heads`, or a dropout
            outside [0, 1).
    """

    source: ClassVar[str] = "Siems et al. 2025, DeltaProduct, arXiv:2502.10297"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        num_heads: int = 4,
        num_writes: int = 2,
        gated: bool = False,
        negative_eigenvalues: bool = True,
        kernel_size: int = 4,
        chunk_size: int = 16,
    ) -> None:
        require_positive(num_writes=num_writes)
        widths = input_widths(input_size, hidden_size, num_layers)
        options = (num_heads, num_writes, gated, 2.0 if negative_eigenvalues else 1.0, kernel_size, chunk_size)
        super().__init__(
            input_size, [DeltaLayer(width, hidden_size, *options) for width in widths], hidden_size, dropout
        )
