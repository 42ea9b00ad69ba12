"""What makes data recognisable: a digest of whole tables, and a key for each row of the targets."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.table import Table
from forecastlab.data.windows import Rows

CONTEXT = 8
"""Rows whose values make the key of the last of them: so many that series of small counts are told apart."""

_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Fingerprint:
    """A digest of series: of their names, times, values, of which were observed, and of what is known besides.

    Two sources with the same digest hold the same data, whatever their files are called.
    """

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, tables: Iterable[Table]) -> None:
        """Goes on with further series."""
        for table in tables:
            frames = [table.values, table.observed, table.ahead]
            names = [table.name, table.frequency, *(list(map(str, frame.columns)) for frame in frames)]
            self._digest.update(repr([names, len(table.times), list(table.static.items())]).encode())
            self._digest.update(nanoseconds(table.times).tobytes())
            for frame in frames:
                self._digest.update(np.ascontiguousarray(frame.to_numpy()).tobytes())

    def __str__(self) -> str:
        return self._digest.hexdigest()


def fingerprint(tables: Iterable[Table]) -> str:
    """The digest of series, see `Fingerprint`."""
    digest = Fingerprint()
    digest.add(tables)
    return str(digest)


def nanoseconds(times: pd.DatetimeIndex) -> NDArray[np.int64]:
    """(rows,): nanoseconds since 1970 in UTC, of whatever unit the times are; those out of range wrap around."""
    stamps: NDArray[np.int64] = times.asi8 * np.int64(_UNITS[times.unit])
    return stamps


def row_keys(rows: Rows, times: pd.DatetimeIndex) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """A number for each row of the targets, from its time and the last `CONTEXT` values; and which rows have one.

    The same row has the same key in any file, series or fold. A row has none if the targets do not change there, as in
    the many zeros of a sparse series, if none was observed, or if the series has too few rows before it. Values count
    as float32, so that a copy in that precision has the same keys.

    Args:
        rows: the series.
        times: (rows + horizon,), the common axis.

    Returns:
        (flat rows,) keys, and (flat rows,) whether the row has one.
    """
    target, observed = rows.target.numpy(), rows.observed.numpy()
    base, first, stop = (part.numpy() for part in (rows.base, rows.first, rows.stop))
    lengths = stop - first + rows.horizon
    own = np.arange(len(target)) - np.repeat(base + first, lengths)  # number of the row within its series
    axis = np.arange(len(target)) - np.repeat(base, lengths)
    bits = np.where(observed, target, np.nan).astype(np.float32) + np.float32(0)  # -0 is 0
    bits = np.where(np.isnan(bits), np.float32(np.nan), bits).view(np.uint32).astype(np.uint64)
    values = np.zeros(len(target), np.uint64)
    for column in bits.T:
        values = _mixed(values ^ column)
    keys = _mixed(nanoseconds(times).view(np.uint64)[np.minimum(axis, len(times) - 1)])
    for before in range(CONTEXT):
        keys = _mixed(keys ^ np.roll(values, before))
    changes = (target != np.roll(target, 1, axis=0)).any(1)
    has = changes & observed.any(1) & (own >= CONTEXT - 1) & (own < np.repeat(stop - first, lengths))
    return keys, has


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): the same on every machine and in every version."""
    mixed: NDArray[np.uint64] = numbers + _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return result
