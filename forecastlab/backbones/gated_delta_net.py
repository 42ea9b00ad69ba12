"""The gated DeltaNet: a matrix state that decays, and replaces what it has under a key."""

from typing import ClassVar

from forecastlab.backbones.delta_rule import DeltaLayer
from forecastlab.backbones.layered import Layered, input_widths


class GatedDeltaNet(Layered):
    """Stack of layers with a matrix state per head that decays and is written by the delta rule (Yang et al. 2025).

        q, k, v = silu(conv(W x_t + b))               causal; k and q then divided by their lengths
        α_t = exp(-exp(A) softplus(W_α x_t + b_α))    decay, between 0 and 1, one number per head
        β_t = s(W_β x_t + b_β)                        write gate, one number per head
        S_t = S_{t-1} α_t (I - β_t k kᵀ) + β_t v kᵀ   state, d x d, d = hidden_size / num_heads
        h_t = RMSNorm(S_t q) * silu(W_z x_t + b_z)    one norm over the units of each head; the output

    α_t S_{t-1} k is what the state gives for a key. A write gate of 1 replaces it by v, and leaves what is kept under
    keys at right angles to k as it is. The mLSTM adds values under all keys, and only forgets all of them at once. Do
    not confuse α_t with a forget gate per unit: it is one number for the whole state of a head.

    Two forms compute it; they differ by rounding only. A single step, as in `step`, uses the recurrence above. A longer
    sequence is cut into chunks: within them a triangular system gives what all steps write (see
    `matrix_memory.chunkwise`), and the state goes from chunk to chunk. The cost is linear in the length.

    Taken from the paper: the rule, the short convolution with silu on queries, keys and values, their division by the
    length, the norm and the output gate. α has the parametrisation of Mamba2: exp(A) starts uniform between 1 and 16,
    and b_α such that softplus(b_α) is log-uniform between 0.001 and 0.1. Not taken: the matrix after the gate, since
    the next layer or the decoder starts with one, and the block around the layer (norm, shortcut, MLP), which is left
    to hybrids such as `Residual`. Values are as wide as keys, where the paper's are twice as wide. Weights and biases
    start uniform in +-1/sqrt(hidden_size) as in torch.nn, and the projections have biases.

    The state of a layer is (the last kernel_size - 1 inputs of the convolution, (batch, kernel_size - 1,
    3 * hidden_size), oldest first; S, (batch, heads, d, d), values along its rows, keys along its columns). S is
    float32 even in a network of bfloat16. `trace` gives per layer "query" and "key" (of length 1), "value",
    "output_gate" silu(..) and "hidden", (batch, time, hidden_size), and "write_gate" β and "decay" α, (batch, time,
    num_heads). The rows of the parameters are called "query", "key", "value", "output", "write" and "decay". No h_{t-1}
    enters a gate, so there is no recurrent dropout.

    Args:
        input_size: width of the inputs.
        hidden_size: width of every layer and of the output.
        num_layers: number of layers.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        num_heads: number of independent states.
        kernel_size: number of steps that the convolution sees.
        chunk_size: the most steps that are computed at once; changes speed and memory only.

    Raises:
        ValueError: for a size that is not positive, a hidden size that is not a multiple of `num_heads`, or a dropout
            outside [0, 1).
    """

    source: ClassVar[str] = "Yang, Kautz and Hatamizadeh 2025, Gated Delta Networks, arXiv:2412.06464"

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        num_heads: int = 4,
        kernel_size: int = 4,
        chunk_size: int = 32,
    ) -> None:
        widths = input_widths(input_size, hidden_size, num_layers)
        options = (num_heads, 1, True, 1.0, kernel_size, chunk_size)
        super().__init__(
            input_size, [DeltaLayer(width, hidden_size, *options) for width in widths], hidden_size, dropout
        )
