"""The samples of a range of target rows: windows, or one sequence of each series."""

from collections.abc import Sequence
from typing import Literal

import torch

from forecastlab.data.folds import Fold
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
    ranges: list[range] = [getattr(fold, stage) for fold in folds]
    start = torch.tensor([targets.start for targets in ranges])
    stop = torch.tensor([targets.stop for targets in ranges])
    if stage == "fit":
        begin = torch.tensor([fold.train_start for fold in folds])
    else:
        begin = start if cold else torch.zeros_like(start)
    begin = torch.maximum(begin, rows.first)
    earliest = begin + least - 1
    # as `origins` has it, of all series at once
    first = torch.maximum(start - 1, earliest)
    behind = torch.maximum(torch.minimum(stop, rows.stop) - rows.horizon, earliest)
    series = torch.nonzero(first < behind).flatten()
    begin, behind = begin[series], behind[series]
    first = torch.maximum(first - before, earliest)[series]
    if lookback == "full":
        return Windows(rows, series, begin, first, behind - 1, score_gaps)
    step = stride if stage == "fit" else 1
    counts = (behind - first + step - 1) // step
    return Windows.at_equal_distances(rows, series, first, step, counts, lookback, score_gaps)
