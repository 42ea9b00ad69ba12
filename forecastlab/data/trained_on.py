"""What trained a network: a record that its weights carry, and which rows of other data it has seen."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.fingerprint import row_keys
from forecastlab.data.folds import Fold
from forecastlab.data.panel import Panel
from forecastlab.errors import ConfigError, DataError

OPTIMISTIC = "best test epoch, optimistic"
SEEN = "seen in training"
MOST_KEYS = 65_536
"""Keys of rows that a record holds, half a megabyte; of more rows, those with the lowest keys."""
MOST_NAMES = 1_000
ENOUGH = 8
"""Keys that decide whether rows are the same; where the scored rows have fewer, those of their whole series decide."""


@dataclass(frozen=True)
class Span:
    """The first and the last time of a range of rows, both included, as text."""

    first: str
    last: str

    @classmethod
    def of(cls, times: pd.DatetimeIndex, rows: range) -> "Span | None":
        """The times of a range of rows; None for an empty one."""
        return cls(str(times[rows.start]), str(times[rows.stop - 1])) if rows else None

    def within(self, stamps: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of some times, in microseconds in UTC, lie in it."""
        return (stamps >= _microseconds(self.first)) & (stamps <= _microseconds(self.last))

    def __str__(self) -> str:
        return f"{_short(self.first)} .. {_short(self.last)}"


