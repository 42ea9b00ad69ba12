"""Samples cut from tensors: windows of a fixed lookback, or one sequence in which every step is an origin."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from forecastlab.adapters.torch import writes
from forecastlab.batch import Batch, Schema
from forecastlab.data.maps import Maps
from forecastlab.data.runs import Runs
from forecastlab.data.since import since_row_before
from forecastlab.data.table import Table, elapsed

_ORIGINS_AT_ONCE = 1 << 14
"""Origins whose weights are looked at together."""

_MAPPED_AT_ONCE = 128
"""Windows of rows in files that are cut together: each may bring 64 kilobytes of every file into memory."""

_NEVER = np.int32(1 << 30)
"""Behind every row; half of what an int32 holds, so that the first row of a series can be added."""

Flat = NDArray[np.float64]
"""(flat rows, columns)"""
FLAT = ("features", "known", "target", "observed", "elapsed", "later", "settled", "weight")
"""What `Rows` hold of each flat row."""


@dataclass(frozen=True)
class Rows:
    """One or more series as flat tensors, in original units and double precision, one after another.

    Each series takes its own rows and `horizon` more behind them, which are filled. A row of the common axis of all
    series is found at `base` + row. A row takes 8 bytes per feature, known covariate and target, 1 per target and 4
    more, and with interpolated gaps another 12 per feature.

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
        padded: whether a further feature tells which rows of a window lie before the first row of its series.
        later: (flat rows, features): values with gaps interpolated; None where there is no such gap.
        settled: (flat rows, features), integer: the flat row from which on `later` is known; None likewise.
        weight: (flat rows,): how much each row counts in the loss; None where all count the same.
        maps: the files that hold what there is of each flat row; None where it is in memory.
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
    padded: bool = False
    later: Tensor | None = None
    settled: Tensor | None = None
    weight: Tensor | None = None
    maps: Maps | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: of rows in files, where these are, and no copy."""
        if self.maps is None:
            return dict(vars(self))
        return {**vars(self), **dict.fromkeys(FLAT), "maps": self.maps.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if isinstance(folder := state["maps"], Path):
            maps = Maps(folder)
            vars(self).update({name: maps.get(name) for name in FLAT}, maps=maps)

    @property
    def flat(self) -> dict[str, Tensor]:
        """What there is of each flat row, by name."""
        parts = {name: getattr(self, name) for name in FLAT}
        return {name: part for name, part in parts.items() if part is not None}

    def spans(self, starts: Sequence[int], stops: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first flat row of a range of the axis, and the number of its rows, of the rows that each series has.

        Args:
            starts: of each series, the first row of the range.
            stops: of each series, one past the last.
        """
        first, end = self.first.numpy(), self.stop.numpy()
        begins, behind = (np.clip(np.array(rows), first, end) for rows in (starts, stops))
        return self.base.numpy() + begins, behind - begins

    def of_series(self, start: int, stop: int) -> "Rows":
        """Some series that follow each other, start .. stop - 1, with their own rows; nothing is copied."""
        own, begin = slice(start, stop), int(self.base[start] + self.first[start])
        flat = slice(begin, int(self.base[stop - 1] + self.stop[stop - 1]) + self.horizon)
        return replace(
            self,
            **{name: getattr(self, name)[flat] for name in ("features", "known", "target", "observed", "elapsed")},
            **{name: getattr(self, name)[own] for name in ("static", "first", "stop", "known_stop")},
            base=self.base[own] - begin,
            later=None if self.later is None else self.later[flat],
            settled=None if self.settled is None else self.settled[flat] - begin,
            weight=None if self.weight is None else self.weight[flat],
            maps=None,
        )

    def alike(
        self, begins: NDArray[np.int64], lengths: NDArray[np.int64], most: int = 1 << 20
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Groups of series of the same number of rows, which can be computed with at once.

        Args:
            begins: (series,), the first flat row of each.
            lengths: (series,), how many rows each has.
            most: about how many rows a group has at most.

        Yields:
            The numbers of the series, (group,), and their flat rows, (group, rows).
        """
        for length in np.unique(lengths).tolist():
            members = np.flatnonzero(lengths == length)
            for start in range(0, len(members), size := max(1, most // max(1, length))):
                group = members[start : start + size]
                yield group, begins[group, None] + np.arange(length)
                self.let_go()

    def let_go(self) -> None:
        """Lets the pages go that were read of rows in files, so that they do not add up."""
        if self.maps is not None:
            self.maps.let_go()

    @classmethod
    def of_tables(
        cls,
        tables: Sequence[Table],
        times: pd.DatetimeIndex,
        schema: Schema,
        calendar: pd.DataFrame,
        mask: bool,
        weight: str = "",
    ) -> "Rows":
        """Takes the columns out of tables.

        Args:
            tables: the series.
            times: (rows + horizon,): the common axis.
            schema: names of the columns. Known covariates are columns of the table or of `calendar`.
            calendar: (rows + horizon, columns), covariates that follow from the times.
            mask: whether the features <name>_observed tell which values were observed.
            weight: the column of the rows' weights in the loss; "" for none.
        """
        horizon = schema.horizon
        lengths = np.array([len(table.times) for table in tables])
        stops = np.cumsum(lengths + horizon)
        begins = stops - lengths - horizon
        on_axis = times.searchsorted(tables[0].times.append([table.times for table in tables[1:]]))
        firsts = on_axis[np.cumsum(lengths) - lengths]
        behind = stops[:, None] - horizon + np.arange(horizon)
        own = np.ones(stops[-1], np.bool_)
        own[behind] = False
        periods = np.empty(stops[-1], np.int32)
        by_rows = bool(schema.recipe.get("slots"))
        steps = np.arange(len(times) - horizon) if by_rows else elapsed(times[:-horizon], tables[0].frequency)
        periods[own] = steps[on_axis]
        periods[behind] = periods[behind[:, :1] - 1] + np.arange(1, horizon + 1)
        since = np.zeros((stops[-1], int(schema.elapsed)))
        if schema.elapsed:
            since[own, 0] = since_row_before(times[:-horizon], tables[0].frequency, by_rows)[on_axis]
            since[begins] = 0

        def laid(frames: Iterable[pd.DataFrame], names: Sequence[str], out: NDArray[Any]) -> None:
            _lay((_columns(frame, names) for frame in frames), stops, out)

        known = np.empty((stops[-1], len(schema.known)))
        if len(calendar.columns):
            axis_rows = np.arange(stops[-1]) - np.repeat(begins - firsts, lengths + horizon)
        for place, name in enumerate(schema.known):
            if name in calendar.columns:
                known[:, place] = calendar[name].to_numpy()[axis_rows]
        if in_file := [name for name in schema.known if name not in calendar.columns]:
            whole = (
                np.concatenate([_columns(table.values, in_file), _columns(table.ahead, in_file)[:horizon]])
                for table in tables
            )
            given = np.empty((stops[-1], len(in_file)))
            _lay(whole, stops, given)
            known[:, [schema.known.index(name) for name in in_file]] = given

        past = [name for name in schema.features if name in tables[0].values.columns and name not in schema.known]
        width = len(past)

        def inputs(frames: Iterable[pd.DataFrame]) -> Flat:
            # laid where they stay: of many rows, parts that are put together afterwards would be there twice
            measured = (2 if mask else 1) * width
            features = np.empty((stops[-1], measured + known.shape[1] + since.shape[1]))
            laid(frames, past, features[:, :width])
            if mask:
                laid((table.observed for table in tables), past, features[:, width:measured])
            features[:, measured : measured + known.shape[1]] = known
            features[:, measured + known.shape[1] :] = since
            return features

        features = inputs(table.values for table in tables)
        later = settled = None
        if any(table.later is not None for table in tables):
            filled = inputs(table.values if table.later is None else table.later for table in tables)
            later = torch.from_numpy(filled)
            settled = torch.from_numpy(_settled(tables, past, stops, filled.shape[1]))
        target = np.empty((stops[-1], len(schema.targets)))
        laid((table.values for table in tables), schema.targets, target)
        observed = np.empty(target.shape, np.bool_)
        laid((table.observed for table in tables), schema.targets, observed)
        observed[behind] = False
        weights = np.empty((stops[-1], 1 if weight else 0))
        if weight:
            laid((table.values for table in tables), [weight], weights)
        static = np.array([[table.static[name] for name in schema.static] for table in tables], np.float64)
        known_ahead = [min(len(table.ahead), horizon) if in_file else horizon for table in tables]
        return cls(
            features=torch.from_numpy(features),
            known=torch.from_numpy(known),
            target=torch.from_numpy(target),
            observed=torch.from_numpy(observed),
            elapsed=torch.from_numpy(periods),
            static=torch.from_numpy(static),
            base=torch.from_numpy(begins - firsts),
            first=torch.from_numpy(firsts),
            stop=torch.from_numpy(firsts + lengths),
            known_stop=torch.from_numpy(firsts + lengths + known_ahead),
            horizon=horizon,
            padded=schema.min_history is not None,
            later=later,
            settled=settled,
            weight=torch.from_numpy(weights[:, 0]) if weight else None,
        )


def _columns(frame: pd.DataFrame, names: Sequence[str]) -> NDArray[Any]:
    """(rows, names), in the order of the names."""
    places = [cast(int, frame.columns.get_loc(name)) for name in names]
    return frame.to_numpy().T[places].T  # a frame holds its columns one after another


def _lay(parts: Iterable[NDArray[Any]], stops: NDArray[np.int64], laid: NDArray[Any]) -> None:
    """Puts series one behind another, the last row of each repeated up to where the next begins."""
    begin = 0
    for part, stop in zip(parts, stops.tolist(), strict=True):
        laid[begin : begin + len(part)] = part
        laid[begin + len(part) : stop] = part[-1]
        begin = stop


def _settled(tables: Sequence[Table], names: Sequence[str], stops: NDArray[np.int64], width: int) -> NDArray[np.int32]:
    """The flat row from which on values are final, (flat rows, width); those behind the names are from the first."""
    settled = np.empty((stops[-1], width), np.int32)
    begin = 0
    for table, stop in zip(tables, stops.tolist(), strict=True):
        settled[begin:stop] = begin
        rows = np.arange(begin, begin + len(table.times), dtype=np.int32)
        following = np.where(_columns(table.observed, names), rows[:, None], begin + _NEVER)
        settled[rows, : len(names)] = np.minimum.accumulate(following[::-1], axis=0)[::-1]
        begin = stop
    return settled


class Windows(Dataset[Batch]):
    """Samples, all of a batch cut by one index operation per tensor.

    Those of a batch that differ in length are padded on the right by their last row, from which nothing is scored.

    A sample takes 32 bytes until it is cut; the windows of `at_equal_distances` take nothing.

    Args:
        rows: the series.
        series: (samples,), integer: number of each sample's series.
        begins: (samples,), integer: first row of each history; before the series' first one where it is padded.
        origins: (samples,), integer: first row of each history from which is forecast.
        ends: (samples,), integer: last row of each history, and last origin.
        score_gaps: whether targets are scored that do not follow their origin on the calendar.
        unit: what the weights of the rows are divided by; None where all rows count the same.
    """

    def __init__(
        self,
        rows: Rows,
        series: Tensor | Runs,
        begins: Tensor | Runs,
        origins: Tensor | Runs,
        ends: Tensor | Runs,
        score_gaps: bool = True,
        unit: float | None = None,
    ) -> None:
        self.rows = rows
        self._series = series
        self._begins = begins
        self._origins = origins
        self._ends = ends
        self.score_gaps = score_gaps
        self.unit = unit
        self._steps = torch.arange(1, rows.horizon + 1)
        lengths = torch.stack([_firsts(ends) - _firsts(begins), _firsts(origins) - _firsts(begins)])
        self._alike = tuple(lengths[:, 0].tolist()) if len(ends) and (lengths == lengths[:, :1]).all() else None
        self._only: tuple[Batch, list[int]] | None = None

    @classmethod
    def at_equal_distances(
        cls, rows: Rows, series: Tensor, first: Tensor, step: int, counts: Tensor, lookback: int, score_gaps: bool
    ) -> "Windows":
        """Windows of one length and one origin, at equal distances within each series.

        Args:
            rows: the series.
            series: (some series,), integer: their numbers.
            first: (some series,), integer: the last row of the first window of each.
            step: rows from one window to the next.
            counts: (some series,), integer, each at least 1: number of windows of each.
            lookback: rows in a window.
            score_gaps: as for the class.
        """
        ends = Runs(first, step, counts)
        return cls(
            rows, Runs(series, 0, counts), Runs(first + 1 - lookback, step, counts), ends, ends, score_gaps=score_gaps
        )

    @property
    def series(self) -> Tensor:
        """(samples,), integer: number of each sample's series."""
        return _laid_out(self._series)

    @property
    def begins(self) -> Tensor:
        """(samples,), integer: first row of each history."""
        return _laid_out(self._begins)

    @property
    def origins(self) -> Tensor:
        """(samples,), integer: first row of each history from which is forecast."""
        return _laid_out(self._origins)

    @property
    def ends(self) -> Tensor:
        """(samples,), integer: last row of each history."""
        return _laid_out(self._ends)

    def __len__(self) -> int:
        return len(self._ends)

    def counts(self) -> tuple[Tensor, Tensor]:
        """Numbers of the series that have samples, and how many each has; the samples of a series stand together."""
        if isinstance(self._series, Tensor):
            series, counts = self._series.unique_consecutive(return_counts=True)
            return series, counts
        series, place = self._series.first.unique_consecutive(return_inverse=True)
        return series, torch.zeros_like(series).index_add_(0, place, self._series.counts)

    def __getitem__(self, samples: list[int] | int) -> Batch:
        """A batch of the samples of these numbers; of one, where Lightning puts a sampler of its own (overfitting).

        Where there is one sample only, such as a whole sequence, it is kept, and cut again if somebody changed it.
        """
        if len(self) > 1 or samples not in (0, [0]):
            return self._batch(samples)
        if self._only is not None and _versions(self._only[0]) == self._only[1]:
            return self._only[0]
        batch = self._batch(samples)
        if not torch.is_inference_mode_enabled():  # its tensors would be of no use in training
            self._only = batch, _versions(batch)
        return batch

    def _batch(self, samples: list[int] | int) -> Batch:
        chosen = torch.as_tensor(samples).reshape(-1)
        if self.rows.maps is None:
            return self._some(chosen)
        parts = []
        for some in chosen.split(_MAPPED_AT_ONCE if self._alike else max(1, len(chosen))):
            parts.append(self._some(some))
            self.rows.let_go()
        return parts[0] if len(parts) == 1 else Batch(*map(torch.cat, zip(*parts, strict=True)))

    def _some(self, chosen: Tensor) -> Batch:
        """Samples of some numbers, (samples,), all cut at once."""
        rows, series = self.rows, self._series[chosen]
        history, origins, counts = self._cut(chosen)
        base, first = rows.base[series, None], rows.first[series, None]
        index = history[:, -origins:]
        ahead = (base + index)[:, :, None] + self._steps
        return Batch(
            history=self._features(base + torch.maximum(history, first), history < first),
            known=rows.known[ahead],
            static=rows.static[series],
            last=rows.target[base + index],
            target=rows.target[ahead],
            weight=self._weight(base + index, ahead, counts).float(),
            index=index,
            series=series,
        )

    def scored(self) -> "Windows":
        """The samples in which a target counts: a batch of none but the others would have no mean loss."""
        if not len(self):
            return self
        kept = torch.cat([weight.float().flatten(1).any(1) for weight in self._weights()])
        return self if kept.all() else self._only_those(kept)  # of many, a copy would take as much memory again

    def weighted(self, training: "Windows") -> "Windows":
        """The same samples; each target counts by the weight of its row, divided by the mean over a training's targets.

        So weights that are all equal count as 1. Rows of weight 0, which do not train, are not in the mean.

        Args:
            training: the samples that train.
        """
        if self.rows.weight is None:
            return self
        total, count = 0.0, 0
        for weight in training._in_units_of(1.0)._weights():
            total, count = total + float(weight.sum()), count + int(weight.count_nonzero())
        return self._in_units_of(total / count if count else 1.0)

    def of(self, series: Tensor) -> "Windows":
        """The samples of some series.

        Args:
            series: their numbers, integer.
        """
        if isinstance(self._series, Runs):
            return self._only_those(torch.isin(self._series.first, series).repeat_interleave(self._series.counts))
        return self._only_those(torch.isin(self._series, series))

    def _in_units_of(self, unit: float) -> "Windows":
        return Windows(self.rows, self._series, self._begins, self._origins, self._ends, self.score_gaps, unit)

    def _only_those(self, kept: Tensor) -> "Windows":
        """Some of the samples.

        Args:
            kept: (samples,), bool.
        """
        parts = (self._series, self._begins, self._origins, self._ends)
        left = [part.where(kept) if isinstance(part, Runs) else part[kept] for part in parts]
        return Windows(self.rows, left[0], left[1], left[2], left[3], self.score_gaps, self.unit)

    def _weights(self) -> Iterator[Tensor]:
        """The weights of all targets, (samples, origins, horizon, targets) of some samples after others."""
        longest = int((_firsts(self._ends) - _firsts(self._origins)).max()) + 1
        for chosen in torch.arange(len(self)).split(max(1, _ORIGINS_AT_ONCE // longest)):
            origins, counts = self._rows_of_origins(chosen)
            index = self.rows.base[self._series[chosen], None] + origins
            yield self._weight(index, index[:, :, None] + self._steps, counts)
            self.rows.let_go()

    def _rows_of_origins(self, chosen: Tensor) -> tuple[Tensor, Tensor | None]:
        """Rows of the origins, (samples, origins), and which of them count; a history, which is longer, is not cut."""
        if self._alike:
            last, first = self._alike
            return self._ends[chosen][:, None] + torch.arange(first - last, 1), None
        history, count, counts = self._cut(chosen)
        return history[:, -count:], counts

    def _cut(self, chosen: Tensor) -> tuple[Tensor, int, Tensor | None]:
        """Rows of the histories, (samples, time); number of origins; which of them count, (samples, origins)."""
        ends, begins = self._ends[chosen][:, None], self._begins[chosen][:, None]
        if self._alike:
            last, first = self._alike
            return ends + torch.arange(-last, 1), last - first + 1, None
        time = int((ends - begins).max()) + 1
        first = int((self._origins[chosen][:, None] - begins).min())
        unpadded = begins + torch.arange(time)
        counts = (unpadded <= ends) & (unpadded >= self._origins[chosen][:, None])
        return torch.minimum(unpadded, ends), time - first, counts[:, first:]

    def _features(self, flat: Tensor, before: Tensor) -> Tensor:
        """(samples, time, features) as they are known at the end of each history.

        Args:
            flat: (samples, time): the rows; the first of the series where it has none.
            before: (samples, time), bool: whether it has none.
        """
        rows = self.rows
        features = rows.features[flat]
        if rows.later is not None and rows.settled is not None:
            features = torch.where(rows.settled[flat] <= flat[:, -1:, None], rows.later[flat], features)
        return torch.cat([features, before[..., None].to(features)], -1) if rows.padded else features

    def _weight(self, index: Tensor, ahead: Tensor, counts: Tensor | None) -> Tensor:
        """(samples, origins, horizon, targets), booleans or numbers, of flat rows of origins and of their targets."""
        weight = self.rows.observed[ahead]
        if not self.score_gaps:
            consecutive = self.rows.elapsed[ahead] - self.rows.elapsed[index][:, :, None] == self._steps
            weight = weight & consecutive[..., None]
        if counts is not None:
            weight = weight & counts[:, :, None, None]
        if self.unit is None or self.rows.weight is None:
            return weight
        return weight * (self.rows.weight[ahead] / self.unit)[..., None]


def _firsts(numbers: Tensor | Runs) -> Tensor:
    """All numbers, or the first of each run: the parts of samples that lie in runs have the same runs and steps."""
    return numbers.first if isinstance(numbers, Runs) else numbers


def _laid_out(numbers: Tensor | Runs) -> Tensor:
    return numbers[torch.arange(len(numbers))] if isinstance(numbers, Runs) else numbers


def _versions(batch: Batch) -> list[int]:
    """How often each tensor was written to; views count for what they are views of."""
    return [writes(tensor) for tensor in batch]
