"""The decoder that forecasts whole segments of the horizon at once."""

import torch
from torch import Tensor, nn

from forecastlab.backbones.base import require_positive, require_probability
from forecastlab.decoders.base import Decoder


class Segments(Decoder):
    """Forecasts the horizon in segments of `length` steps, side by side, each from the encoding and its position.

        s = tanh(W_s h + b_s)                          h: the encoding at the origin
        z_k = GRUCell(p_k, s)                          p_k: a learned embedding of segment k = 0, 1, ...
        forecasts of segment k = W [z_k ; known covariates of its steps] + b

    No segment reads another one, so errors do not add up along the horizon and all are computed together. A linear
    decoder has horizon * width weights; this one has length * width. Source: the parallel multi-step forecast of
    SegRNN (Lin et al. 2023, arXiv:2308.11200), which takes h itself for s, since its encoder is a GRU of the same size.
    The last segment is cut at the horizon.

    Args:
        width: width of the encoded history.
        horizon: number of steps.
        targets: number of targets.
        known: number of covariates known in advance.
        outputs: number of values per target that the loss asks for.
        length: steps in a segment.
        hidden_size: width of z.
        position_size: width of the embedding of a position.
        dropout: probability that a value of z is dropped, in training.

    Raises:
        ValueError: for a size that is not positive or a dropout outside [0, 1).
    """

    def __init__(
        self,
        width: int,
        horizon: int,
        targets: int,
        known: int,
        outputs: int,
        length: int = 8,
        hidden_size: int = 64,
        position_size: int = 16,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(width, horizon, targets, known, outputs)
        require_positive(length=length, hidden_size=hidden_size, position_size=position_size)
        require_probability(dropout=dropout)
        self.length = min(length, horizon)
        self.segments = -(-horizon // self.length)
        self.start = nn.Linear(width, hidden_size)
        self.position = nn.Parameter(torch.randn(self.segments, position_size))
        self.cell = nn.GRUCell(position_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden_size + self.length * known, self.length * targets * outputs)

    def forward(self, encoded: Tensor, known: Tensor, last: Tensor, target: Tensor | None = None) -> Tensor:
        batch, origins = known.shape[:2]
        start = torch.tanh(self.start(encoded[:, -origins:]))
        start = start.unsqueeze(2).expand(-1, -1, self.segments, -1)
        position = self.position.expand(batch, origins, -1, -1)
        z = self.cell(position.flatten(0, 2), start.flatten(0, 2)).view_as(start)
        z = self.dropout(z)
        if self.known:
            lacking = self.segments * self.length - self.horizon
            padded = nn.functional.pad(known, (0, 0, 0, lacking))
            z = torch.cat([z, padded.reshape(batch, origins, self.segments, -1)], -1)
        y: Tensor = self.linear(z)
        steps = y.view(batch, origins, self.segments * self.length, self.targets, self.outputs)
        return steps[:, :, : self.horizon]
