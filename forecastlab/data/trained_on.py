"""What trained a network: the record that its weights carry."""

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

MAX_KEYS = 65_536
"""Keys of rows that a record holds, half a megabyte; of more rows, those with the lowest keys."""
MAX_NAMES = 1_000


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
        return f"{short(self.first)} .. {short(self.last)}"


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
            from the first of any series to the last, and the keys tell which rows were trained on: a row that has none
            in the record counts if rows before and behind it have one.
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
            series=tuple(panel.names[:MAX_NAMES]),
            number=len(panel.names),
            fingerprint=fingerprint,
            bound=2**64 - 1,
            keys="",
            by=by,
        )
        kept, chosen = np.empty(0, np.uint64), np.empty(0, np.uint64)
        for numbers, part in panel.parts():
            own = folds[numbers.start : numbers.stop]
            keys, has = row_keys(part.rows, part.times)
            trained = has & within(part, [range(each.train_start, each.fit.stop) for each in own])
            choosing = has & within(part, [each.validation for each in own])
            kept = _lowest(np.concatenate([kept, keys[trained | choosing]]), MAX_KEYS + 1)
            chosen = _lowest(np.concatenate([chosen, keys[choosing]]), MAX_KEYS + 1)
        if len(kept) > MAX_KEYS:
            kept = kept[:MAX_KEYS]
            record = replace(record, bound=int(kept[-1]))
        if by == "series":
            record = replace(record, choosing=_as_text(np.intersect1d(kept, chosen)))
        return replace(record, keys=_as_text(kept))

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
                record.by not in ("calendar", "series")
                or record.fit is None
                or record.data is None
                or not all(type(x) is int for x in (record.rows, record.number))
            ):
                raise ValueError("a part is missing, or is none of ours")
        except (TypeError, KeyError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise DataError(f"the record of what trained the weights is damaged ({error})") from None
        return record

    def known(self) -> NDArray[np.uint64]:
        """The keys as numbers."""
        return _as_numbers(self.keys)

    def chosen_by(self) -> NDArray[np.uint64]:
        """The keys of `choosing` as numbers."""
        return _as_numbers(self.choosing)


def _lowest(keys: NDArray[np.uint64], count: int) -> NDArray[np.uint64]:
    """The lowest keys that differ, ascending: so many, or all that there are.

    Of many keys most are not sorted.
    """
    if len(keys) > 2 * count:
        low = np.unique(np.partition(keys, 2 * count)[: 2 * count])
        if len(low) >= count:
            return low[:count]
    return np.unique(keys)[:count]


def _as_text(keys: NDArray[np.uint64]) -> str:
    return base64.b64encode(keys.astype("<u8").tobytes()).decode()


def _as_numbers(text: str) -> NDArray[np.uint64]:
    return np.frombuffer(base64.b64decode(text, validate=True), "<u8").astype(np.uint64)


def _around(ranges: Sequence[range], rows: range) -> range:
    """The rows from the first of any range to the last of any, of those that there are."""
    ranges = [inner for each in ranges if (inner := range(max(each.start, rows.start), min(each.stop, rows.stop)))]
    return range(min(each.start for each in ranges), max(each.stop for each in ranges)) if ranges else range(0)


def within(panel: Panel, ranges: Sequence[range]) -> NDArray[np.bool_]:
    """(flat rows,): whether each row of the panel lies in a range of its series.

    Args:
        panel: the data.
        ranges: of each series, rows of the panel's axis.
    """
    series, axis = panel.places()
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


def _microseconds(time: str) -> int:
    return int(pd.Timestamp(time).asm8.astype("datetime64[us]").astype(np.int64))


def short(time: str) -> str:
    """A time without its hour, where that is midnight."""
    return time.removesuffix(" 00:00:00")


def _described(record: TrainedOn) -> str:
    several = f" of {record.number} series" if record.number > 1 else ""
    return f"{record.rows} rows{several}, {record.data}"
