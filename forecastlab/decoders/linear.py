"""The direct linear decoder."""

import torch
from torch import Tensor

from forecastlab.backbones.kernels import linear
from forecastlab.decoders.base import Decoder


class Linear(Decoder):
    """Direct multi-horizon forecast: one linear layer over the encoding at the origin and the known covariates.

    It forecasts all steps at once. It reads the encoding at the origin and the known covariates of all steps.
    """

    def __init__(self, width: int, horizon: int, targets: int, known: int, outputs: int) -> None:
        super().__init__(width, horizon, targets, known, outputs)
        self.linear = linear.Linear(width + horizon * known, horizon * targets * outputs)

    def forward(self, encoded: Tensor, known: Tensor, last: Tensor, target: Tensor | None = None) -> Tensor:
        x = encoded[:, -known.shape[1] :]
        y: Tensor = self.linear(torch.cat([x, known.flatten(2)], -1) if self.known else x)
        return y.view(*y.shape[:2], self.horizon, self.targets, self.outputs)
