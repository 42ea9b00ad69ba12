"""`Calibration`: fits the intervals of a network to the errors of a validation."""

from typing import Any

import torch
from torch import Tensor

from forecastlab.batch import Batch
from forecastlab.errors import ConfigError
from forecastlab.network.network import Network
from forecastlab.network.scaled import Scaled


class Calibration:
    """Collects the errors of a validation's batches, over all devices."""

    def __init__(self) -> None:
        self._errors: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def begin(self) -> None:
        """Forgets what an interrupted validation left."""
        self._errors.clear()

    def add(self, network: Network, raw: Tensor, batch: Batch, scaled: Scaled) -> None:
        """Adds the errors of a batch.

        Args:
            network: the network, which has intervals.
            raw: (batch, origins, horizon, targets, outputs), what it gave.
            batch: the samples.
            scaled: the same in the network's units.
        """
        series = batch.series.repeat_interleave(batch.index.shape[1])
        least = network.in_least_unit(scaled).expand(-1, batch.index.shape[1], -1).flatten(0, 1)
        self._errors.append((network.errors(raw, scaled).flatten(0, 1), batch.weight.flatten(0, 1), series, least))

    def end(self, network: Network, devices: int) -> None:
        """Fits the intervals.

        Args:
            network: the network, which has intervals.
            devices: number of processes that validate.

        Raises:
            ConfigError: if the errors are too few.
        """
        assert network.intervals is not None
        gathered: list[Any] = [self._errors]
        if devices > 1:
            gathered = [None] * devices
            ours = [tuple(part.cpu() for part in parts) for parts in self._errors]
            torch.distributed.all_gather_object(gathered, ours)
        found = zip(*(parts for rank in gathered for parts in rank), strict=True)
        errors, weight, series, least = (torch.cat(part) for part in found)
        self.begin()
        try:
            network.intervals.fit(errors, weight, series, least)
        except ValueError as error:
            raise ConfigError(f"model.intervals: {error}") from None
