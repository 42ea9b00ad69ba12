"""Levels that a test has and the training had not."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from forecastlab.data.folds import Fold
from forecastlab.data.windows import Rows


def beyond_training(rows: Rows, folds: Sequence[Fold], targets: Sequence[str]) -> dict[str, float]:
    """The share of each target's test values that lie above or below all of its training values, by name.

    Each series is compared with itself. What was filled in does not count.

    Args:
        rows: the series.
        folds: of each series, its target rows.
        targets: names of the targets.
    """
    outside, counted = np.zeros(len(targets)), np.zeros(len(targets))
    trained = rows.spans([fold.train_start for fold in folds], [fold.train_stop for fold in folds])
    tested = rows.spans([fold.test.start for fold in folds], [fold.test.stop for fold in folds])
    low, high = (np.full((len(folds), len(targets)), bound) for bound in (np.inf, -np.inf))
    for numbers, values, known in _groups(rows, *trained):
        low[numbers] = np.min(values, 1, where=known, initial=np.inf)
        high[numbers] = np.max(values, 1, where=known, initial=-np.inf)
    for numbers, values, known in _groups(rows, *tested):
        known = known & (low <= high)[numbers, None]  # of which there are training values
        beyond = (values < low[numbers, None]) | (values > high[numbers, None])
        outside += (beyond & known).sum((0, 1))
        counted += known.sum((0, 1))
    return dict(zip(targets, (outside / np.maximum(counted, 1)).tolist(), strict=True))


def _groups(
    rows: Rows, begins: NDArray[np.int64], lengths: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]]:
    """Numbers of series, (group,), their targets and which of these were observed, (group, rows, targets)."""
    for numbers, flat in rows.alike(begins, lengths):
        yield numbers, rows.target.numpy()[flat], rows.observed.numpy()[flat]
