"""`Panel`: the series of a data source on one row axis, and the forecasts from their ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import pandas as pd
import torch

from forecastlab.batch import Schema
from forecastlab.data.calendar import calendar_of
from forecastlab.data.table import Table, calendar_after, calendar_between
from forecastlab.data.windows import Rows, Windows
from forecastlab.errors import DataError


@dataclass(frozen=True, eq=False)
class Panel:
    """One or more series on a common axis of rows.

    The axis of one series is its own rows. That of several is the calendar from the first row of any to the last.

    Attributes:
        tables: the series.
        times: (rows + horizon,): when each row was observed, and when the steps beyond the data will be.
        rows: the series as tensors.
    """

    tables: Sequence[Table]
    times: pd.DatetimeIndex
    rows: Rows

    @classmethod
    def of(cls, tables: Sequence[Table], schema: Schema) -> "Panel":
        """Lays series out on one axis.

        Raises:
            DataError: if there is none, two share a name, or their calendars differ.
        """
        if not tables:
            raise DataError("there is no series in the data")
        names = [table.name for table in tables]
        if len(set(names)) < len(names):
            raise DataError(f"the names of series must differ; double: {max(names, key=names.count)}")
        axis, frequency = tables[0].times, tables[0].frequency
        if len(tables) > 1:
            if other := next((table for table in tables if table.frequency != frequency), None):
                raise DataError(
                    f"the series differ in frequency: {names[0]} has {frequency}, {other.name} {other.frequency}: "
                    f"give it, --data.frequency {frequency}, if that is due to gaps, or forecast them apart"
                )
            axis = calendar_between(
                min(table.times[0] for table in tables), max(table.times[-1] for table in tables), frequency
            )
            if not tables[0].times.append([table.times for table in tables[1:]]).isin(axis).all():
                other = next(table for table in tables if not table.times.isin(axis).all())
                raise DataError(f"series {other.name} is not on the calendar of the others, {frequency} from {axis[0]}")
        times = cast(pd.DatetimeIndex, axis.append(calendar_after(axis[-1], schema.horizon, frequency)))
        calendar = calendar_of(schema, times)
        mask = schema.recipe.get("missing") == "mask"
        return cls(tables, times, Rows.of_tables(tables, times, schema, calendar, mask))

    @property
    def names(self) -> list[str]:
        """The series' names."""
        return [table.name for table in self.tables]

    def at_the_end(self, lookback: int | str, before: int = 0) -> Windows:
        """The last origin of each series, from which the steps beyond its rows are forecast.

        Args:
            lookback: rows in a window, or "full".
            before: origins before the last one that are wanted too, as far as there are so many.

        Raises:
            DataError: if a series is shorter than the lookback, or what is known in advance is not there.
        """
        rows = self.rows
        ends = rows.stop - 1
        begins = rows.first if lookback == "full" else rows.stop - int(lookback)
        short = torch.nonzero(begins < rows.first).flatten().tolist()
        if short:
            table = self.tables[short[0]]
            raise DataError(
                f"series {table.name} has {len(table.times)} rows, fewer than the lookback of {lookback}: the network "
                "forecasts from so many"
            )
        lacking = torch.nonzero(rows.known_stop < rows.stop + rows.horizon).flatten().tolist()
        if lacking:
            number = lacking[0]
            raise DataError(
                f"series {self.names[number]}: the covariates known in advance end at "
                f"{self.times[int(rows.known_stop[number]) - 1]}, but the forecast reaches to "
                f"{self.times[int(rows.stop[number]) - 1 + rows.horizon]}: append rows with their values, the targets "
                "left empty"
            )
        series = torch.arange(len(ends))
        if lookback == "full":
            return Windows(rows, series, begins, torch.maximum(ends - before, begins), ends)
        counts = (begins - rows.first).clamp(max=before) + 1
        series = series.repeat_interleave(counts)
        ends = torch.cat([torch.arange(end + 1 - count, end + 1) for end, count in zip(ends, counts, strict=True)])
        return Windows(rows, series, ends + 1 - int(lookback), ends, ends)
