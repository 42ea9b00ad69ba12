"""Walk-forward folds: which target rows train, validate and test, and which origins forecast them.

A fold's boundary n is counted in target rows: training targets are rows < n, test targets are rows n .. n + size - 1,
so the first test origin is row n - 1. The boundaries are those of scikit-learn's `TimeSeriesSplit`.

Rows are those of the calendar that all series share. For folds by each series' own end they are those of the longest
series, and the last row of every series is the last row of the fold's axis.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecastlab.data.reading.times import time_of
from forecastlab.errors import ConfigError


@dataclass(frozen=True)
class Fold:
    """Half-open ranges of target rows.

    Attributes:
        fit: rows whose targets train the weights; the scaler sees the rows before `fit.stop`.
        validation: rows whose targets stop the training.
        test: rows whose targets are scored; empty for a fold that trains on everything.
        train_stop: one past the last training row, the validation tail included.
        train_start: first training row; 0 unless the training window slides.
    """

    fit: range
    validation: range
    test: range
    train_stop: int
    train_start: int = 0

    def shifted(self, rows: int) -> "Fold":
        """The fold with all rows moved by a number, which may be negative; rows may then lie before row 0."""

        def moved(of: range) -> range:
            return range(of.start + rows, of.stop + rows)

        stop, start = self.train_stop + rows, self.train_start + rows
        return Fold(moved(self.fit), moved(self.validation), moved(self.test), stop, start)

    def after(self, first: int, stop: int) -> "Fold":
        """The fold as a series sees it that has the rows first .. stop - 1 of the common axis, in its own numbering."""

        def own(rows: range) -> range:
            start = min(max(rows.start, first), stop)
            return range(start - first, max(start, min(rows.stop, stop)) - first)

        ends = own(range(self.train_start, self.train_stop))
        return Fold(own(self.fit), own(self.validation), own(self.test), ends.stop, ends.start)


def walk_forward(
    rows: int,
    fold: int | str,
    *,
    splits: int = 5,
    test_size: int | None = None,
    cutoffs: Sequence[int] = (),
    train_size: int | None = None,
    gap: int = 0,
    first_target: int = 1,
    horizon: int = 1,
    validation: str = "tail",
    val_fraction: float = 0.2,
    val_size: int | None = None,
) -> Fold:
    """The ranges of one walk-forward fold.

    Args:
        rows: number of rows of the table.
        fold: number of the fold, from 1; "all" trains on every row and tests on none.
        splits: number of folds, where there are no cutoffs.
        test_size: rows in each test range; None for rows // (splits + 1), or up to the next cutoff.
        cutoffs: first test row of each fold, increasing; () for those of TimeSeriesSplit.
        train_size: rows that train, the last before the test range and the gap; None for all.
        gap: rows left out between training and test.
        first_target: number of training rows before the first training target (the lookback; 1 for a full one).
        horizon: steps of a forecast; a tail by `val_fraction` has at least so many rows, so that an origin lies in it,
            if as many are left to fit.
        validation: "tail" keeps the last `val_fraction` of the training targets for stopping; "test" validates on the
            test range, which is the protocol of van Diepen's paper and makes its results optimistic.
        val_fraction: share of the training targets in the tail.
        val_size: rows in the tail; None for `val_fraction`.

    Raises:
        ConfigError: for a fold that does not exist or that has no row to train, validate or test on.
    """
    require_protocol(2 if cutoffs else splits, test_size, gap, validation, val_fraction, train_size, val_size)
    if fold == "all":
        if validation == "test":
            raise ConfigError("fold: all has no test range, so validation: test is impossible; use validation: tail")
        train_stop, test = rows, range(rows, rows)
    else:
        train_stop, test = _split(rows, fold, splits, test_size, cutoffs, gap)
    train_start = 0 if train_size is None else max(0, train_stop - train_size)
    first = train_start + first_target
    if train_stop <= first:
        raise ConfigError(
            f"fold {fold} trains on rows {train_start} .. {train_stop - 1}, but the first row that can be a target is "
            f"{first}: choose a later fold, a shorter lookback, fewer splits or a smaller test_size"
        )
    if validation == "test":
        return Fold(range(first, train_stop), test, test, train_stop, train_start)
    tail = max(1, round(val_fraction * (train_stop - first))) if val_size is None else val_size
    if val_size is None and tail < horizon <= (train_stop - first) // 2:
        tail = horizon
    fit_stop = train_stop - tail
    if fit_stop <= first:
        share = f"val_fraction={val_fraction}" if val_size is None else f"val_size={val_size}"
        raise ConfigError(
            f"fold {fold} has {train_stop - first} training targets, of which {share} "
            "leaves none to fit: choose a later fold, a shorter lookback or a smaller validation tail"
        )
    return Fold(range(first, fit_stop), range(fit_stop, train_stop), test, train_stop, train_start)


def require_protocol(
    splits: int,
    test_size: int | None,
    gap: int,
    validation: str,
    val_fraction: float,
    train_size: int | None = None,
    val_size: int | None = None,
) -> None:
    """Raises ConfigError for a setting of the folds that no number of rows can serve; arguments as `walk_forward`."""
    for name, value, what, least in (
        ("splits", splits, "folds", 2),
        ("test_size", 1 if test_size is None else test_size, "rows", 1),
        ("gap", gap, "rows", 0),
        ("train_size", 1 if train_size is None else train_size, "rows", 1),
        ("val_size", 1 if val_size is None else val_size, "rows", 1),
    ):
        if not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} must be a number of {what}, {least} or more, got {value!r}")
    if validation not in ("tail", "test"):
        raise ConfigError(f'validation must be "tail" or "test", got {validation!r}')
    if not 0 < val_fraction < 1:
        raise ConfigError(f"val_fraction must be between 0 and 1, both excluded, got {val_fraction!r}")


def row_of(cutoff: str, times: pd.DatetimeIndex) -> int:
    """The first row at or after a cutoff.

    Args:
        cutoff: a time as text.
        times: (rows,), increasing.

    Raises:
        ConfigError: if it is no such time, or not within the data.
    """
    try:
        row = int(times.searchsorted(time_of("cutoffs", cutoff)))
    except TypeError as error:  # times with a zone, and a cutoff without
        raise ConfigError(f"cutoffs: expected times such as {times[0]}, got {cutoff!r}: {error}") from None
    if not 0 < row < len(times):
        raise ConfigError(f"cutoffs: {cutoff} is not within the data, {times[0]} .. {times[-1]}")
    return row


def _split(
    rows: int, fold: int | str, splits: int, test_size: int | None, cutoffs: Sequence[int], gap: int
) -> tuple[int, range]:
    splits = len(cutoffs) or splits
    if not isinstance(fold, int) or isinstance(fold, bool) or not 1 <= fold <= splits:
        raise ConfigError(f'fold must be a number from 1 to {splits} (the number of splits) or "all", got {fold!r}')
    if cutoffs:
        first, end = cutoffs[fold - 1], [*cutoffs[1:], rows][fold - 1]
        if not first < end:
            raise ConfigError(f"cutoffs: fold {fold} has no row to test on; there is none from its cutoff to the next")
        return first - gap, range(first, end if test_size is None else min(first + test_size, rows))
    from sklearn.model_selection import TimeSeriesSplit  # here, since most who import this file cut nothing

    try:
        parts = list(TimeSeriesSplit(n_splits=splits, test_size=test_size, gap=gap).split(np.empty((rows, 1))))
    except ValueError as error:
        raise ConfigError(
            f"{rows} rows cannot be split into {splits} folds with test_size={test_size} and gap={gap}: {error}"
        ) from None
    train, test = parts[fold - 1]
    return len(train), range(int(test[0]), int(test[-1]) + 1)


def origins(targets: range, horizon: int, earliest: int) -> range:
    """The forecast origins whose targets, +1 .. +horizon, all lie in a range of target rows.

    Args:
        targets: half-open range of target rows.
        horizon: number of steps predicted from each origin.
        earliest: first row that can be an origin (lookback - 1; 0 for a full lookback).
    """
    return range(max(targets.start - 1, earliest), max(targets.stop - horizon, earliest))
