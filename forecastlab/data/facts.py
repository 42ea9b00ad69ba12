"""What series hold, as a table of facts: `forecastlab init` and `forecastlab data` print the same one."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from forecastlab.data.reading.counted import COUNTED
from forecastlab.data.recipe import Recipe
from forecastlab.data.spark import spark
from forecastlab.data.table import Missing, Table, calendar_between, gaps
from forecastlab.data.tables import label_of
from forecastlab.text import counted

MOST = 10
"""Series, gaps and columns that are named."""
_LABEL = 12
"""Characters of a label."""
TREATED: dict[Missing, str] = {
    "error": "refused",
    "ffill": "filled forward",
    "interpolate": "filled forward, and interpolated once the next value is known",
    "mask": "marked for the network",
}
"""What becomes of missing values."""

Fact = tuple[str, str]
"""A label, which is empty where the fact before goes on, and a text."""


def as_text(facts: Sequence[Fact]) -> str:
    """A line for each fact."""
    return "\n".join(f"{label:<{_LABEL}}{text}".rstrip() for label, text in facts)


def facts_of(
    tables: Sequence[Table], recipe: Recipe, features: Sequence[str], calendar: Sequence[str], values: bool = True
) -> list[Fact]:
    """What series hold: their times, rows, gaps, columns, values and what is missing of them.

    Args:
        tables: the series.
        recipe: how they were read.
        features: the columns that are inputs.
        calendar: inputs that follow from the times, such as hour_sin.
        values: whether the values and what is missing are among the facts, for which all rows are read.
    """
    facts = [
        *_time(tables[0], recipe),
        *_series(tables, recipe),
        *_described(tables, recipe, features, calendar),
    ]
    if values:
        columns = _Columns(tables)
        facts += [*columns.values(recipe, features), *columns.missing(recipe)]
    return facts


def day(time: pd.Timestamp, recipe: Recipe) -> str:
    """A time as it is shown: without its clock at midnight, and as a number where rows are counted."""
    if recipe.time_format == COUNTED:
        return label_of(time, recipe)
    return f"{time:%Y-%m-%d}" if time == time.normalize() else f"{time:%Y-%m-%d %H:%M:%S}".removesuffix(":00")


def _time(table: Table, recipe: Recipe) -> list[Fact]:
    """The columns of the times, how they are written, and their zone."""
    if recipe.time_format == COUNTED:
        return [("time", f"{', '.join(recipe.time_columns) or 'no column'}: rows are counted")]
    if not recipe.time_columns:
        return []
    written = f", written as {recipe.time_format}" if recipe.time_format else ""
    zone = f", in {table.times.tz}" if table.times.tz is not None else ""
    return [("time", f"{', '.join(recipe.time_columns)}{written}{zone}")]


def _series(tables: Sequence[Table], recipe: Recipe) -> list[Fact]:
    """Names, rows and gaps."""
    if len(tables) == 1:
        return [("series", tables[0].name), *_rows(tables[0], recipe)]
    lengths = np.array([len(table.times) for table in tables])
    first, last = min(table.times[0] for table in tables), max(table.times[-1] for table in tables)
    if recipe.slots:
        steps = len(tables[0].times.append([table.times for table in tables[1:]]).unique())
    else:
        steps = len(calendar_between(first, last, tables[0].frequency))
    by = f" by {', '.join(recipe.series_columns)}" if recipe.series_columns else ""
    facts = [
        (
            "panel",
            f"{len(tables)} series{by}, {lengths.min()} to {lengths.max()} rows, median {int(np.median(lengths))}; "
            f"{lengths.sum()} rows on {steps} steps of the calendar ({day(first, recipe)} .. {day(last, recipe)}, "
            f"frequency {_step(tables[0], recipe)})",
        )
    ]
    for table in tables[:MOST]:
        facts += [("series", table.name), *_rows(table, recipe)]
    return [*facts, ("series", f"... and {len(tables) - MOST} more")] if len(tables) > MOST else facts


def _rows(table: Table, recipe: Recipe) -> list[Fact]:
    """Rows of a series, and the steps of its calendar that have no value; no row unless it is regular."""
    span = f"{day(table.times[0], recipe)} .. {day(table.times[-1], recipe)}"
    rows = ("rows", f"{len(table.times)} ({span}, frequency {_step(table, recipe)})")
    lines = [
        ("line", f"{name}  {spark(table.values[name].where(table.observed[name]).to_numpy())}")
        for name in recipe.targets
    ]
    if recipe.slots:
        return [rows, *lines]
    holes = gaps(table.times[table.observed.any(axis=1)] if recipe.regular else table.times, table.frequency)
    missing = int(holes["missing"].sum())
    what = "without any value" if recipe.regular else "missing"
    return [
        rows,
        ("gaps", f"{len(holes)}, {counted(missing, 'step')} {what}" if missing else "none"),
        *(
            ("", f"  between {day(hole['from'], recipe)} and {day(hole['to'], recipe)}")
            for _, hole in holes[:MOST].iterrows()
        ),
        *([("", f"  ... and {len(holes) - MOST} more")] if len(holes) > MOST else []),
        *lines,
    ]


def _described(tables: Sequence[Table], recipe: Recipe, features: Sequence[str], calendar: Sequence[str]) -> list[Fact]:
    """What the columns are, and how some are made."""
    count = len(tables[0].values.columns) + len(recipe.static)
    facts = [("columns", f"{count}: {counted(len(features), 'feature')}, target {', '.join(recipe.targets)}")]
    for name, parts in recipe.derive.items():
        terms = " ".join(f"{'-' if factor < 0 else '+'} {_times(factor)}{source}" for source, factor in parts.items())
        facts.append(("derived", f"{name} = {terms.removeprefix('+ ')}"))
    if recipe.known:
        ahead = min(len(table.ahead) for table in tables)
        named = ", ".join(recipe.known)
        facts.append(("known", f"{named}: the data hold values for {ahead} steps behind the last target"))
    if recipe.weight:
        facts.append(("weights", f"{recipe.weight}: how much each row counts in the loss"))
    if calendar:
        facts.append(("calendar", ", ".join(calendar)))
    if recipe.static:
        facts.append(("static", f"{', '.join(recipe.static)}: constant within each series"))
    return facts


class _Columns:
    """What the columns of all series hold, summed up series by series, since a panel may have many thousand of them.

    Args:
        tables: the series.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        self.names = tables[0].observed.columns
        width = len(self.names)
        self.rows, self.lacking_rows = 0, 0
        self.counts, self.sums = np.zeros(width, np.int64), np.zeros(width)
        self.least, self.largest = np.full(width, np.inf), np.full(width, -np.inf)
        for table in tables:
            values, seen = table.values.to_numpy(), table.observed.to_numpy()
            self.rows += len(seen)
            self.lacking_rows += int((~seen.all(1)).sum())
            self.counts += seen.sum(0)
            self.sums += np.sum(values, 0, where=seen)
            self.least = np.minimum(self.least, np.min(values, 0, where=seen, initial=np.inf))
            self.largest = np.maximum(self.largest, np.max(values, 0, where=seen, initial=-np.inf))

    def values(self, recipe: Recipe, features: Sequence[str]) -> list[Fact]:
        """The least, mean and largest observed value of targets and features, and how many are missing."""
        names = list(dict.fromkeys([*recipe.targets, *features]))
        facts = []
        for name in names[:MOST]:
            place, spread = self.names.get_loc(name), ""
            if count := self.counts[place]:
                mean = self.sums[place] / count
                spread = f"minimum {self.least[place]:g}, mean {mean:g}, maximum {self.largest[place]:g}; "
            label = "target" if name in recipe.targets else "feature"
            facts.append((label, f"{name}: {spread}{self.rows - count} of {self.rows} missing"))
        return [*facts, ("feature", f"... and {len(names) - MOST} more")] if len(names) > MOST else facts

    def missing(self, recipe: Recipe) -> list[Fact]:
        """How many values are missing, and where most are."""
        counts = pd.Series(self.rows - self.counts, self.names)
        targets = ", ".join(f"{name}: {counts[name] or 'none'}" for name in recipe.targets)
        facts = [
            ("missing", f"{counts.sum()} values in {self.lacking_rows} rows, {TREATED[recipe.missing]}; {targets}")
        ]
        others = counts.drop(list(recipe.targets)).sort_values(ascending=False, kind="stable")
        others = others[others > 0]
        if len(others):
            more = f" and {len(others) - MOST} more" if len(others) > MOST else ""
            facts.append(("", f"  {', '.join(f'{name}: {count}' for name, count in others[:MOST].items())}{more}"))
        return facts


def _step(table: Table, recipe: Recipe) -> str:
    if recipe.time_format == COUNTED:
        return table.frequency.removesuffix("s") or "1"
    return f"of rows, mostly {table.frequency}" if recipe.slots else table.frequency


def _times(factor: float) -> str:
    return "" if abs(factor) == 1 else f"{abs(factor):g} "
