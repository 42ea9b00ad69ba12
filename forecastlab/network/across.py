"""A recurrent network that runs over the targets of a batch."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from forecastlab.backbones.base import Backbone


class Across(nn.Module):
    """Mixes the encodings of independent channels by a recurrent network whose steps are the targets.

        h_1 ... h_n                              the encodings of the n targets at the origin
        f = net(h_1 ... h_n),   b = net(h_n ... h_1) in reverse order         two views, the same weights
        output_k = h_k + W [f_k ; b_k]

    So each target hears of all the others, and a network of few steps does it, however long the windows are. The idea
    is that of xLSTM-Mixer (Kraus et al. 2024, arXiv:2410.16928), whose second view reverses the width of the encoding
    and not the targets. Here `net` is any backbone. W begins with zeros, so that training begins with channels that are
    independent.

    Args:
        width: width of the encodings.
        targets: number of targets.
        backbone: the network over the targets.
    """

    def __init__(self, width: int, targets: int, backbone: Callable[[int], Backbone]) -> None:
        super().__init__()
        self.targets = targets
        self.backbone = backbone(width)
        self.mix = nn.Linear(2 * self.backbone.output_size, width)
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def forward(self, encoded: Tensor) -> Tensor:
        """(batch * targets, time, width) -> the same; only the last row, the origin, changes."""
        h = encoded[:, -1].unflatten(0, (-1, self.targets))
        forwards, backwards = self.backbone(h)[0], self.backbone(h.flip(1))[0].flip(1)
        mixed = h + self.mix(torch.cat([forwards, backwards], -1))
        return torch.cat([encoded[:, :-1], mixed.flatten(0, 1).unsqueeze(1)], 1)
