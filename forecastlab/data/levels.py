"""Levels that a test has and the training had not."""

from collections.abc import Sequence

import numpy as np

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
    for number, fold in enumerate(folds):
        begin = int(rows.base[number]) + int(rows.first[number])
        values = {}
        for name, start, stop in (
            ("training", fold.train_start, fold.train_stop),
            ("test", fold.test.start, fold.test.stop),
        ):
            own = rows.clip(number, start, stop)
            chosen = slice(begin + own.start, begin + own.stop)
            values[name] = np.where(rows.observed[chosen].numpy(), rows.target[chosen].numpy(), np.nan)
        known = ~np.isnan(values["training"]).all(0)
        if not known.any() or not len(values["test"]):
            continue
        trained, tested = values["training"][:, known], values["test"][:, known]
        beyond = (tested < np.nanmin(trained, 0)) | (tested > np.nanmax(trained, 0))
        outside[known] += beyond.sum(0)
        counted[known] += (~np.isnan(tested)).sum(0)
    return dict(zip(targets, (outside / np.maximum(counted, 1)).tolist(), strict=True))
