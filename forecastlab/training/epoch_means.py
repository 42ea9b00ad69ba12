"""`EpochMeans`: the weighted means of losses over an epoch, and an error for a loss that is not finite."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from forecastlab.batch import Batch
from forecastlab.errors import NotFiniteError
from forecastlab.network.finite import largest_input


class EpochMeans:
    """Adds up the mean losses of batches by name; equal on all devices at the end of an epoch.

    Lightning's own `log` averages too, and would cost more than half of a short step of training.
    """

    def __init__(self) -> None:
        self._means: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}

    def begin(self, name: str) -> None:
        """Forgets what an interrupted epoch left."""
        self._means.pop(name, None)

    def add(self, name: str, mean: Tensor, batch: Batch) -> None:
        """Adds a batch's mean to the epoch's."""
        self._means.setdefault(name, []).append((mean, batch.weight.sum(), batch.index))

    def end(self, name: str, module: Any) -> Tensor:
        """The weighted mean over all batches of all devices; a device may have had no batch.

        Raises:
            NotFiniteError: if it is infinite or not a number.
        """
        ours, trainer = self._means.get(name, []), module.trainer
        if len(ours) == 1 and trainer.world_size == 1:
            mean = ours[0][0]
        else:
            weighted = [torch.stack([mean * weight, weight]) for mean, weight, _ in ours]
            total = torch.stack([torch.zeros(2, device=module.device), *weighted]).sum(0)
            sums = trainer.strategy.reduce(total, reduce_op="sum")
            mean = sums[0] / sums[1]
        if not math.isfinite(mean.item()):
            raise self.not_finite(name, module)
        self.begin(name)
        return mean

    def not_finite(self, name: str, module: Any, batch: Batch | None = None) -> NotFiniteError:
        """The error for a loss of this epoch that is infinite or not a number; it names rows and the largest input.

        Args:
            name: of the loss.
            module: the Forecaster in training.
            batch: the samples with that loss; None if only their rows are known.
        """
        found = [(float(mean), index) for mean, _, index in self._means[name] if not mean.isfinite()]
        if not found:
            return NotFiniteError(f"{name} is not finite on another device: see there")
        value, index = found[0]
        rows = sorted({int(row) for row in index.flatten()})
        times = getattr(getattr(module.trainer, "datamodule", None), "times", None)
        largest = "" if batch is None else f"\n{largest_input(module, batch)}"
        dates = "" if times is None else f" ({times[rows[0]]:%Y-%m-%d} .. {times[rows[-1]]:%Y-%m-%d})"
        return NotFiniteError(
            f"{name} is {value} in epoch {module.trainer.current_epoch}, in the batch of the origins at rows "
            f"{spans(rows)}{dates}; nothing of this epoch is kept.\n"
            f"Look at these rows, or lower the learning rate, or set --trainer.gradient_clip_val 1{largest}"
        )


def spans(rows: Sequence[int], most: int = 40) -> str:
    """Ascending numbers as ranges: 3, 17, 40..42."""
    found: list[list[int]] = []
    for row in rows:
        if found and row == found[-1][-1] + 1:
            found[-1] = [found[-1][0], row]
        else:
            found.append([row])
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join("..".join(map(str, span)) for span in found[:most]) + more
