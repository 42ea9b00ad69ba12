"""`WindowSampling`: which training windows an epoch takes, if there are more than it may take."""

import torch
from torch import Tensor


class WindowSampling:
    """Draws the windows of an epoch, in random order and none twice.

    A draw depends on its generator alone. So it is the same on any number of devices, and after a resume.

    Args:
        counts: (series,), integer: how many windows each series has; those of one series stand together.
        size: number of windows that are drawn; all of them if there are not more.
        evenly: whether each series gives as many windows as another. A series that has fewer gives all of them, and the
            others share the rest. If not, all windows are as likely, so that a long series gives more than a short one.
    """

    def __init__(self, counts: Tensor, size: int, evenly: bool) -> None:
        self._windows = int(counts.sum())
        self.size = min(size, self._windows)
        self._counts = counts
        self._evenly = evenly

    def draw(self, generator: torch.Generator) -> Tensor:
        """The numbers of the windows of an epoch (size,), in the order in which they are trained on."""
        # 4 bytes a window, and the same order as of 8 bytes
        kind = torch.int32 if self._windows <= torch.iinfo(torch.int32).max else torch.int64
        order = torch.randperm(self._windows, generator=generator, dtype=kind)
        if not self._evenly or self.size == self._windows:
            return order[: self.size]
        place = torch.searchsorted(self._counts.cumsum(0), order, right=True)
        grouped = place.argsort(stable=True)  # the windows of a series together, in random order
        number = torch.arange(self._windows) - (self._counts.cumsum(0) - self._counts)[place[grouped]]
        chosen: Tensor = order[grouped[number < self._shares(generator)[place[grouped]]]]
        return chosen[torch.randperm(self.size, generator=generator)]

    def _shares(self, generator: torch.Generator) -> Tensor:
        """How many windows each series gives, (series,): equal but for one, or all that the series has."""
        low, high = 0, int(self._counts.max())
        while low < high:  # the largest equal share that is not too much
            middle = (low + high + 1) // 2
            if int(self._counts.clamp(max=middle).sum()) <= self.size:
                low = middle
            else:
                high = middle - 1
        shares: Tensor = self._counts.clamp(max=low)
        more = (self._counts > low).nonzero()[:, 0]
        lucky = torch.randperm(len(more), generator=generator)[: self.size - int(shares.sum())]
        shares[more[lucky]] += 1
        return shares
