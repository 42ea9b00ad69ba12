"""`Recipe`: how a frame of raw columns becomes tables; plain data, so that a checkpoint can do it to new rows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import (
    is_bool_dtype,
    is_complex_dtype,
    is_datetime64_any_dtype,
    is_numeric_dtype,
    is_object_dtype,
    is_string_dtype,
)

from forecastlab.data.table import Missing, Table, reindex
from forecastlab.data.times import find_frequency, parse_times, require_steady, row_name
from forecastlab.errors import ConfigError, DataError

Numbers = NDArray[np.float64]
"""(rows,)"""


@dataclass(frozen=True)
class Recipe:
    """Names the columns of a frame, one row per time and series, and what is made of them.

    Attributes:
        time: column of the times; None where they are the frame's index.
        series: column that tells the series apart; None for a frame of one series.
        name: name of the one series of such a frame.
        targets: columns to predict.
        features: columns that are inputs, and known up to the forecast origin only.
        known: columns that are inputs, and known in advance.
        static: columns that are inputs, and do not change within a series.
        derive: columns made as signed sums of others: {"imbalance": {"load": 1, "wind": -1}}.
        frequency: step of the calendar as a pandas offset; "" where it is to be found out.
        regular: whether steps that the calendar has and the frame has not become rows with missing values.
        missing: how missing values are treated, see `Table.from_raw`.
    """

    time: str | None = None
    series: str | None = None
    name: str = "series"
    targets: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    derive: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    frequency: str = ""
    regular: bool = True
    missing: Missing = "error"

    def as_dict(self) -> dict[str, Any]:
        """The recipe as plain lists, strings and numbers."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """The inverse of `as_dict`."""
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**plain)

    def tables(self, frame: pd.DataFrame) -> list[Table]:
        """A table per series, in the order in which they first appear in the frame.

        A series ends with its last row that has a target; rows after it hold what is known in advance.

        Args:
            frame: raw columns; further ones and their order do not matter.

        Raises:
            DataError: for a column that is not there or not numeric, times that are unsorted, double or not on the
                calendar, infinite values, missing values that `missing` does not treat, static covariates that change.
            ConfigError: for a frequency that pandas does not know.
        """
        self._require_columns(frame)
        times = self.times(frame)
        raw = self._numbers(frame, times)
        if self.series is None:
            return [self._table(self.name, raw)]
        names = frame[self.series]
        if names.isna().any():
            row = int(np.flatnonzero(names.isna())[0])
            raise DataError(f"{row_name(frame.index, row)}: no name of a series in {self.series}")
        groups = raw.groupby(names.astype(str).to_numpy(), sort=False)
        return [self._table(cast(str, name), group) for name, group in groups]

    def _require_columns(self, frame: pd.DataFrame) -> None:
        derived = [source for parts in self.derive.values() for source in parts]
        plain = [name for name in self._columns() if name not in self.derive]
        labels = [label for label in (self.time, self.series) if label is not None]
        unknown = [name for name in dict.fromkeys([*labels, *plain, *derived]) if name not in frame.columns]
        if unknown:
            raise _unknown(unknown, frame)
        double = frame.columns[frame.columns.duplicated()]
        if len(double):
            raise DataError(f"the names of columns must differ; double: {', '.join(map(str, double))}")

    def _columns(self) -> list[str]:
        """Every column that becomes one of the table, each once."""
        return list(dict.fromkeys([*self.features, *self.targets, *self.known, *self.static]))

    def times(self, frame: pd.DataFrame) -> pd.DatetimeIndex:
        """The times of a frame's rows, (rows,), in their order.

        Raises:
            DataError: if there is no such column, or no row, or a time cannot be read.
        """
        if not len(frame):
            raise DataError("expected at least one row of data, got none")
        if self.time is not None and self.time not in frame.columns:
            raise _unknown([self.time], frame)
        given = pd.Series(frame.index, index=frame.index) if self.time is None else frame[self.time]
        what = "the index" if self.time is None else f"column {self.time}"
        if given.isna().any():
            raise DataError(f"{row_name(frame.index, int(np.flatnonzero(given.isna())[0]))}: no time in {what}")
        if is_datetime64_any_dtype(given):
            return pd.DatetimeIndex(given, name=self.time)
        if is_numeric_dtype(given):
            raise DataError(f"{what} holds numbers such as {given.iloc[0]}; expected times such as 2024-01-31 13:00")
        return parse_times(given, what).rename(self.time)

    def _numbers(self, frame: pd.DataFrame, times: pd.DatetimeIndex) -> pd.DataFrame:
        """The columns as finite float64 or NaN, derived ones added up, indexed by the times."""
        sources = [source for parts in self.derive.values() for source in parts]
        plain = [name for name in dict.fromkeys([*self._columns(), *sources]) if name not in self.derive]
        numbers = {name: _numeric(frame[name]) for name in plain}
        for name in plain:
            _require_finite(name, numbers[name], frame.index)
        for name, parts in self.derive.items():
            numbers[name] = np.sum([factor * numbers[source] for source, factor in parts.items()], axis=0)
            _require_finite(name, numbers[name], frame.index)
        return pd.DataFrame({name: numbers[name] for name in self._columns()}, index=times)

    def _table(self, name: str, raw: pd.DataFrame) -> Table:
        try:
            times = cast(pd.DatetimeIndex, raw.index)
            _require_increasing(times)
            static = {column: _constant(column, raw[column]) for column in self.static}
            raw = raw[[column for column in raw.columns if column not in self.static]]
            frequency = self.frequency or find_frequency(times)
            if self.regular:
                require_steady(times, frequency, found=not self.frequency)
                raw = reindex(raw, frequency)
            observed = np.flatnonzero(raw[list(self.targets)].notna().any(axis=1))
            if not observed.size:
                raise DataError(f"the targets ({', '.join(self.targets)}) have no value at all")
            first = int(observed[0]) if self.missing == "mask" else 0
            rows = raw.iloc[first : observed[-1] + 1]
            ahead = self._ahead(rows, raw.iloc[observed[-1] + 1 :])
            table = Table.from_raw(name, rows, frequency, missing=self.missing)
            return Table(name, table.times, table.values, table.observed, frequency, table.later, ahead, static)
        except DataError as error:
            raise DataError(f"series {name}: {error}") from None

    def _ahead(self, rows: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
        """What is known in advance of the steps after the last row; nothing promised as known has holes."""
        known, after = rows[list(self.known)], after[list(self.known)]
        whole = after.notna().all(axis=1).to_numpy()
        steps = int(whole.argmin()) if not whole.all() else len(after)
        known = pd.concat([known, after.iloc[:steps] if not whole[steps:].any() else after])
        if known.isna().to_numpy().any():
            row, column = np.argwhere(known.isna().to_numpy())[0]
            raise DataError(
                f"{self.known[column]} is promised as known in advance, but has no value at {known.index[row]}: fill "
                "it, or name it under features instead of known"
            )
        return after.iloc[:steps]


def _unknown(names: Sequence[str], frame: pd.DataFrame) -> DataError:
    columns = ", ".join(map(str, frame.columns[:20])) + (" ..." if len(frame.columns) > 20 else "")
    return DataError(f"unknown column {', '.join(names)}; the data have {columns}")


def _numeric(column: "pd.Series[Any]") -> Numbers:
    """Numbers of any type, also as text, (rows,); NaN where a value is missing."""
    if is_bool_dtype(column) or (is_numeric_dtype(column) and not is_complex_dtype(column)):
        numbers = column.astype(np.float64)
    elif is_object_dtype(column) or is_string_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype):
        numbers = pd.to_numeric(column.astype(object), errors="coerce").astype(np.float64)
    else:
        raise DataError(f"column {column.name}: expected numbers, got values of type {column.dtype}")
    wrong = np.flatnonzero(numbers.isna() & column.notna())
    if wrong.size:
        row = int(wrong[0])
        raise DataError(
            f"{row_name(column.index, row)}, column {column.name}: expected a number, got {_shown(column.iloc[row])}"
        )
    return cast(Numbers, numbers.to_numpy())


def _require_finite(name: str, values: Numbers, index: "pd.Index[Any]") -> None:
    """Raises DataError for a number that the network's float32 does not hold."""
    wrong = np.flatnonzero(np.abs(values) > np.finfo(np.float32).max)
    if wrong.size:
        row = int(wrong[0])
        raise DataError(
            f"{row_name(index, row)}, column {name}: expected a finite number below 3.4e38, got {values[row]}. Leave "
            "the cell empty if the value is not known"
        )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _constant(name: str, column: "pd.Series[float]") -> float:
    values = column.dropna().unique()
    if len(values) != 1:
        raise DataError(
            f"static covariate {name} must have one value in a series, got {len(values)}: name it under features or "
            "known instead"
        )
    return float(values[0])


