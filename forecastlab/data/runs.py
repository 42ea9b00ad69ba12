"""`Runs`: many whole numbers at equal distances, of which only the beginnings are in memory."""

import torch
from torch import Tensor


class Runs:
    """Whole numbers in runs, one run behind another, as one long vector that is computed where it is indexed.

    A panel of 100,000 series has tens of millions of windows, but one run of them for each series.

    Args:
        first: (runs,), integer: the first number of each run.
        step: from one number of a run to the next; 0 for runs of one number.
        counts: (runs,), integer, each at least 1: how many numbers a run has.
    """

    def __init__(self, first: Tensor, step: int, counts: Tensor) -> None:
        self.first = first
        self.step = step
        self.counts = counts
        self._stops = counts.cumsum(0)

    def __len__(self) -> int:
        return int(self._stops[-1]) if len(self._stops) else 0

    def __getitem__(self, places: Tensor) -> Tensor:
        """The numbers at some places, of the same shape."""
        run = torch.searchsorted(self._stops, places, right=True)
        return self.first[run] + self.step * (places - (self._stops - self.counts)[run])

    def where(self, kept: Tensor) -> "Runs":
        """Some of the numbers alone.

        Args:
            kept: (numbers,), bool: which.
        """
        joined = kept[1:] & kept[:-1]  # whether a number goes on with the run of the one before it
        joined[self._stops[:-1] - 1] = False
        begins, ends = kept.clone(), kept.clone()
        begins[1:] &= ~joined
        ends[:-1] &= ~joined
        starts = torch.nonzero(begins).flatten()
        return Runs(self[starts], self.step, torch.nonzero(ends).flatten() + 1 - starts)
