"""The samples of one series, with only the rows that they need."""

from dataclasses import replace

import torch

from forecastlab.data.windows import Windows


def of_series(windows: Windows, number: int) -> Windows:
    """The samples of one series; copying their rows is cheap, however large the panel is.

    Args:
        windows: samples, of which at least one is of the series.
        number: number of the series.
    """
    chosen = windows.series == number
    series, begins, origins, ends = (
        part[chosen] for part in (windows.series, windows.begins, windows.origins, windows.ends)
    )
    rows = windows.rows
    first, last = max(int(begins.min()), int(rows.first[number])), int(ends.max()) + rows.horizon
    start = int(rows.base[number]) + first
    kept = slice(start, start + last - first + 1)
    base = rows.base.clone()
    base[number] = -first
    own = replace(
        rows,
        features=rows.features[kept],
        known=rows.known[kept],
        target=rows.target[kept],
        observed=rows.observed[kept],
        elapsed=rows.elapsed[kept],
        base=base,
        later=None if rows.later is None else rows.later[kept],
        settled=None if rows.settled is None else rows.settled[kept] - start,
        maps=None,
    )
    return Windows(own, series, begins, origins, ends, windows.score_gaps)


def with_rows_in_order(windows: Windows, features: list[int], known: list[int], order: torch.Tensor) -> Windows:
    """The same samples with some columns in another order of time.

    Args:
        windows: samples of `of_series`.
        features: numbers of the columns of `Batch.history`.
        known: numbers of the columns of `Batch.known`.
        order: (rows,), integer: the new order of the first rows; later rows do not change.
    """
    rows = windows.rows
    changed = replace(
        rows,
        features=_moved(rows.features, features, order),
        known=_moved(rows.known, known, order),
        later=None if rows.later is None else _moved(rows.later, features, order),
    )
    return Windows(changed, windows.series, windows.begins, windows.origins, windows.ends, windows.score_gaps)


def _moved(values: torch.Tensor, columns: list[int], order: torch.Tensor) -> torch.Tensor:
    moved = values.clone()
    chosen = torch.tensor(columns, dtype=torch.int64)
    moved[: len(order), chosen] = values[order][:, chosen]
    return moved