def _require_increasing(times: pd.DatetimeIndex) -> None:
    wrong = np.flatnonzero(times[1:] <= times[:-1])
    if wrong.size:
        row = int(wrong[0]) + 1
        kind = "a second row" if times[row] == times[row - 1] else f"after {times[row - 1]}"
        raise DataError(
            f"expected times that increase from row to row; row {row + 1} of the series is at {times[row]}, {kind}.\n"
            "Sort the rows by time and keep one per time; for several series, name their column: --data.series_column."
        )


def require_plain(derive: Mapping[str, Mapping[str, float]]) -> None:
    """Raises ConfigError unless derived columns are signed sums of columns that are not derived."""
    for name, parts in derive.items():
        if not isinstance(parts, Mapping) or not parts:
            raise ConfigError(f"derive.{name}: expected columns and their factors, {{load: 1}}, got {parts!r}")
        for source, factor in parts.items():
            if source in derive:
                raise ConfigError(f"derive.{name}: {source} is itself derived; write its own columns instead")
            if isinstance(factor, bool) or not isinstance(factor, int | float) or not np.isfinite(factor):
                raise ConfigError(f"derive.{name}: expected a number as the factor of {source}, got {factor!r}")


def unique_names(kind: str, names: Sequence[str]) -> None:
    """Raises ConfigError for a name that is given twice."""
    double = [name for number, name in enumerate(names) if name in names[:number]]
    if double:
        raise ConfigError(f"{kind}: {double[0]} is given twice")
