"""The convolutional LSTM."""

from collections.abc import Sequence
from math import prod
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d

from forecastlab.backbones.base import GateParameters, require_positive, require_probability
from forecastlab.backbones.layered import Layer, Layered, dropout_mask
from forecastlab.batch import State


class ConvLSTMLayer(Layer):
    """One layer of `ConvLSTM`, on a grid of one or two dimensions.

    The parameters are `weight_ih` (4 * hidden_channels, input channels, kernel...), `weight_hh` (4 * hidden_channels,
    hidden_channels, kernel...), `bias` (4 * hidden_channels,), the channels of the gates in the order of `gates`, and
    with peepholes `peephole` (3, hidden_channels, grid...) for the input, forget and output gate. They start uniform in
    +-1/sqrt(hidden_channels * prod(kernel)), the peepholes at 0.
    """

    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    parts: ClassVar[tuple[str, ...]] = ("input_gate", "forget_gate", "candidate", "output_gate", "cell", "hidden")

    def __init__(
        self,
        input_channels: int,
        hidden_channels: int,
        grid: tuple[int, ...],
        kernel_size: int,
        peephole: bool,
        recurrent_dropout: float,
    ) -> None:
        super().__init__()
        require_probability(recurrent_dropout=recurrent_dropout)
        self.hidden_channels = hidden_channels
        self.grid = grid
        self.recurrent_dropout = recurrent_dropout
        self.padding = kernel_size // 2
        kernel = [kernel_size] * len(grid)
        rows = 4 * hidden_channels
        bound = (hidden_channels * prod(kernel)) ** -0.5
        self.weight_ih = nn.Parameter(torch.empty(rows, input_channels, *kernel).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_channels, *kernel).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(rows).uniform_(-bound, bound))
        self.peephole = nn.Parameter(torch.zeros(3, hidden_channels, *grid)) if peephole else None

    def gate(self, name: str) -> GateParameters:
        """The parameters of one gate, as views: kernels (hidden_channels, channels, kernel...) in place of matrices.

        Raises:
            ValueError: for a name that is not among `gates`.
        """
        if name not in self.gates:
            raise ValueError(f"unknown gate {name!r}; {type(self).__name__} has {', '.join(self.gates)}")
        start = self.gates.index(name) * self.hidden_channels
        rows = slice(start, start + self.hidden_channels)
        return GateParameters(self.weight_ih[rows], self.weight_hh[rows], self.bias[rows])

    def run(self, x: Tensor, state: State, keep_parts: bool = False) -> tuple[Tensor, State, Sequence[Tensor]]:
        batch, time = x.shape[:2]
        laid_out = x.reshape(batch * time, -1, *self.grid)  # every step is an image, convolved on its own
        inputs = self._convolve(laid_out, self.weight_ih, self.bias).reshape(batch, time, -1, *self.grid)
        mask = dropout_mask(x.new_empty(batch, self.hidden_channels, *self.grid), self.recurrent_dropout, self.training)

        def step(x_t: Tensor, state: State) -> tuple[Tensor, State, tuple[Tensor, ...]]:
            h, c = (cast(Tensor, part).reshape(batch, -1, *self.grid) for part in state)
            gates = x_t + self._convolve(h if mask is None else h * mask, self.weight_hh)
            i, f, g, o = gates.chunk(4, 1)
            if self.peephole is not None:
                i, f = i + self.peephole[0] * c, f + self.peephole[1] * c
            i, f, g = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g)
            c = f * c + i * g
            o = torch.sigmoid(o if self.peephole is None else o + self.peephole[2] * c)  # it sees the new cell state
            i, f, g, o, c, h = (part.flatten(1) for part in (i, f, g, o, c, o * torch.tanh(c)))
            return h, (h, c), (i, f, g, o, c, h)

        return self.scan(step, inputs, state, keep_parts)

    def initial_state(self, batch_size: int) -> State:
        zeros = self.bias.new_zeros(batch_size, self.hidden_channels * prod(self.grid))
        return zeros, zeros.clone()

    def _convolve(self, image: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        convolution = conv1d if len(self.grid) == 1 else conv2d
        return convolution(image, weight, bias, padding=self.padding)


class ConvLSTM(Layered):
    """An LSTM whose states are images and whose matrix products are convolutions (Shi et al. 2015).

        i_t = σ(W_xi * X_t + W_hi * H_{t-1} + W_ci ⊙ C_{t-1} + b_i)
        f_t = σ(W_xf * X_t + W_hf * H_{t-1} + W_cf ⊙ C_{t-1} + b_f)
        C_t = f_t ⊙ C_{t-1} + i_t ⊙ tanh(W_xc * X_t + W_hc * H_{t-1} + b_c)
        o_t = σ(W_xo * X_t + W_ho * H_{t-1} + W_co ⊙ C_t + b_o)
        H_t = o_t ⊙ tanh(C_t)

    with * a convolution over the grid (never over time), zeros beyond its edges, and ⊙ elementwise. The output gate's
    peephole sees the new cell state C_t. The "ConvLSTM" of the article is another network, a convolution over time in
    front of an LSTM: `ConvEncoder`.

    Inputs and outputs are (batch, time, features), as for every backbone. The features of a step fill the grid channel
    by channel, and each channel row by row. On a grid (rows, columns), feature (k * rows + r) * columns + q is channel
    k at row r and column q. The outputs are hidden_channels on the same grid, in the same order. Use it if neighbouring
    features are related: stations along a river, cells of a map, hours of a day.

    The state is, per layer, (H, C), each (batch, hidden_channels * cells of the grid). `trace` gives per layer
    "input_gate", "forget_gate", "candidate", "output_gate", "cell" and "hidden", each (batch, time, hidden_channels *
    cells). The gates' kernels are channels in the order input, forget, candidate, output.

    Deviation: the peepholes start at 0.

    Args:
        input_size: width of the inputs.
        hidden_channels: number of channels of every layer's states; the output has hidden_channels * cells features.
        num_layers: number of layers.
        grid: the shape of the grid, (length,) or (rows, columns); input_size must be a multiple of its number of cells.
            The quotient is the number of input channels. None for (input_size,): one channel on a line.
        kernel_size: width of the kernels in each dimension of the grid. It must be odd, so that states keep their
            shape.
        peephole: whether the gates see the cell state.
        dropout: probability that an output of a layer is dropped before the next layer reads it, in training.
        recurrent_dropout: probability that an element of H_{t-1} is dropped, in training. The same elements are dropped
            at all steps of a sequence (Gal and Ghahramani 2016).

    Raises:
        ValueError: for a size that is not positive, an even kernel, a grid that is neither 1-D nor 2-D or that the
            features do not fill, or a probability outside [0, 1).
    """

    source: ClassVar[str] = "Shi et al. 2015, Convolutional LSTM Network, arXiv:1506.04214, eq. 3"

    def __init__(
        self,
        input_size: int,
        hidden_channels: int = 8,
        num_layers: int = 1,
        grid: tuple[int, ...] | None = None,
        kernel_size: int = 3,
        peephole: bool = True,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        require_positive(
            input_size=input_size, hidden_channels=hidden_channels, num_layers=num_layers, kernel_size=kernel_size
        )
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, so that states keep their shape, got {kernel_size}")
        shape = (input_size,) if grid is None else tuple(grid)
        if len(shape) not in (1, 2):
            raise ValueError(f"grid must be (length,) or (rows, columns), got {grid!r}")
        for cells in shape:
            require_positive(grid=cells)
        cells = prod(shape)
        if input_size % cells:
            raise ValueError(
                f"the {input_size} features do not fill a grid {shape} of {cells} cells: input_size must be a multiple "
                "of the number of cells (the quotient is the number of channels); give another grid or other features"
            )
        layers = [
            ConvLSTMLayer(channels, hidden_channels, shape, kernel_size, peephole, recurrent_dropout)
            for channels in [input_size // cells] + [hidden_channels] * (num_layers - 1)
        ]
        super().__init__(input_size, layers, hidden_channels * cells, dropout)

    def gate(self, layer: int, name: str) -> GateParameters:
        """The parameters of one gate of a layer, as views: kernels in place of matrices.

        Raises:
            ValueError: for a layer or a gate that the network does not have.
        """
        if not 0 <= layer < len(self.layers):
            raise ValueError(f"layer must be at least 0 and below {len(self.layers)}, got {layer!r}")
        return cast(ConvLSTMLayer, self.layers[layer]).gate(name)
