"""Loaders: which samples make a batch, in which order, and on which process."""

import sys
from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, DistributedSampler

from forecastlab.batch import Batch
from forecastlab.data.sampling import WindowSampling
from forecastlab.data.windows import Windows

FORK = "fork" if sys.platform == "linux" else None
"""How a loader's processes begin: at once, and as children of the training, for whose death they watch.

In a job of `crossval`, and in later Pythons, the default is a fork server, whose children would outlive the training.
"""


def loader(
    windows: Windows,
    batch_size: int,
    *,
    seed: int,
    shuffle: bool,
    epoch: int,
    rank: int,
    processes: int,
    passes: int,
    workers: int,
    sampling: WindowSampling | None = None,
) -> DataLoader[Batch]:
    """The batches that one process gets.

    Args:
        windows: the samples.
        batch_size: samples per batch and process.
        seed: seed of the order.
        shuffle: whether the order is drawn anew for each epoch.
        epoch: number of the first epoch.
        rank: number of this process.
        processes: number of processes that share the samples.
        passes: how often an epoch goes through the samples, each time in another order.
        workers: processes that cut batches beside the training.
        sampling: draws the samples of each epoch; None if an epoch takes all of them.
    """
    order, samples = seed if shuffle else None, len(windows) if sampling is None else sampling.size
    sampler = BatchSampler(samples, batch_size, order, epoch, rank, processes, passes, sampling)
    return Loader(
        windows,
        sampler=sampler,
        batch_size=None,
        num_workers=workers,
        multiprocessing_context=FORK if workers else None,
        persistent_workers=workers > 0,
        generator=torch.Generator().manual_seed(seed),  # leaves the global one to the training
    )


class Loader(DataLoader[Batch]):
    """A DataLoader that, without worker processes, cuts each batch where it is asked for, and does no more."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # torch's own way of it takes as long as the cut
        return super().__iter__() if self.num_workers else map(self.dataset.__getitem__, self.sampler)


class BatchSampler(DistributedSampler[list[int]]):
    """Sample numbers of each batch of one process; every sample is given once, to one process only.

    In training each step's samples are shared out over the processes, and no process runs out of batches before
    another; a last step that would leave a process less than two samples (batch normalisation needs two) is merged
    into the one before, unless `batch_size` is 1. It is a `DistributedSampler` because Lightning splits up anything
    else once more, so that samples would be lost.

    Args:
        samples: number of samples.
        batch_size: samples per batch and process.
        seed: seed of the order, which depends on it and the pass alone; None keeps the order and lets a process run
            out before another, as evaluation may.
        epoch: number of the first epoch.
        rank: number of this process.
        processes: number of processes.
        passes: how often an epoch goes through the samples, each time in another order.
        sampling: draws the samples of an epoch, which are `samples`, from more; None if there are no more.
    """

    def __init__(
        self,
        samples: int,
        batch_size: int,
        seed: int | None = None,
        epoch: int = 0,
        rank: int = 0,
        processes: int = 1,
        passes: int = 1,
        sampling: WindowSampling | None = None,
    ) -> None:
        self._samples = samples
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = epoch
        self._rank = rank
        self._processes = processes
        self._passes = passes
        self._sampling = sampling

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of an epoch; Lightning calls it before each."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._steps()) * self._passes

    def __iter__(self) -> Iterator[list[int]]:
        for number in range(self._epoch * self._passes, (self._epoch + 1) * self._passes):
            yield from self._one_pass(number)

    def _one_pass(self, number: int) -> Iterator[list[int]]:
        steps = self._steps()
        if self._seed is None or (self._samples == 1 and self._sampling is None):
            for start, stop in steps:
                yield list(range(start + self._rank, stop, self._processes))
            return
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + number)
        drawn = self._sampling
        order = torch.randperm(self._samples, generator=generator) if drawn is None else drawn.draw(generator)
        for start, stop in steps:
            yield order[start + self._rank : stop : self._processes].tolist()

    def _steps(self) -> list[tuple[int, int]]:
        """Ranges of the order that the processes share in each step."""
        starts = list(range(0, self._samples, self._batch_size * self._processes))
        if self._seed is None:
            starts = [start for start in starts if start + self._rank < self._samples]
        elif len(starts) > 1 and self._samples - starts[-1] < min(2, self._batch_size) * self._processes:
            starts.pop()
        stops = [*starts[1:], self._samples]
        return list(zip(starts, stops, strict=True)) if starts else []
