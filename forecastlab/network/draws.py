"""Forecasts that are given as draws, and the random numbers behind them."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from forecastlab.losses.samples import crps_of_samples


class Draws:
    """What a loss tells of a forecast, told from draws (..., draws) of it.

    Args:
        levels: probability levels of the quantiles, ascending.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = levels

    def times(self, raw: Tensor, unit: Tensor) -> Tensor:
        """The draws of the target times a positive number, which broadcasts to (...)."""
        return raw * unit.unsqueeze(-1)

    def point(self, raw: Tensor) -> Tensor:
        """The mean, (...)."""
        return raw.mean(-1)

    def quantiles(self, raw: Tensor) -> Tensor:
        """The quantiles, (..., levels): the smallest draw that at least this share of the draws does not exceed."""
        number = raw.shape[-1]
        places = torch.tensor([math.ceil(level * number - 1e-9) - 1 for level in self.levels], device=raw.device)
        return raw.sort(-1).values.index_select(-1, places.clamp(min=0))

    def crps(self, raw: Tensor, target: Tensor) -> Tensor:
        """The continuous ranked probability score of the draws, of the shape of the target, (...)."""
        return crps_of_samples(raw, target)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Within the block, random numbers on a device follow from a seed. Those outside are as if it had not been."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if cuda else []):
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        else:
            torch.default_generator.manual_seed(seed)
        yield
