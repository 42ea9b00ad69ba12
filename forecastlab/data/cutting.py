"""The samples of a range of target rows: windows, or one sequence of each series."""

from collections.abc import Sequence
from typing import Literal

import torch

from forecastlab.data.folds import Fold, origins
from forecastlab.data.windows import Rows, Windows


def cut(
    rows: Rows,
    folds: Sequence[Fold],
    stage: Literal["fit", "validation", "test"],
    *,
    lookback: int | Literal["full"],
    least: int,
    stride: int,
    cold: bool,
    score_gaps: bool,
    before: int = 0,
) -> Windows:
    """The samples whose targets lie in a range of a fold, those of one series after another.

    Args:
        rows: the series.
        folds: of each series, its target rows.
        stage: which range of the folds.
        lookback: rows in a window, or "full" for one sequence of each series.
        least: rows up to and including an origin that there must be; a longer window begins before the series.
        stride: rows from one window of "fit" to the next; the other ranges use every origin.
        cold: whether the histories of "validation" and "test" begin within the range.
        score_gaps: as for `Windows`.
        before: origins before the first of each series that are wanted too, as far as there are so many.
    """
    parts = []
    for number, fold in enumerate(folds):
        targets: range = getattr(fold, stage)
        start = fold.train_start if stage == "fit" else targets.start if cold else 0
        first, stop = int(rows.first[number]), int(rows.stop[number])
        begin = max(start, first)
        earliest = begin + least - 1
        of_series = origins(range(targets.start, min(targets.stop, stop)), rows.horizon, earliest)
        if not of_series:
            continue
        of_series = range(max(of_series.start - before, earliest), of_series.stop)
        if lookback == "full":
            parts.append(torch.tensor([[number], [begin], [of_series[0]], [of_series[-1]]]))
        else:
            ends = torch.arange(of_series.start, of_series.stop, stride if stage == "fit" else 1)
            parts.append(torch.stack([torch.full_like(ends, number), ends + 1 - lookback, ends, ends]))
    series, begins, firsts, ends = torch.cat(parts, 1) if parts else torch.empty(4, 0, dtype=torch.int64)
    return Windows(rows, series, begins, firsts, ends, score_gaps)
