"""Levels that a test has and the training had not."""

import numpy as np

from forecastlab.data.datamodule import ForecastDataModule


def beyond_training(data: ForecastDataModule) -> dict[str, float]:
    """The share of each target's test values that lie above or below all of its training values, by name.

    Each series is compared with itself. What was filled in does not count.

    Args:
        data: with a fold that has a test range.
    """
    rows, outside, counted = data.rows, np.zeros(len(data.targets)), np.zeros(len(data.targets))
    for number, fold in enumerate(data.folds):
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
    return dict(zip(data.targets, (outside / np.maximum(counted, 1)).tolist(), strict=True))
