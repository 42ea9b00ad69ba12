"""Samples cut from tensors: windows of a fixed lookback, or one sequence in which every step is an origin."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from forecastlab.batch import Batch, Schema
from forecastlab.data.table import Table, elapsed

_AT_ONCE = 1 << 14
"""Origins whose weights are looked at together."""

_NEVER = np.int32(1 << 30)
"""Behind every row; half of what an int32 holds, so that the first row of a series can be added."""


@dataclass(frozen=True)
class Rows:
    """One or more series as flat tensors, in original units, one after another.

    Each series takes its own rows and `horizon` more behind them, which are filled. A row of the common axis of all
    series is found at `base` + row. A row takes 4 bytes per feature, known covariate and target, 1 per target and 4
    more, and with interpolated gaps another 8 per feature.

    Attributes:
        features: (flat rows, features)
        known: (flat rows, known)
        target: (flat rows, targets)
        observed: (flat rows, targets), bool: False where the target was filled or lies ahead.
        elapsed: (flat rows,), integer: calendar periods since the first row of the axis.
        static: (series, static)
        base: (series,), integer: the flat row of row 0 of the axis, which may lie before the series' first.
        first: (series,), integer: first row of each series on the axis.
        stop: (series,), integer: one past its last row.
        known_stop: (series,), integer: one past the last row whose known covariates are there.
        horizon: number of steps predicted from each origin.
        later: (flat rows, features): values with gaps interpolated; None where there is no such gap.
        settled: (flat rows, features), integer: the flat row from which on `later` is known; None likewise.
    """

    features: Tensor
    known: Tensor
    target: Tensor
    observed: Tensor
    elapsed: Tensor
    static: Tensor
    base: Tensor
    first: Tensor
    stop: Tensor
    known_stop: Tensor
    horizon: int
    later: Tensor | None = None
    settled: Tensor | None = None

    @classmethod
    def of_tables(
        cls, tables: Sequence[Table], times: pd.DatetimeIndex, schema: Schema, calendar: pd.DataFrame, mask: bool
    ) -> "Rows":
        """Takes the columns out of tables.

        Args:
            tables: the series.
            times: (rows + horizon,): the common axis.
            schema: names of the columns. Known covariates are columns of the table or of `calendar`.
            calendar: (rows + horizon, columns), covariates that follow from the times.
            mask: whether the features <name>_observed tell which values were observed.
        """
        horizon = schema.horizon
        firsts = times.get_indexer(pd.DatetimeIndex([table.times[0] for table in tables]))
        lengths = np.array([len(table.times) for table in tables])
        gaps = any(table.later is not None for table in tables)
        parts = [
            _part(table, int(first), horizon, schema, calendar, mask, gaps)
            for table, first in zip(tables, firsts, strict=True)
        ]
        begins = np.cumsum(lengths + horizon) - lengths - horizon
        later = settled = None
        if gaps:
            later = torch.cat([part["later"] for part in parts])
            settled = torch.cat([part["settled"] + int(begin) for part, begin in zip(parts, begins, strict=True)])
        ahead = [min(len(table.ahead), horizon) if _in_file(schema, calendar) else horizon for table in tables]
        return cls(
            features=torch.cat([part["features"] for part in parts]),
            known=torch.cat([part["known"] for part in parts]),
            target=torch.cat([part["target"] for part in parts]),
            observed=torch.cat([part["observed"] for part in parts]),
            elapsed=torch.cat([part["elapsed"] for part in parts]),
            static=_float([[table.static[name] for name in schema.static] for table in tables]),
            base=torch.as_tensor(begins - firsts),
            first=torch.as_tensor(firsts),
            stop=torch.as_tensor(firsts + lengths),
            known_stop=torch.as_tensor(firsts + lengths + ahead),
            horizon=horizon,
            later=later,
            settled=settled,
        )


def _in_file(schema: Schema, calendar: pd.DataFrame) -> list[str]:
    """Names of the known covariates that the times do not tell."""
    return [name for name in schema.known if name not in calendar.columns]


def _part(
    table: Table, first: int, horizon: int, schema: Schema, calendar: pd.DataFrame, mask: bool, gaps: bool
) -> dict[str, Tensor]:
    """The tensors of one series."""
    rows = len(table.times)
    own = calendar.iloc[first : first + rows + horizon]
    in_file = _in_file(schema, calendar)
    known = pd.concat([table.values[in_file], table.ahead[in_file].iloc[:horizon]]) if in_file else own[[]]
    columns = [
        _padded(known[name].to_numpy(), rows + horizon) if name in in_file else own[name].to_numpy()
        for name in schema.known
    ]
    covariates = _float(np.stack(columns, 1) if columns else np.empty((rows + horizon, 0)))
    past = [name for name in schema.features if name in table.values.columns and name not in schema.known]
    indicators = table.observed[past].to_numpy(np.float32) if mask else np.empty((rows, 0), np.float32)

    def with_known(values: pd.DataFrame) -> Tensor:
        own_values = np.concatenate([values[past].to_numpy(np.float32), indicators], 1)
        return torch.cat([_float(_padded(own_values, rows + horizon)), covariates], 1)

    periods = elapsed(table.times, table.frequency)
    ahead = periods[-1] + np.arange(1, horizon + 1)
    targets = list(schema.targets)
    part = {
        "features": with_known(table.values),
        "known": covariates,
        "target": _float(_padded(table.values[targets].to_numpy(), rows + horizon)),
        "observed": torch.from_numpy(np.pad(table.observed[targets].to_numpy(), ((0, horizon), (0, 0)))),
        "elapsed": torch.from_numpy((first + np.concatenate([periods, ahead])).astype(np.int32)),
    }
    if gaps:
        part["later"] = with_known(table.values if table.later is None else table.later)
        following = np.where(table.observed[past].to_numpy(), np.arange(rows, dtype=np.int32)[:, None], _NEVER)
        settled = np.zeros(part["features"].shape, np.int32)
        settled[:rows, : len(past)] = np.minimum.accumulate(following[::-1], axis=0)[::-1]
        part["settled"] = torch.from_numpy(settled)
    return part


class Windows(Dataset[Batch]):
    """Samples, all of a batch cut by one index operation per tensor; a sample takes 32 bytes until then.

    Those of a batch that differ in length are padded on the right by their last row, from which nothing is scored.

    Args:
        rows: the series.
        series: (samples,), integer: number of each sample's series.
        begins: (samples,), integer: first row of each history.
        origins: (samples,), integer: first row of each history from which is forecast.
        ends: (samples,), integer: last row of each history, and last origin.
        score_gaps: whether targets are scored that do not follow their origin on the calendar.
    """

    def __init__(
        self, rows: Rows, series: Tensor, begins: Tensor, origins: Tensor, ends: Tensor, score_gaps: bool = True
    ) -> None:
        self.rows = rows
        self.series = series
        self.begins = begins
        self.origins = origins
        self.ends = ends
        self.score_gaps = score_gaps
        self._steps = torch.arange(1, rows.horizon + 1)
        lengths = torch.stack([ends - begins, origins - begins])
        self._alike = tuple(lengths[:, 0].tolist()) if len(ends) and (lengths == lengths[:, :1]).all() else None

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, samples: list[int] | int) -> Batch:
        """A batch of the samples of these numbers; of one, where Lightning puts a sampler of its own (overfitting)."""
        chosen = torch.as_tensor(samples).reshape(-1)
        rows, series = self.rows, self.series[chosen]
        history, origins, counts = self._cut(chosen)
        base = rows.base[series, None]
        index = history[:, -origins:]
        ahead = (base + index)[:, :, None] + self._steps
        return Batch(
            history=self._features(base + history),
            known=rows.known[ahead],
            static=rows.static[series],
            last=rows.target[base + index],
            target=rows.target[ahead],
            weight=self._weight(base + index, ahead, counts),
            index=index,
            series=series,
        )

    def scored(self) -> "Windows":
        """The samples in which a target counts: a batch of none but the others would have no mean loss."""
        if not len(self):
            return self
        keep = []
        longest = int((self.ends - self.origins).max()) + 1
        for chosen in torch.arange(len(self)).split(max(1, _AT_ONCE // longest)):
            history, steps, counts = self._cut(chosen)
            index = self.rows.base[self.series[chosen], None] + history[:, -steps:]
            keep.append(self._weight(index, index[:, :, None] + self._steps, counts).flatten(1).any(1))
        kept = torch.cat(keep)
        series, begins, origins, ends = (part[kept] for part in (self.series, self.begins, self.origins, self.ends))
        return Windows(self.rows, series, begins, origins, ends, self.score_gaps)

    def _cut(self, chosen: Tensor) -> tuple[Tensor, int, Tensor | None]:
        """Rows of the histories, (samples, time); number of origins; which of them count, (samples, origins)."""
        ends, begins = self.ends[chosen, None], self.begins[chosen, None]
        if self._alike:
            last, first = self._alike
            return ends + torch.arange(-last, 1), last - first + 1, None
        time = int((ends - begins).max()) + 1
        first = int((self.origins[chosen, None] - begins).min())
        unpadded = begins + torch.arange(time)
        counts = (unpadded <= ends) & (unpadded >= self.origins[chosen, None])
        return torch.minimum(unpadded, ends), time - first, counts[:, first:]

    def _features(self, flat: Tensor) -> Tensor:
        """(samples, time, features) as they are known at the end of each history."""
        rows = self.rows
        if rows.later is None or rows.settled is None:
            return rows.features[flat]
        return torch.where(rows.settled[flat] <= flat[:, -1:, None], rows.later[flat], rows.features[flat])

    def _weight(self, index: Tensor, ahead: Tensor, counts: Tensor | None) -> Tensor:
        """(samples, origins, horizon, targets), of flat rows of the origins and of their targets."""
        weight = self.rows.observed[ahead]
        if not self.score_gaps:
            consecutive = self.rows.elapsed[ahead] - self.rows.elapsed[index][:, :, None] == self._steps
            weight = weight & consecutive[..., None]
        if counts is not None:
            weight = weight & counts[:, :, None, None]
        return weight.float()


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


def _padded(values: NDArray[np.generic], rows: int) -> NDArray[np.generic]:
    """Repeats the last row until there are so many."""
    return np.pad(values, ((0, rows - len(values)), *[(0, 0)] * (values.ndim - 1)), mode="edge")


def _float(values: ArrayLike) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))  # a copy: pandas hands out read-only views
