"""Which rows that are to be scored a network has seen in its trainings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from forecastlab.data.fingerprint import row_keys
from forecastlab.data.marks import OPTIMISTIC, SEEN
from forecastlab.data.panel import Panel
from forecastlab.data.trained_on import Span, TrainedOn, short, within
from forecastlab.errors import ConfigError

ENOUGH_KEYS = 8
"""Keys that decide whether rows are the same; where the scored rows have fewer, those of their whole series decide."""


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
                f"same config, or give a file that goes on after {short(self.trained.data.last)} and --data.fold 1 "
                "--data.cutoffs '[its first new time]'"
            )
        else:
            rows = "test rows" if self.stage == "test" else "validation rows"
            end = (self.trained.validation if self.trained.protocol == "tail" else None) or self.trained.fit
            advice = (
                f"{command} the {rows} of the fold it was trained for (fold {self.trained.fold}: leave settings of the "
                f"data out), or rows after {short(end.last)}"
            )
        raise ConfigError(
            f"{self._which()}, so their errors would be no score.\n"
            f"Do one of these: {advice}.\n"
            f"--allow_seen scores them nevertheless, marked as {SEEN} (in Python: model.allow_seen = True, or "
            "score(allow_seen=True) of a Model)"
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
    rows, kinds = 0, np.zeros(4, np.int64)
    most = np.zeros(len(records), np.int64)
    bad_rows: set[int] = set()
    names = panel.names
    for numbers, part in panel.parts():
        own = slice(numbers.start, numbers.stop)
        found = _seen_of_part(records, part, names[own], targets[own], most)
        fitted, stopped = found.kinds[:2]
        rows += found.rows
        kinds += [int(kind.sum()) for kind in found.kinds]
        bad = fitted | stopped if stage == "test" else fitted
        if bad.any():
            bad_rows |= {int(found.axis[bad].min()), int(found.axis[bad].max())}
    return Seen(
        stage=stage,
        fold=fold,
        rows=rows,
        fitted=int(kinds[0]),
        stopped=int(kinds[1]),
        chosen=int(kinds[2]),
        differing=int(kinds[3]),
        span=Span(str(panel.times[min(bad_rows)]), str(panel.times[max(bad_rows)])) if bad_rows else None,
        trained=records[int(most.argmax())] if most.any() else None,
        recorded=bool(records),
    )


class _Part(NamedTuple):
    """Some series of a panel."""

    rows: int
    """Number of observed target rows to be scored."""
    axis: NDArray[np.int64]
    """(flat rows,): the row of the axis of each."""
    kinds: tuple[NDArray[np.bool_], ...]
    """(flat rows,) each: which were fitted, stopped, chosen and differing, as `Seen` counts them."""


def _seen_of_part(
    records: Sequence[TrainedOn],
    panel: Panel,
    names: Sequence[str],
    targets: Sequence[range],
    most: NDArray[np.int64],
) -> _Part:
    """What some trainings have seen of a part of a panel.

    Args:
        records: the trainings.
        panel: the part.
        names: those of its series.
        targets: of each series, the rows of the axis that are to be scored.
        most: (records,), to which the number of rows is added that each has seen.
    """
    series, axis = panel.places()
    stamps = panel.stamps()
    scored = panel.rows.observed.numpy().any(1) & within(panel, targets)
    fitted, stopped, chosen, differing = (np.zeros(len(scored), np.bool_) for _ in range(4))
    keys, has = row_keys(panel.rows, panel.times) if records else (stamps.view(np.uint64), scored)
    for place, record in enumerate(records):
        covered = record.covers(stamps)
        known = has & covered & (keys <= np.uint64(record.bound))
        hit = known & np.isin(keys, record.known())
        named = np.isin(names, record.series)
        if record.by == "series":  # times differ by series, so that keys alone tell what was trained on
            unknown = ~has | (keys > np.uint64(record.bound))  # told by the rows around them that are known
            fitting = hit & ~np.isin(keys, record.chosen_by())
            fit = scored & (fitting | unknown & _between(fitting, series, axis))
            ours = scored & (hit | unknown & _between(hit, series, axis))
            theirs = np.zeros_like(ours)
        else:
            same = _same(named, series, scored, known, hit)[series]
            ours, theirs = scored & covered & same, scored & covered & ~same
            fit = ours & record.fit.within(stamps)
        fitted |= fit
        if record.protocol == "tail":
            stopped |= ours & ~fit
        else:
            chosen |= ours & ~fit
        differing |= theirs & named[series]
        most[place] += int(ours.sum())
    stopped &= ~fitted
    chosen &= ~fitted & ~stopped
    return _Part(int(scored.sum()), axis, (fitted, stopped, chosen, differing))


def _between(which: NDArray[np.bool_], series: NDArray[np.int64], axis: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(flat rows,): whether each lies between the first and the last of some rows of its series."""
    first = np.full(series.max() + 1, axis.max() + 1)
    last = np.full_like(first, -1)
    np.minimum.at(first, series[which], axis[which])
    np.maximum.at(last, series[which], axis[which])
    inside: NDArray[np.bool_] = (axis >= first[series]) & (axis <= last[series])
    return inside


def _same(
    named: NDArray[np.bool_],
    series: NDArray[np.int64],
    scored: NDArray[np.bool_],
    known: NDArray[np.bool_],
    hit: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """(series,): whether each is one that was trained on; `named` tells which have the name of one."""

    def counts(which: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(series[which], minlength=len(named))

    total, hits = counts(known & scored), counts(hit & scored)
    few = total < ENOUGH_KEYS
    total, hits = np.where(few, counts(known), total), np.where(few, counts(hit), hits)
    return np.where(total > 0, 2 * hits >= total, named)


def _of(some: int, all_: int) -> str:
    return f"all {all_}" if some == all_ else f"{some} of {all_}"
