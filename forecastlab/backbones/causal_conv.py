"""A short convolution along time, channel by channel."""

import torch
from torch import Tensor, nn


class CausalConv(nn.Module):
    """A causal convolution along time: each channel has its own filter, which reads the present and earlier steps.

    The parameters are `weight` (width, kernel_size), oldest step first, and `bias` (width,).
    """

    def __init__(self, width: int, kernel_size: int) -> None:
        super().__init__()
        bound = kernel_size**-0.5
        self.weight = nn.Parameter(torch.empty(width, kernel_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound))

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, time, width) and the kernel_size - 1 inputs before it -> the outputs and the new last inputs."""
        time = x.shape[1]
        seen = torch.cat([past, x], 1)
        y: Tensor = self.bias
        for number, weight in enumerate(self.weight.unbind(1)):  # faster than conv1d with as many groups as channels
            y = torch.addcmul(y, seen[:, number : number + time], weight)
        return y, seen[:, time:]

    def initial_state(self, batch_size: int) -> Tensor:
        """The inputs before the first step: (batch, kernel_size - 1, width), zero."""
        width, kernel_size = self.weight.shape
        return self.weight.new_zeros(batch_size, kernel_size - 1, width)
