"""`Recipe`: how a frame of raw columns becomes tables; plain data, so that a checkpoint can do it to new rows."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import (
    is_bool_dtype,
    is_complex_dtype,
    is_numeric_dtype,
    is_object_dtype,
    is_string_dtype,
)

from forecastlab.data.reading.frequency import find_frequency, require_steady
from forecastlab.data.reading.times import read_times, row_name
from forecastlab.data.table import Missing, Table, calendar_between, lay_out
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
        missing: how missing values are treated, see `Table.from_numbers`.
        zone: zone of the times, to which those of another are turned; "" for times without one, and None where it is
            to be found out.
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
    zone: str | None = None

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

        A series ends with its last row that has a target; rows after it hold what is known in advance. One of several
        series that has no target at all is left out with a warning.

        Args:
            frame: raw columns; further ones and their order do not matter.

        Raises:
            DataError: for a column that is not there or not numeric, times that are unsorted, duplicate or not on the
                calendar, infinite values, missing values that `missing` does not treat, static covariates that change.
            ConfigError: for a frequency that pandas does not know.
        """
        self._require_columns(frame)
        times = self.times(frame)
        numbers = self._numbers(frame)
        if self.series is None:
            return [self._table(self.name, times, numbers)]
        names = frame[self.series]
        if names.isna().any():
            row = int(np.flatnonzero(names.isna())[0])
            raise DataError(f"{row_name(frame.index, row)}: no name of a series in {self.series}")
        codes, series = pd.factorize(names.astype(str).to_numpy())
        order = np.argsort(codes, kind="stable")
        times, numbers = times[order], numbers[order]
        common = lru_cache(maxsize=1)(partial(_common_calendar, times))  # as a rule all have the same frequency
        stops = np.cumsum(np.bincount(codes)).tolist()
        spans = list(zip(series, [0, *stops[:-1]], stops, strict=True))
        places = [self._places[name] for name in self.targets]
        has_value = np.zeros(len(series), np.bool_)
        has_value[codes[order][~np.isnan(numbers[:, places]).all(axis=1)]] = True
        if has_value.any() and not has_value.all():
            empty = [str(name) for name, there in zip(series, has_value, strict=True) if not there]
            more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
            warnings.warn(
                f"left out, for the targets ({', '.join(self.targets)}) have no value at all: series "
                f"{', '.join(empty[:5])}{more}",
                stacklevel=2,
            )
            spans = [span for span, there in zip(spans, has_value, strict=True) if there]
        return [self._table(name, times[start:stop], numbers[start:stop], common) for name, start, stop in spans]

    def _require_columns(self, frame: pd.DataFrame) -> None:
        derived = [source for parts in self.derive.values() for source in parts]
        plain = [name for name in self._columns() if name not in self.derive]
        labels = [label for label in (self.time, self.series) if label is not None]
        unknown = [name for name in dict.fromkeys([*labels, *plain, *derived]) if name not in frame.columns]
        if unknown:
            raise _unknown(unknown, frame)
        duplicates = frame.columns[frame.columns.duplicated()]
        if len(duplicates):
            raise DataError(f"the names of columns must differ; duplicates: {', '.join(map(str, duplicates))}")

    def _columns(self) -> list[str]:
        """Every column that becomes one of the table, each once."""
        return list(dict.fromkeys([*self.features, *self.targets, *self.known, *self.static]))

    @cached_property
    def _places(self) -> dict[str, int]:
        """Numbers of the columns of the tables, without static ones."""
        changing = [name for name in self._columns() if name not in self.static]
        return {name: place for place, name in enumerate(changing)}

    @cached_property
    def _labels(self) -> tuple["pd.Index[Any]", "pd.Index[Any]"]:
        """Names of the columns of the tables, and of those known in advance."""
        labels = pd.Index(list(self._places))
        return labels, labels[[self._places[name] for name in self.known]]

    def times(self, frame: pd.DataFrame) -> pd.DatetimeIndex:
        """The times of a frame's rows, (rows,), in their order.

        Raises:
            DataError: if there is no such column, or no row, or a time cannot be read.
        """
        if not len(frame):
            raise DataError("expected at least one row of data, got none")
        if self.time is not None and self.time not in frame.columns:
            raise _unknown([self.time], frame)
        what = "the index" if self.time is None else f"column {self.time}"
        times = read_times(frame, None if self.time is None else [self.time]).times
        return self.in_zone(times.rename(self.time), what)

    def in_zone(self, times: pd.DatetimeIndex, what: str) -> pd.DatetimeIndex:
        """The same times in the recipe's zone.

        Args:
            times: (rows,).
            what: name for messages.

        Raises:
            DataError: if they have a zone and the recipe's have none, or the other way round: nobody knows how far
                apart they are.
        """
        if self.zone is None or str(times.tz) == self.zone:
            return times
        if times.tz is None and self.zone:
            raise DataError(
                f"{what} has times without a zone, such as {times[0]}; the network was trained on times in "
                f"{self.zone}: write them with their zone, such as {times[0]}+00:00"
            )
        if times.tz is None:
            return times
        if not self.zone:
            raise DataError(
                f"{what} has times in {times.tz}, such as {times[0]}; the network was trained on times without a zone: "
                "write them by the same clocks, without a zone"
            )
        return times.tz_convert(self.zone)

    def _numbers(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Columns that change and then static ones, (rows, columns), finite or NaN; derived ones added up."""
        sources = [source for parts in self.derive.values() for source in parts]
        plain = [name for name in dict.fromkeys([*self._columns(), *sources]) if name not in self.derive]
        numbers = {name: _numeric(frame[name]) for name in plain}
        for name in plain:
            _require_finite(name, numbers[name], frame.index)
        for name, parts in self.derive.items():
            # in one order: that of a mapping changes where it is written down, and with it the last bit of the sum
            numbers[name] = np.sum([factor * numbers[source] for source, factor in sorted(parts.items())], axis=0)
            _require_finite(name, numbers[name], frame.index)
        columns = [*self._places, *self.static]
        together = np.empty((len(frame), len(columns)))
        for place, name in enumerate(columns):
            together[:, place] = numbers[name]
        return together

    def _table(
        self,
        name: str,
        times: pd.DatetimeIndex,
        numbers: NDArray[np.float64],
        common: Callable[[str], pd.DatetimeIndex | None] = lambda frequency: None,
    ) -> Table:
        """A table of the rows of one series; `common` gives the calendar of all series, if there is one."""
        try:
            _require_increasing(times)
            values, constants = numbers[:, : len(self._places)], numbers[:, len(self._places) :]
            static = {column: _constant(column, constants[:, place]) for place, column in enumerate(self.static)}
            frequency = self.frequency or find_frequency(times)
            if self.regular:
                calendar, periods = lay_out(times, frequency, within=common(frequency))
                require_steady(times, periods, frequency, inferred=not self.frequency)
                times = calendar.rename(times.name)
                values = _placed(values, periods)
            targets = values[:, [self._places[target] for target in self.targets]]
            observed = np.flatnonzero(~np.isnan(targets).all(axis=1))
            if not observed.size:
                raise DataError(f"the targets ({', '.join(self.targets)}) have no value at all")
            first, stop = int(observed[0]) if self.missing == "mask" else 0, int(observed[-1]) + 1
            ahead = self._ahead(times, values, first, stop)
            times, values, columns = times[first:stop], values[first:stop], self._labels[0]
            return Table.from_numbers(name, times, columns, values, frequency, self.missing, ahead, static)
        except DataError as error:
            raise DataError(f"series {name}: {error}") from None

    def _ahead(self, times: pd.DatetimeIndex, values: NDArray[np.float64], first: int, stop: int) -> pd.DataFrame:
        """What is known in advance of the steps after a table's rows; nothing promised as known has holes."""
        known = values[:, [self._places[name] for name in self.known]]
        complete = np.flatnonzero(~np.isnan(known).any(axis=1))
        end = max([stop, *complete[-1:] + 1])
        holes = np.argwhere(np.isnan(known[first:end]))
        if len(holes):
            row, column = holes[0]
            raise DataError(
                f"{self.known[column]} is promised as known in advance, but has no value at {times[first + row]}: fill "
                "it, or name it under features instead of known"
            )
        return pd.DataFrame(known[stop:end], times[stop:end], self._labels[1], copy=True)


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


def _common_calendar(times: pd.DatetimeIndex, frequency: str) -> pd.DatetimeIndex | None:
    """A calendar from the first of all times to the last, without a zone; None where there is none such."""
    if times.tz is not None:
        return None
    try:
        return calendar_between(times.min(), times.max(), frequency)
    except (DataError, ConfigError):
        return None  # a part of it may be laid out all the same, or tells what is wrong


def _placed(values: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values at the given rows, up to the last of them, and NaN between."""
    if len(values) == rows[-1] + 1:
        return values
    placed = np.full((rows[-1] + 1, values.shape[1]), np.nan)
    placed[rows] = values
    return placed


def _constant(name: str, column: Numbers) -> float:
    values = pd.unique(column[~np.isnan(column)])
    if len(values) != 1:
        raise DataError(
            f"static covariate {name} must have one value in a series, got {len(values)}: name it under features or "
            "known instead"
        )
    return float(values[0])


def _require_increasing(times: pd.DatetimeIndex) -> None:
    stamps = times.asi8
    wrong = np.flatnonzero(stamps[1:] <= stamps[:-1])
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
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise ConfigError(f"{kind}: {twice[0]} is given twice")