@dataclass(frozen=True)
class TrainedOn:
    """The rows of one training, in a form that a checkpoint and a JSON file can hold.

    Attributes:
        fold: which fold it was: a number, or "all".
        protocol: what chose the epoch: a "tail" of the training rows, the "test" rows, or "none" where nothing did.
        fit: the times whose rows trained the weights.
        validation: the times whose rows chose the epoch; None if nothing did.
        data: the times of all rows of the data.
        rows: number of rows of the axis.
        series: names of the series, the first thousand of them.
        number: number of series.
        fingerprint: digest of the data, as `forecastlab.data.fingerprint.fingerprint` makes it.
        bound: rows whose key is not above it are among the keys.
        keys: the keys of the rows of both ranges (`row_keys`), ascending, as base64 text of little-endian integers of 8
            bytes.
        by: "calendar", or "series" where each series was cut by its own end. `fit` and `validation` are then the times
            from the first of any series to the last, and the keys alone tell which rows were trained on.
        choosing: for "series", the keys of the rows that chose the epoch, which are among `keys` too; else "".
    """

    fold: int | str
    protocol: str
    fit: Span
    validation: Span | None
    data: Span
    rows: int
    series: tuple[str, ...]
    number: int
    fingerprint: str
    bound: int
    keys: str = field(repr=False)
    by: str = "calendar"
    choosing: str = field(default="", repr=False)

    @classmethod
    def of(
        cls,
        panel: Panel,
        folds: Sequence[Fold],
        *,
        fold: int | str,
        protocol: str,
        fingerprint: str,
        by: str = "calendar",
    ) -> "TrainedOn":
        """The record of a training.

        Args:
            panel: the data.
            folds: of each series, the target rows; what comes before the first training target counts as trained on.
            fold: the number of the fold, or "all".
            protocol: "tail" or "test"; what an empty validation range makes "none".
            fingerprint: of the data.
            by: whether the folds are those of the "calendar" or of each "series".
        """
        times = panel.times[: -panel.rows.horizon]
        rows = range(len(times))
        fit = Span.of(times, _around([range(each.train_start, each.fit.stop) for each in folds], rows))
        validation = Span.of(times, _around([each.validation for each in folds], rows))
        whole = Span.of(times, rows)
        assert fit is not None and whole is not None
        record = cls(
            fold=fold,
            protocol=protocol if validation else "none",
            fit=fit,
            validation=validation,
            data=whole,
            rows=len(times),
            series=tuple(panel.names[:MOST_NAMES]),
            number=len(panel.names),
            fingerprint=fingerprint,
            bound=2**64 - 1,
            keys="",
            by=by,
        )
        keys, has = row_keys(panel.rows, panel.times)
        trained = within(panel, [range(each.train_start, each.fit.stop) for each in folds])
        choosing = within(panel, [each.validation for each in folds])
        found = np.unique(keys[has & (trained | choosing)])
        if len(found) > MOST_KEYS:
            found = found[:MOST_KEYS]
            record = replace(record, bound=int(found[-1]))
        if by == "series":
            record = replace(record, choosing=_as_text(np.intersect1d(found, keys[has & choosing])))
        return replace(record, keys=_as_text(found))

    def covers(self, stamps: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of some times, in microseconds in UTC, trained the weights or chose the epoch."""
        inside = self.fit.within(stamps)
        return inside if self.validation is None else inside | self.validation.within(stamps)

    def as_dict(self) -> dict[str, Any]:
        """The record as plain data."""
        spans = {name: getattr(self, name) for name in ("fit", "validation", "data")}
        plain = {name: span and [span.first, span.last] for name, span in spans.items()}
        rest = {part.name: getattr(self, part.name) for part in fields(self) if part.name not in spans}
        return {**rest, **plain, "series": list(self.series), "bound": str(self.bound)}

    @classmethod
    def from_dict(cls, values: Any) -> "TrainedOn":
        """The inverse of `as_dict`.

        Raises:
            DataError: if the values are not those of a record.
        """
        try:
            given = {part.name: values[part.name] for part in fields(cls) if part.default is MISSING}
            spans = {name: _span(given[name]) for name in ("fit", "validation", "data")}
            given.update({name: values[name] for name in ("by", "choosing") if name in values})
            record = cls(**{**given, **spans, "series": tuple(map(str, given["series"])), "bound": int(given["bound"])})
            record.known()
            record.chosen_by()
            for span in filter(None, (record.fit, record.validation, record.data)):
                span.within(np.zeros(1, np.int64))
            if (
                record.fit is None
                or record.data is None
                or not all(type(x) is int for x in (record.rows, record.number))
            ):
                raise ValueError("a part is missing")
        except (TypeError, KeyError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise DataError(f"the record of what trained the weights is damaged ({error})") from None
        return record

    def known(self) -> NDArray[np.uint64]:
        """The keys as numbers."""
        return _as_numbers(self.keys)

    def chosen_by(self) -> NDArray[np.uint64]:
        """The keys of `choosing` as numbers."""
        return _as_numbers(self.choosing)


def _as_text(keys: NDArray[np.uint64]) -> str:
    return base64.b64encode(keys.astype("<u8").tobytes()).decode()


def _as_numbers(text: str) -> NDArray[np.uint64]:
    return np.frombuffer(base64.b64decode(text, validate=True), "<u8").astype(np.uint64)


def _around(ranges: Sequence[range], rows: range) -> range:
    """The rows from the first of any range to the last of any, of those that there are."""
    ranges = [found for each in ranges if (found := range(max(each.start, rows.start), min(each.stop, rows.stop)))]
    return range(min(each.start for each in ranges), max(each.stop for each in ranges)) if ranges else range(0)


def within(panel: Panel, ranges: Sequence[range]) -> NDArray[np.bool_]:
    """(flat rows,): whether each row of the panel lies in a range of its series.

    Args:
        panel: the data.
        ranges: of each series, rows of the panel's axis.
    """
    series, axis = _numbered(panel)
    starts, stops = (np.array(ends)[series] for ends in zip(*((each.start, each.stop) for each in ranges), strict=True))
    inside: NDArray[np.bool_] = (axis >= starts) & (axis < stops)
    return inside


def _span(ends: Any) -> Span | None:
    return None if ends is None else Span(*map(str, ends))


def records_of(checkpoint: Mapping[str, Any]) -> tuple[TrainedOn, ...]:
    """The records that a checkpoint or an export holds; () if it was written before there were any.

    Raises:
        DataError: if they are damaged.
    """
    held = checkpoint.get("trained_on", [])
    if not isinstance(held, list):
        raise DataError("the record of what trained the weights is damaged (it is no list)")
    return tuple(map(TrainedOn.from_dict, held))


@dataclass(frozen=True)
class Seen:
    """How many rows to be scored a network has seen; a row of a series counts once.

    Attributes:
        stage: "test" or "validation".
        fold: the fold whose rows are scored.
        rows: number of observed target rows of the range.
        fitted: how many of these trained the weights.
        stopped: how many chose the epoch as the tail of a training.
        chosen: how many chose the epoch as the test rows.
        differing: how many lie within the trained times of a series of the same name, with other values.
        span: the times of those that were fitted or stopped; None if there are none.
        trained: the record of the training that saw most of them; None if none did.
        recorded: whether the weights carry a record.
    """

    stage: str
    fold: int | str
    rows: int
    fitted: int
    stopped: int
    chosen: int
    differing: int
    span: Span | None
    trained: TrainedOn | None
    recorded: bool

    @property
    def counted(self) -> int:
        """Rows whose score would be none: in a validation, those of the tail are what it is for."""
        return self.fitted + (self.stopped if self.stage == "test" else 0)

    @property
    def metrics(self) -> dict[str, float]:
        """What stands beside the metrics of such rows: the shares `test/seen` and `test/optimistic`, where not 0."""
        shares = {"test/seen": self.counted, "test/optimistic": self.chosen}
        return {name: count / self.rows for name, count in shares.items() if count}

    @property
    def notes(self) -> list[str]:
        """What must stand by the score, in sentences."""
        notes = []
        if self.counted:
            notes.append(f"{SEEN}: {self._which()}; their errors say nothing about new rows")
        if self.chosen and self.stage == "test":
            notes.append(
                f"{OPTIMISTIC}: the epoch was chosen by the errors on {_of(self.chosen, self.rows)} scored rows "
                "themselves (validation: test), which looks better than new rows would"
            )
        return notes

    @property
    def doubts(self) -> list[str]:
        """What cannot be known of the rows, in sentences."""
        if not self.recorded:
            return [
                "the weights carry no record of what trained them (an earlier version wrote them): whether they have "
                "seen the scored rows cannot be checked"
            ]
        if self.differing and not self.counted:
            return [
                f"{_of(self.differing, self.rows)} rows to score lie within the times that trained the weights, but "
                "their values differ: they are taken for other data"
            ]
        return []

    def require_none(self) -> None:
        """Refuses to score rows that the network has seen.

        Raises:
            ConfigError: if there are any; it says which, and what to do.
        """
        if not self.counted or self.trained is None:
            return
        command = "test" if self.stage == "test" else "validate"
        if self.trained.fold == "all":
            advice = (
                "fold: all leaves no row of its data to score: estimate the error with forecastlab crossval of the "
                f"same config, or give a file that goes on after {_short(self.trained.data.last)} and --data.fold 1 "
                "--data.cutoffs '[its first new time]'"
            )
        else:
            rows = "test rows" if self.stage == "test" else "validation rows"
            end = (self.trained.validation if self.trained.protocol == "tail" else None) or self.trained.fit
            advice = (
                f"{command} the {rows} of the fold it was trained for (fold {self.trained.fold}: leave settings of the "
                f"data out), or rows after {_short(end.last)}"
            )
        raise ConfigError(
            f"{self._which()}, so their errors would be no score.\n"
            f"Do one of these: {advice}.\n"
            f"--allow-seen scores them nevertheless, marked as {SEEN} (in Python: model.allow_seen = True)"
        )

    def _which(self) -> str:
        return (
            f"{_of(self.counted, self.rows)} {self.stage} rows of fold {self.fold} ({self.span}) are rows that these "
            "weights were trained on"
        )


def seen(records: Sequence[TrainedOn], panel: Panel, targets: Sequence[range], *, stage: str, fold: int | str) -> Seen:
    """Which rows of a range some trainings have seen, told by their times and values, not by names.

    A series counts as the one of a training if at least half of its keys within the trained times are among the
    record's: those of the rows to be scored, or of the whole series where these are few; the name decides where there
    is no key at all.

    Args:
        records: the trainings.
        panel: the data.
        targets: of each series, the rows of the axis that are to be scored.
        stage: "test" or "validation".
        fold: the fold whose rows they are.
    """
    stamps, series = _located(panel)
    _, axis = _numbered(panel)
    scored = panel.rows.observed.numpy().any(1) & within(panel, targets)
    fitted, stopped, chosen, differing = (np.zeros(len(scored), np.bool_) for _ in range(4))
    most, trained = 0, None
    keys, has = row_keys(panel.rows, panel.times) if records else (stamps.view(np.uint64), scored)
    for record in records:
        covered = record.covers(stamps)
        known = has & covered & (keys <= np.uint64(record.bound))
        hit = known & np.isin(keys, record.known())
        if record.by == "series":  # a row is one that was trained on if its key says so: times differ by series
            ours, theirs = scored & hit, np.zeros_like(scored)
            fit = ours & ~np.isin(keys, record.chosen_by())
        else:
            same = _same(panel, record, series, scored, known, hit)[series]
            ours, theirs = scored & covered & same, scored & covered & ~same
            fit = ours & record.fit.within(stamps)
        fitted |= fit
        if record.protocol == "tail":
            stopped |= ours & ~fit
        else:
            chosen |= ours & ~fit
        differing |= theirs & np.isin(series, [n for n, name in enumerate(panel.names) if name in record.series])
        if (count := int(ours.sum())) > most:
            most, trained = count, record
    stopped &= ~fitted
    chosen &= ~fitted & ~stopped
    bad = fitted | stopped if stage == "test" else fitted
    found = np.unique(axis[bad])
    return Seen(
        stage=stage,
        fold=fold,
        rows=int(scored.sum()),
        fitted=int(fitted.sum()),
        stopped=int(stopped.sum()),
        chosen=int(chosen.sum()),
        differing=int(differing.sum()),
        span=Span(str(panel.times[found[0]]), str(panel.times[found[-1]])) if len(found) else None,
        trained=trained,
        recorded=bool(records),
    )


def require_same(records: Sequence[TrainedOn], now: TrainedOn) -> None:
    """Refuses to go on with a training on other rows than it began with.

    Args:
        records: those of the checkpoint; without any, nothing is known.
        now: what the training would be on now.

    Raises:
        ConfigError: if they differ; it says how.
    """
    if not records or records[-1] == now:
        return
    then = records[-1]
    changed = [
        f"{what} {before} then, {after} now"
        for what, before, after in (
            ("data:", _described(then), _described(now)),
            ("folds by", then.by, now.by),
            ("rows that fit:", then.fit, now.fit),
            ("rows that validate:", then.validation or "none", now.validation or "none"),
            ("validation:", then.protocol, now.protocol),
        )
        if before != after
    ]
    if not changed and then.fingerprint != now.fingerprint:
        changed = [f"data: {_described(now)}, whose values or columns were others then"]
    if not changed:
        return
    raise ConfigError(
        "a training goes on with the rows it began with, and these are others:\n"
        + "\n".join(f"  {line}" for line in changed)
        + "\nLeave settings of the data out to go on, or begin a new run with these weights: "
        "--model.weights_from CHECKPOINT instead of --ckpt_path"
    )


def _same(
    panel: Panel,
    record: TrainedOn,
    series: NDArray[np.int64],
    scored: NDArray[np.bool_],
    known: NDArray[np.bool_],
    hit: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """(series,): whether each is one that was trained on."""

    def counts(which: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(series[which], minlength=len(panel.names))

    total, hits = counts(known & scored), counts(hit & scored)
    few = total < ENOUGH
    total, hits = np.where(few, counts(known), total), np.where(few, counts(hit), hits)
    named = np.array([name in record.series for name in panel.names])
    return np.where(total > 0, 2 * hits >= total, named)


def _numbered(panel: Panel) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(flat rows,): the number of the series, and the row of the axis."""
    rows = panel.rows
    lengths = (rows.stop - rows.first).numpy() + rows.horizon
    series = np.repeat(np.arange(len(lengths)), lengths)
    return series, np.arange(len(series)) - rows.base.numpy()[series]


def _located(panel: Panel) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(flat rows,): the time of each in microseconds in UTC, and the number of its series."""
    series, axis = _numbered(panel)
    return panel.times.as_unit("us").asi8[np.minimum(axis, len(panel.times) - 1)], series


def _microseconds(time: str) -> int:
    return int(pd.Timestamp(time).asm8.astype("datetime64[us]").astype(np.int64))


def _short(time: str) -> str:
    """A time without its hour, where that is midnight."""
    return time.removesuffix(" 00:00:00")


def _of(some: int, all_: int) -> str:
    return f"all {all_}" if some == all_ else f"{some} of {all_}"


def _described(record: TrainedOn) -> str:
    several = f" of {record.number} series" if record.number > 1 else ""
    return f"{record.rows} rows{several}, {record.data}"
