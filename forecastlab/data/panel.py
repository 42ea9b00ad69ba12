"""`Panel`: the series of a data source on one row axis, and the forecasts from their ends."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from forecastlab.batch import Schema
from forecastlab.data.calendar import calendar_of
from forecastlab.data.reading.counted import COUNTED, numbers_of
from forecastlab.data.reading.pattern import times_after
from forecastlab.data.table import Table, calendar_after, calendar_between
from forecastlab.data.windows import Rows, Windows
from forecastlab.errors import DataError

ROWS_AT_ONCE = 1 << 20
"""Rows of a large panel that are looked at together, but for those of a longer series."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One or more series on a common axis of rows.

    The axis of one series is its own rows. That of several is the calendar from the first row of any to the last, or
    the rows of all where steps are counted by rows.

    Attributes:
        tables: the series.
        times: (rows + horizon,): when each row was observed, and when the steps beyond the data will be.
        labels: (rows + horizon,): the times as they are shown: numbers where rows are counted.
        rows: the series as tensors.
        schema: names and sizes, among them the rows of a window.
    """

    tables: Sequence[Table]
    times: pd.DatetimeIndex
    labels: "pd.Index[Any]"
    rows: Rows
    schema: Schema

    @classmethod
    def of(cls, tables: Sequence[Table], schema: Schema, weight: str = "") -> "Panel":
        """Lays series out on one axis.

        Args:
            tables: the series.
            schema: names and sizes.
            weight: the column of the rows' weights in the loss; "" for none.

        Raises:
            DataError: if there is none, two share a name, or their calendars differ.
        """
        if not tables:
            raise DataError("there is no series in the data")
        require_different([table.name for table in tables])
        axis, frequency = tables[0].times, tables[0].frequency
        slots = schema.recipe.get("slots", ())
        every = tables[0].times.append([table.times for table in tables[1:]])
        if len(tables) > 1 and slots:
            axis = cast(pd.DatetimeIndex, every.unique().sort_values())
        elif len(tables) > 1:
            require_one_frequency([(table.name, table.frequency) for table in tables])
            axis = calendar_between(
                min(table.times[0] for table in tables), max(table.times[-1] for table in tables), frequency
            )
            if not every.isin(axis).all():
                other = next(table for table in tables if not table.times.isin(axis).all())
                raise not_on_calendar(other.name, frequency, axis[0])
        after = steps_after(axis[-1], schema.horizon, frequency, slots)
        times = cast(pd.DatetimeIndex, axis.append(after))
        labels = numbers_of(times) if schema.recipe.get("time_format") == COUNTED else times
        calendar = calendar_of(schema, times)
        mask = schema.recipe.get("missing") == "mask"
        return cls(tables, times, labels, Rows.of_tables(tables, times, schema, calendar, mask, weight), schema)

    @property
    def names(self) -> list[str]:
        """The series' names."""
        return [table.name for table in self.tables]

    def parts(self) -> Iterator[tuple[range, "Panel"]]:
        """The panel in parts of series that follow each other, so that what is computed of their rows fits in memory.

        Yields:
            The numbers of the series of a part, and the part, on the axis of the whole. Its tables are left out.
        """
        ends = (self.rows.base + self.rows.stop).numpy()
        start = 0
        while start < len(ends):
            begin = int(self.rows.base[start] + self.rows.first[start])
            stop = max(start + 1, int(np.searchsorted(ends, begin + ROWS_AT_ONCE, side="right")))
            yield range(start, stop), replace(self, tables=(), rows=self.rows.of_series(start, stop))
            self.rows.let_go()
            start = stop

    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(flat rows,): the number of the series of each row, and its row of the axis."""
        rows = self.rows
        lengths = (rows.stop - rows.first).numpy() + rows.horizon
        series = np.repeat(np.arange(len(lengths)), lengths)
        return series, np.arange(len(series)) - rows.base.numpy()[series]

    def stamps(self) -> NDArray[np.int64]:
        """(flat rows,): the time of each row in microseconds in UTC."""
        _, axis = self.places()
        return self.times.as_unit("us").asi8[np.minimum(axis, len(self.times) - 1)]

    def not_at_the_end(self) -> dict[int, str]:
        """The series that cannot be forecast from their end: their numbers, and why not, to be put behind the name."""
        rows = self.rows
        reasons = {}
        lacking = rows.known_stop < rows.stop + rows.horizon
        for number in torch.nonzero(lacking).flatten().tolist():
            reasons[number] = (
                f": the covariates known in advance end at {self.times[int(rows.known_stop[number]) - 1]}, but the "
                f"forecast reaches to {self.times[int(rows.stop[number]) - 1 + rows.horizon]}: append rows with their "
                "values, the targets left empty"
            )
        least = self.schema.least_history
        what = "lookback" if self.schema.min_history is None else "min_history"
        lengths = rows.stop - rows.first
        for number in torch.nonzero(lengths < least).flatten().tolist():
            reasons[number] = (
                f" has {int(lengths[number])} rows, fewer than the {what} of {least}: the network forecasts from so "
                "many"
            )
        return dict(sorted(reasons.items()))

    def at_the_end(self, before: int = 0, without: Collection[int] = ()) -> Windows:
        """The last origin of each series, from which the steps beyond its rows are forecast.

        A series that cannot be forecast (`not_at_the_end`) is left out.

        Args:
            before: origins before the last one that are wanted too, as far as there are so many.
            without: numbers of further series to leave out.

        Raises:
            DataError: if no series is left: each is shorter than the lookback, or what is known in advance is not
                there.
        """
        rows = self.rows
        unfit, lookback = self.not_at_the_end(), self.schema.lookback
        series = torch.tensor([n for n in range(len(self.tables)) if n not in unfit and n not in without])
        if not len(series):
            number, reason = next(iter(unfit.items()))
            raise DataError(f"series {self.names[number]}{reason}")
        first, ends = rows.first[series], rows.stop[series] - 1
        if lookback == "full":
            return Windows(rows, series, first, torch.maximum(ends - before, first), ends)
        counts = (ends + 1 - self.schema.least_history - first).clamp(max=before) + 1
        return Windows.at_equal_distances(rows, series, ends + 1 - counts, 1, counts, int(lookback), score_gaps=True)


def require_different(names: Sequence[str]) -> None:
    """Raises DataError if two series share a name."""
    if len(set(names)) < len(names):
        name, _ = Counter(names).most_common(1)[0]
        raise DataError(f"the names of series must differ; duplicates: {name}")


def require_one_frequency(given: Sequence[tuple[str, str]]) -> None:
    """Raises DataError if series, of which the names and frequencies are given, differ in frequency."""
    name, frequency = given[0]
    if other := next((each for each in given if each[1] != frequency), None):
        raise DataError(
            f"the series differ in frequency: {name} has {frequency}, {other[0]} {other[1]}: "
            f"give it, --data.frequency {frequency}, if that is due to gaps, or forecast them apart"
        )


def not_on_calendar(name: str, frequency: str, first: pd.Timestamp) -> DataError:
    """The error for a series that is not on the calendar of the others, which begins at a time."""
    return DataError(f"series {name} is not on the calendar of the others, {frequency} from {first}")


def steps_after(last: pd.Timestamp, steps: int, frequency: str, slots: Sequence[int]) -> pd.DatetimeIndex:
    """When the steps behind a row will be, (steps,).

    Args:
        last: the time of the row.
        steps: how many.
        frequency: the step of the calendar as a pandas offset.
        slots: the times of the week at which there are rows, if steps are counted by rows; else ().

    Raises:
        DataError: if there are none such in the calendar.
    """
    return times_after(last, steps, slots) if slots else calendar_after(last, steps, frequency)


def left_out(names: Sequence[str], reasons: Mapping[int, str], most: int = 10) -> list[str]:
    """Sentences that name the series without a forecast, and say why.

    Args:
        names: the series' names.
        reasons: by number of the series.
        most: how many are named.
    """
    sentences = [f"not forecast: series {names[number]}{reason}" for number, reason in list(reasons.items())[:most]]
    return sentences + ([f"nor of {len(reasons) - most} more"] if len(reasons) > most else [])
