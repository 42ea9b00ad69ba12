"""Samples cut from tensors: windows of a fixed lookback, or one sequence in which every step is an origin."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from forecastlab.batch import Batch
from forecastlab.data.table import Table, elapsed


@dataclass(frozen=True)
class Rows:
    """One series as tensors, in original units; those that reach `horizon` rows beyond the data are filled there.

    Attributes:
        features: (rows, features)
        known: (rows + horizon, known)
        target: (rows + horizon, targets)
        weight: (rows + horizon, targets): 1 where the target was observed, 0 where it was filled or lies ahead.
        elapsed: (rows + horizon,), integer: calendar periods since the first row.
        horizon: number of steps predicted from each origin.
    """

    features: Tensor
    known: Tensor
    target: Tensor
    weight: Tensor
    elapsed: Tensor
    horizon: int

    @classmethod
    def of_table(cls, table: Table, features: Sequence[str], targets: Sequence[str], known: pd.DataFrame) -> "Rows":
        """Takes the columns out of a table.

        Args:
            table: the series.
            features: columns of the table that are inputs; the known covariates follow them.
            targets: columns of the table to predict.
            known: (rows + horizon, known), the covariates known in advance.
        """
        rows = len(table.times)
        horizon = len(known) - rows
        periods = elapsed(table.times, table.frequency)
        ahead = np.arange(1, horizon + 1)
        past = [table.values[list(features)].to_numpy(), known.to_numpy()[:rows]]
        return cls(
            features=_float(np.concatenate(past, 1)),
            known=_float(known.to_numpy()),
            target=_float(np.pad(table.values[list(targets)].to_numpy(), ((0, horizon), (0, 0)), mode="edge")),
            weight=_float(np.pad(table.observed[list(targets)].to_numpy(), ((0, horizon), (0, 0)))),
            elapsed=torch.as_tensor(np.concatenate([periods, periods[-1] + ahead])),
            horizon=horizon,
        )


class Windows(Dataset[Batch]):
    """Samples of equal length, all of a batch cut by one index operation per tensor.

    Args:
        rows: the series.
        ends: (samples,), integer: row of the last origin of each sample.
        time: length of a sample's history.
        origins: number of origins at the end of each history.
        score_gaps: whether targets are scored that do not follow their origin on the calendar.
    """

    def __init__(self, rows: Rows, ends: Tensor, time: int, origins: int = 1, score_gaps: bool = True) -> None:
        self.rows = rows
        self.ends = ends
        self.score_gaps = score_gaps
        self._history = torch.arange(1 - time, 1)
        self._origins = torch.arange(1 - origins, 1)
        self._steps = torch.arange(1, rows.horizon + 1)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, samples: list[int] | int) -> Batch:
        """A batch of the samples of these numbers; of one, where Lightning puts a sampler of its own (overfitting)."""
        rows, ends = self.rows, self.ends[samples].reshape(-1)
        index, ahead = self._index(ends)
        return Batch(
            history=rows.features[ends[:, None] + self._history],
            known=rows.known[ahead],
            static=torch.empty(len(ends), 0),
            last=rows.target[index],
            target=rows.target[ahead],
            weight=self._weight(index, ahead),
            index=index,
            series=torch.zeros(len(ends), dtype=torch.int64),
        )

    def scored(self) -> "Windows":
        """The samples in which a target counts: a batch of none but the others would have no mean loss."""
        counts = self._weight(*self._index(self.ends)).flatten(1).any(1)
        return Windows(self.rows, self.ends[counts], len(self._history), len(self._origins), self.score_gaps)

    def _index(self, ends: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the origins, (samples, origins), and of their targets, (samples, origins, horizon)."""
        index = ends[:, None] + self._origins
        return index, index[:, :, None] + self._steps

    def _weight(self, index: Tensor, ahead: Tensor) -> Tensor:
        weight = self.rows.weight[ahead]
        if self.score_gaps:
            return weight
        consecutive = self.rows.elapsed[ahead] - self.rows.elapsed[index][:, :, None] == self._steps
        return weight * consecutive[..., None]


class BatchSampler(DistributedSampler[list[int]]):
    """Sample numbers of each batch of one process; every sample is given once, to one process only.

    In training each step's samples are shared out over the processes, and no process runs out of batches before
    another; a last step that would leave a process less than two samples (batch normalisation needs two) is merged
    into the one before, unless `batch_size` is 1. It is a `DistributedSampler` because Lightning splits up anything
    else once more, so that samples would be lost.

    Args:
        samples: number of samples.
        batch_size: samples per batch and process.
        seed: seed of the order, which depends on it and the epoch alone; None keeps the order and lets a process run
            out before another, as evaluation may.
        epoch: number of the first epoch.
        rank: number of this process.
        processes: number of processes.
    """

    def __init__(
        self, samples: int, batch_size: int, seed: int | None = None, epoch: int = 0, rank: int = 0, processes: int = 1
    ) -> None:
        self._samples = samples
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = epoch
        self._rank = rank
        self._processes = processes

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of an epoch; Lightning calls it before each."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._steps())

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.arange(self._samples)
        if self._seed is not None:
            order = torch.randperm(
                self._samples, generator=torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
            )
        for start, stop in self._steps():
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


def _float(values: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))  # a copy: pandas hands out read-only views
