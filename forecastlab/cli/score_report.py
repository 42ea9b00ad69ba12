"""What `forecastlab test` says beside the figures: what was scored, and the figures of parts of it."""

import os
from pathlib import Path

from forecastlab.metrics import ForecastMetrics, Part
from forecastlab.runs.files import write_whole

MOST = 40
"""Rows of a table that are printed."""


def print_test(metrics: ForecastMetrics, names: list[str], values: int, by: Part | None, folder: Path) -> None:
    """Prints how many series and values were scored, what the figures leave out, and the figures of parts.

    Args:
        metrics: of the test, computed.
        names: the series' names.
        values: how many values were scored.
        by: what the parts are; None for none. They are written to `test_by_<part>.csv` too.
        folder: the run's folder.
    """
    series = f" of {metrics.scored_series} of {len(names)} series" if len(names) > 1 else ""
    print(f"scored      {values} values{series}")
    for note in metrics.notes(names):
        print(f"note        {note}")
    if by is None:
        return
    table = metrics.by(by, names)
    path = folder / f"test_by_{by}.csv"
    write_whole(path, table.to_csv(index=False))
    print(table.head(MOST).to_string(index=False, na_rep="", float_format="{:.4g}".format))
    if len(table) > MOST:
        print(f"and {len(table) - MOST} more rows")
    print(f"by {by:<8} {os.path.relpath(path)}")
