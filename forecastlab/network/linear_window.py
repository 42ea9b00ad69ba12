"""Linear maps of the targets' own past, which the network mixes."""

import torch
from torch import Tensor, nn

from forecastlab.backbones.kernels.linear import linear


class LinearWindow(nn.Module):
    """Maps the rows of a window to the steps of the horizon, the same for every target.

        one map         y = W x + b
        several maps    y = sum_k g_k (W_k x + b_k),   g = softmax(V h + c)   shares, from the encoding h of the window

    One map is NLinear (Zeng et al. 2023), if x is relative to its last value. It has to suit all series and all times.
    Several can each take a part, such as days or weeks that repeat, and the encoding tells which of them a window
    needs. Maps that are mixed are the idea of MoLE (Ni et al. 2024), whose shares follow from the time stamp of the
    window.

    The maps begin with zeros, V and c as those of `torch.nn.Linear`.

    Args:
        rows: those of a window.
        horizon: steps that are forecast.
        maps: number of maps.
        width: width of the encoding.

    Attributes:
        weight: (maps * horizon, rows): W.
        bias: (maps * horizon,): b.
        gate: V and c; None for one map.

    Source: Ni et al. 2024, Mixture-of-Linear-Experts for Long-term Time Series Forecasting, arXiv:2312.06786.
    """

    def __init__(self, rows: int, horizon: int, maps: int, width: int) -> None:
        super().__init__()
        self.maps = maps
        self.weight = nn.Parameter(torch.zeros(maps * horizon, rows))
        self.bias = nn.Parameter(torch.zeros(maps * horizon))
        self.gate = nn.Linear(width, maps) if maps > 1 else None

    def forward(self, own: Tensor, encoded: Tensor) -> Tensor:
        """The sum of the maps, each by its share.

        Args:
            own: (batch, targets, rows): the targets' own past.
            encoded: (batch, width): the encoding at the origin.

        Returns:
            (batch, targets, horizon).
        """
        mapped = linear(own, self.weight, self.bias)
        if self.gate is None:
            return mapped
        shares = torch.softmax(self.gate(encoded), -1)
        mixed: Tensor = (mapped.unflatten(-1, (self.maps, -1)) * shares[:, None, :, None]).sum(-2)
        return mixed
