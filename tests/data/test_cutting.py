"""Samples of all series at once, against the definition of an origin applied to one series after another."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from forecastlab.data.cutting import cut
from forecastlab.data.folds import Fold

SERIES, HORIZON = 60, 3


def folds_and_rows(seed):
    """Series that begin and end anywhere, some before, within or behind the ranges of their folds."""
    random = np.random.default_rng(seed)
    first = random.integers(0, 30, SERIES)
    stop = first + random.integers(1, 40, SERIES)
    rows = SimpleNamespace(first=torch.tensor(first), stop=torch.tensor(stop), horizon=HORIZON)
    folds = []
    for shift in random.integers(-6, 7, SERIES).tolist():
        fold = Fold(range(6, 25), range(25, 32), range(34, 48), 32, train_start=4)
        folds.append(fold.shifted(shift))
    return folds, rows


def by_definition(folds, rows, stage, lookback, least, stride, cold, before):
    """A row (series, begin, first origin, last origin) of each sample: every row is asked whether it is an origin."""
    samples = []
    for number, fold in enumerate(folds):
        targets = getattr(fold, stage)
        first, stop = int(rows.first[number]), int(rows.stop[number])
        usable = max(first, {"fit": fold.train_start}.get(stage, targets.start if cold else 0))
        able = list(range(usable + least - 1, stop))  # so many rows lie before it, itself included
        own = [row for row in able if all(t in targets and t < stop for t in range(row + 1, row + HORIZON + 1))]
        if not own:
            continue
        own = [row for row in able if own[0] - before <= row <= own[-1]]
        if lookback == "full":
            samples.append((number, usable, own[0], own[-1]))
        else:
            samples += [(number, row + 1 - lookback, row, row) for row in own[:: stride if stage == "fit" else 1]]
    return samples


@pytest.mark.parametrize("lookback", [4, "full"])
@pytest.mark.parametrize("stage", ["fit", "validation", "test"])
@pytest.mark.parametrize("settings", [(False, 1, 0), (True, 1, 0), (False, 3, 0), (False, 1, 2)])
def test_samples_of_many_series_are_those_of_one_after_another(stage, lookback, settings):
    cold, stride, before = settings
    least = 1 if lookback == "full" else 3
    for seed in range(5):
        folds, rows = folds_and_rows(seed)
        windows = cut(
            rows,
            folds,
            stage,
            lookback=lookback,
            least=least,
            stride=stride,
            cold=cold,
            score_gaps=True,
            before=before,
        )
        found = torch.stack([windows.series, windows.begins, windows.origins, windows.ends], 1)
        expected = by_definition(folds, rows, stage, lookback, least, stride, cold, before)
        assert len(expected) > 20
        assert [tuple(sample) for sample in found.tolist()] == expected
