"""From a frame with a row per series and time to a `Table` per series."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.coarser import Rows, aggregated, resampled
from forecastlab.data.reading.counted import COUNTED, frequency_of
from forecastlab.data.reading.frequency import find_frequency, require_steady
from forecastlab.data.reading.long import Long, long_of
from forecastlab.data.reading.markers import suspicious
from forecastlab.data.reading.order import merged, order_of
from forecastlab.data.reading.pattern import ROWS, closed_share, slots_of
from forecastlab.data.reading.places import row_name
from forecastlab.data.reading.values import Numbers, numbers_of, require_finite
from forecastlab.data.recipe import Recipe
from forecastlab.data.table import Table, calendar_between, lay_out
from forecastlab.data.transform import require_domain
from forecastlab.data.weights import require_weights
from forecastlab.errors import ConfigError, DataError, ReadingNote

_LOOKED_AT = 1000
"""Series that are searched for marks of missing values."""
_ENOUGH = 100
"""Steps of a calendar from which a pattern of the week is told."""


class Tables(NamedTuple):
    """The series of a frame.

    Attributes:
        tables: one per series.
        recipe: with what was found out about the frame.
        notes: what was decided or done to the rows, in sentences.
    """

    tables: list[Table]
    recipe: Recipe
    notes: list[str]


def read_tables(frame: pd.DataFrame, recipe: Recipe) -> list[Table]:
    """A table per series, as `tables_of` makes them; what was decided or done to the rows is said in warnings.

    Args:
        frame: raw columns; further ones and their order do not matter.
        recipe: what they are.

    Raises:
        DataError: as `long_of` and `tables_of`.
        ConfigError: as `tables_of`.
    """
    found = tables_of(long_of(frame, recipe))
    for note in found.notes:
        warnings.warn(note, ReadingNote, stacklevel=2)
    return found.tables


def tables_of(long: Long) -> Tables:
    """A table per series, in the order in which they first appear in the frame.

    A series ends with its last row that has a target; rows after it hold what is known in advance. One of several
    series that has no target at all is left out.

    Raises:
        DataError: for a column that is not numeric, equal times, times that are not on the calendar, infinite values,
            missing values that `missing` does not treat, static covariates that change.
        ConfigError: for a frequency that pandas does not know.
    """
    notes = list(long.notes)
    tabulator = Tabulator(long.recipe)
    rows = Rows(long.times, long.codes, long.names, numbers_of_columns(long.frame, long.recipe, notes))
    tables = tabulator.tables(rows, partial(row_name, long.frame), long.frame)
    return Tables(tables, tabulator.recipe, [*notes, *tabulator.notes()])


class Tabulator:
    """Makes a table of each series, of all at once or of some after others, and counts what is done to their rows.

    Args:
        recipe: what the columns are.

    Attributes:
        recipe: with what was found out about the rows.

    Raises:
        ConfigError: if a value is to be put into a column of text.
    """

    def __init__(self, recipe: Recipe) -> None:
        if text := [name for name, value in recipe.fill.items() if value != "ffill" and name not in recipe.known]:
            raise ConfigError(
                f"fill: {text[0]} holds text, and is no number: leave it out, and it holds its last value"
            )
        self.recipe = recipe
        self._coarser: list[str] = []
        self._rows = self._moved = self._doubled = 0
        self._reversed = True
        self._weighted = False
        self._made = 0
        self._empty: list[str] = []
        self._slots: list[str] = []
        self._steps = _Steps()
        self._marks = _Marks()

    def tables(self, given: Rows, name_of: Callable[[int], str], frame: pd.DataFrame | None = None) -> list[Table]:
        """The tables of series, each of whose rows are all among the given ones.

        Args:
            given: the rows.
            name_of: what messages call a row of this number.
            frame: (rows, columns), raw, for series that are taken together; None if none are.

        Raises:
            DataError: as `tables_of`.
            ConfigError: as `tables_of`.
        """
        times, codes, names, numbers = given
        recipe = self.recipe
        order = order_of(codes, times.asi8)
        self._rows += len(times)
        self._moved += order.moved
        self._reversed &= order.reversed
        if not order.kept:
            times, codes, numbers = times[order.rows], codes[order.rows], numbers[order.rows]
        if not order.first.all():
            _require_policy(given, recipe, order.rows, order.first, name_of)
            changing = list(recipe.places)
            beside = (*recipe.known, recipe.weight)
            computed = np.array([name not in beside or recipe.duplicates == "mean" for name in changing])
            computed = np.append(computed, np.zeros(len(recipe.static), np.bool_))
            numbers = merged(numbers, order.first, recipe.duplicates, computed)
            self._doubled += int((~order.first).sum())
            times, codes = times[order.first], codes[order.first]
        kept = order.rows[order.first]

        def row_of(row: int) -> str:
            return name_of(int(kept[row]))

        self._weighted |= require_weights(recipe, numbers, row_of)
        if recipe.aggregate:
            assert frame is not None
            groups = frame[list(recipe.aggregate["by"])].iloc[kept]
            times, codes, names, numbers = aggregated(Rows(times, codes, names, numbers), groups, recipe, self._coarser)
        if recipe.resample:
            rows, recipe = resampled(Rows(times, codes, names, numbers), recipe, self._coarser)
            times, codes, names, numbers = rows
        if recipe.weight:  # a row without a target needs none
            place = recipe.places[recipe.weight]
            numbers[:, place] = np.nan_to_num(numbers[:, place])
        taken_together = bool(recipe.aggregate or recipe.resample)
        for name, setting in recipe.transform.items():
            period_of = partial(_period_name, names, codes, times)
            require_domain(name, setting, numbers[:, recipe.places[name]], period_of if taken_together else row_of)
        spans, empty = _spans(names, recipe, codes, numbers)
        self._empty += empty
        self._made += len(spans)
        self.recipe = recipe = _with_slots(recipe, times, self._slots)
        layer = _Layer(recipe, times, self._steps)
        tables = [layer.table(name, times[start:stop], numbers[start:stop]) for name, start, stop in spans]
        self._marks.look_at(tables, recipe)
        return tables

    def notes(self) -> list[str]:
        """What was decided or done to the rows of all tables, in sentences.

        Raises:
            DataError: if no series has a target, or every weight is 0.
        """
        recipe, notes = self.recipe, []
        if not self._made:
            raise DataError(f"series {self._empty[0]}: the targets ({', '.join(recipe.targets)}) have no value at all")
        if recipe.weight and not self._weighted:
            raise DataError(f"weight_column: every weight in {recipe.weight} is 0, so that no row would train")
        if self._moved:
            which = "every row is" if self._reversed else f"{self._moved} of {self._rows} rows are"
            notes.append(f"{which} earlier than the row before: the {self._rows} rows were sorted by time")
        if self._doubled:
            notes.append(
                f"{self._doubled} of {self._rows} rows have the series and time of another row: "
                f"{'their values are taken together' if recipe.duplicates in ('mean', 'sum') else 'one row is kept'} "
                f"(duplicates: {recipe.duplicates})"
            )
        notes += self._coarser
        if self._empty:
            more = f" and {len(self._empty) - 5} more" if len(self._empty) > 5 else ""
            notes.append(
                f"left out, for the targets ({', '.join(recipe.targets)}) have no value at all: series "
                f"{', '.join(self._empty[:5])}{more}"
            )
        return [*notes, *self._slots, *self._steps.notes(recipe), *self._marks.notes()]


def _period_name(names: Sequence[str], codes: NDArray[np.int64], times: pd.DatetimeIndex, row: int) -> str:
    return f"series {names[int(codes[row])]} at {times[row]}, taken together"


def _spans(
    names: Sequence[str], recipe: Recipe, codes: NDArray[np.int64], numbers: NDArray[np.float64]
) -> tuple[list[tuple[str, int, int]], list[str]]:
    """Name, first row and row behind the last of each series that has a target; and the names of those that have none.

    A series without rows is neither.
    """
    stops = np.cumsum(np.bincount(codes, minlength=len(names)))
    places = [recipe.places[name] for name in recipe.targets]
    has_value = np.zeros(len(names), np.bool_)
    has_value[codes[~np.isnan(numbers[:, places]).all(axis=1)]] = True
    spans, empty = [], []
    begins = [0, *stops[:-1].tolist()]
    for name, start, stop, there in zip(names, begins, stops.tolist(), has_value.tolist(), strict=True):
        if there:
            spans.append((str(name), start, stop))
        elif stop > start:
            empty.append(str(name))
    return spans, empty


def _require_policy(
    given: Rows, recipe: Recipe, rows: NDArray[np.int64], first: NDArray[np.bool_], name_of: Callable[[int], str]
) -> None:
    """Raises DataError if rows of the same series and time are refused."""
    if recipe.duplicates != "error":
        return
    place = int(np.flatnonzero(~first)[0])
    one, other = int(rows[place - 1]), int(rows[place])
    of_series = f" of series {given.names[given.codes[one]]}" if recipe.series is not None else ""
    hint = "" if recipe.series is not None else "; for several series, name their column: --data.series_column"
    raise DataError(
        f"{int((~first).sum())} of {len(first)} rows have the time of another row{of_series}, such as "
        f"{label_of(given.times[one], recipe)}: {name_of(one)} and {name_of(other)}.\n"
        f"Choose what becomes of them, --data.duplicates first, last, mean or sum{hint}"
    )


def label_of(time: pd.Timestamp, recipe: Recipe) -> str:
    """A time as it is shown: as a number where rows are counted."""
    return str(int(time.timestamp())) if recipe.time_format == COUNTED else str(time)


def numbers_of_columns(frame: pd.DataFrame, recipe: Recipe, notes: list[str]) -> NDArray[np.float64]:
    """Columns that change and then static ones, (rows, columns), finite or NaN; derived ones added up.

    Args:
        frame: (rows, columns), raw.
        recipe: what they are.
        notes: takes sentences.

    Raises:
        DataError: for a value that is no number.
    """
    made = {f"{name}={value}" for name, values in recipe.categories.items() for value in values}
    sources = [source for parts in recipe.derive.values() for source in parts]
    plain = [name for name in dict.fromkeys([*recipe.columns, *sources]) if name not in {*recipe.derive, *made}]
    numbers = {name: numbers_of(frame[name], recipe.na_values, recipe.decimal, recipe.thousands) for name in plain}
    for name, values in recipe.categories.items():
        numbers |= _indicators(frame, name, values, recipe, notes)
    for name, parts in recipe.derive.items():
        # in one order: that of a mapping changes where it is written down, and with it the last bit of the sum
        numbers[name] = np.sum([factor * numbers[source] for source, factor in sorted(parts.items())], axis=0)
        require_finite(name, numbers[name], frame)
    columns = [*recipe.places, *recipe.static]
    together = np.empty((len(frame), len(columns)))
    for place, name in enumerate(columns):
        together[:, place] = numbers[name]
    return together


def _indicators(
    frame: pd.DataFrame, name: str, values: Sequence[str], recipe: Recipe, notes: list[str]
) -> dict[str, Numbers]:
    """A column of 0 and 1 per value of a column of text; NaN where it has none."""
    column = frame[name]
    text = column.astype(object).where(column.notna(), None)
    text = text.map(str, na_action="ignore")
    missing = text.isna() | text.isin([str(marker) for marker in recipe.na_values])
    unseen = ~missing & ~text.isin(list(values))
    if unseen.any():
        others = sorted(set(text[unseen]))
        notes.append(
            f"column {name} has {int(unseen.sum())} values that the training had not ({', '.join(others[:5])}): all of "
            "its inputs are 0 there"
        )
    return {
        f"{name}={value}": np.where(missing, np.nan, (text == value).to_numpy(np.float64)).astype(np.float64)
        for value in values
    }


def _with_slots(recipe: Recipe, times: pd.DatetimeIndex, notes: list[str]) -> Recipe:
    """Has steps counted by rows if the frequency says so."""
    if recipe.frequency != ROWS:
        return recipe
    if recipe.time_format == COUNTED:
        raise ConfigError("frequency: rows is for times; rows that are counted follow each other by 1: leave it out")
    slots = slots_of(times)
    days = {second // 86400 for second in slots}
    notes.append(
        f"steps are counted by rows; rows lie at {len(slots)} times of the week on {len(days)} of its days, at which "
        "the forecast goes on"
    )
    return replace(recipe, frequency="", regular=False, slots=slots)


class _Marks:
    """Values of the first series that may mark missing ones."""

    def __init__(self) -> None:
        self._looked_at = 0
        self._counts: dict[str, dict[float, int]] = {}
        self._others: dict[str, tuple[float, float]] = {}
        """By column, the least and the largest of the other values."""

    def look_at(self, tables: Sequence[Table], recipe: Recipe) -> None:
        """Looks at further series."""
        more = tables[: _LOOKED_AT - self._looked_at]
        self._looked_at += len(more)
        looked_at = [(table.values.to_numpy(), table.observed.to_numpy()) for table in more]
        for name in dict.fromkeys([*recipe.targets, *recipe.features]):
            place = recipe.places[name]
            counts = self._counts.setdefault(name, {})
            for columns, observed in looked_at:
                values = columns[observed[:, place], place]
                found = suspicious(values)
                if found is not None:
                    counts[found[0]] = counts.get(found[0], 0) + found[1]
                    rest = values[values != found[0]]
                    low, high = self._others.get(name, (np.inf, -np.inf))
                    self._others[name] = min(low, float(rest.min())), max(high, float(rest.max()))

    def notes(self) -> list[str]:
        """What they are, in sentences."""
        return [
            f"column {name} is {value:g} in {count} rows, far from its other values, {self._others[name][0]:g} .. "
            f"{self._others[name][1]:g}; if that marks missing values: --data.na_values [{value:g}]"
            for name, counts in self._counts.items()
            for value, count in counts.items()
        ]


class _Steps:
    """What was put into steps of the calendar that have no row."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        """By column that is known in advance, the number of steps."""
        self.inserted = 0
        """The number of steps."""
        self.closed = 0.0
        """The share of one series' steps that lie at times of the week that never have a row."""

    def notes(self, recipe: Recipe) -> list[str]:
        """The same in sentences."""
        notes = []
        for name, count in self.held.items():
            constant = recipe.fill.get(name, "ffill")
            there = "holds its last value" if constant == "ffill" else f"is {constant:g}"
            notes.append(f"{name} is known in advance, but {count} steps of the calendar have no row: it {there} there")
        if self.inserted and self.closed > 0.25:
            notes.append(
                f"{self.closed:.0%} of the calendar's steps lie at times of the week that never have a row, such as "
                "nights or weekends. They count as missing steps, and are forecast; to count steps by rows: "
                "--data.frequency rows"
            )
        return notes


class _Layer:
    """Lays the rows of series out on their calendar.

    Args:
        recipe: what the columns are.
        times: (rows,), of all series.
        steps: counts the steps that have no row.
    """

    def __init__(self, recipe: Recipe, times: pd.DatetimeIndex, steps: _Steps) -> None:
        self.recipe = recipe
        self._steps = steps
        self._several = recipe.series is not None
        self._times = times
        # as a rule all series have the same frequency
        self._common: Callable[[str], pd.DatetimeIndex | None] = lru_cache(maxsize=1)(partial(_common_calendar, times))
        self._union = times.unique().sort_values() if recipe.slots and self._several else None
        self._frequencies: dict[bytes, str] = {}
        self._last: tuple[NDArray[np.int64], str, pd.DatetimeIndex, NDArray[np.int64]] | None = None
        """The times of the series before, its frequency, its calendar and the steps of its rows."""
        self._nothing: tuple[pd.DatetimeIndex, pd.DataFrame] | None = None
        """Times after which nothing is known, and the frame that says so."""

    def table(self, name: str, times: pd.DatetimeIndex, numbers: NDArray[np.float64]) -> Table:
        """The table of the rows of one series, (rows,) and (rows, columns)."""
        recipe = self.recipe
        try:
            values, constants = numbers[:, : len(recipe.places)], numbers[:, len(recipe.places) :]
            static = {column: _constant(column, constants[:, place]) for place, column in enumerate(recipe.static)}
            frequency = self._frequency(times)
            if recipe.regular:
                calendar, periods = self._calendar(times, frequency)
                times, values = self._placed(times, calendar, values, periods)
            elif self._union is not None:
                begin, end = self._union.searchsorted([times[0], times[-1]])
                calendar = self._union[begin : end + 1].rename(times.name)
                times, values = self._placed(times, calendar, values, calendar.get_indexer(times).astype(np.int64))
            targets = values[:, [recipe.places[target] for target in recipe.targets]]
            observed = np.flatnonzero(~np.isnan(targets).all(axis=1))
            first, stop = int(observed[0]) if recipe.missing == "mask" else 0, int(observed[-1]) + 1
            ahead = self._ahead(times, values, first, stop)
            if (first, stop) != (0, len(times)):
                times, values = times[first:stop], values[first:stop]
            return Table.from_numbers(name, times, recipe.labels[0], values, frequency, recipe.missing, ahead, static)
        except DataError as error:
            raise DataError(f"series {name}: {error}") from None

    def _frequency(self, times: pd.DatetimeIndex) -> str:
        recipe = self.recipe
        if recipe.frequency:
            return recipe.frequency
        if recipe.time_format != COUNTED:
            key = times.asi8.tobytes()  # many series of a panel have the same times
            if key not in self._frequencies:
                self._frequencies[key] = find_frequency(times)
            return self._frequencies[key]
        if len(times) < 2:
            return frequency_of(1)
        steps, counts = np.unique(np.diff(times.as_unit("s").asi8), return_counts=True)
        return frequency_of(int(steps[counts.argmax()]))

    def _calendar(self, times: pd.DatetimeIndex, frequency: str) -> tuple[pd.DatetimeIndex, NDArray[np.int64]]:
        """Every step from the first time to the last, and the step of each row.

        Series of the same times that follow each other share both, which saves most of the work of a large panel.
        """
        if self._last is not None:
            stamps, of, calendar, periods = self._last
            if of == frequency and np.array_equal(stamps, times.asi8):
                return calendar, periods
        common = self._common(frequency) if self._several else None
        calendar, periods = lay_out(times, frequency, within=common)
        require_steady(times, periods, frequency, inferred=not self.recipe.frequency)
        calendar = calendar.rename(times.name)
        self._last = times.asi8, frequency, calendar, periods
        return calendar, periods

    def _placed(
        self,
        times: pd.DatetimeIndex,
        calendar: pd.DatetimeIndex,
        values: NDArray[np.float64],
        periods: NDArray[np.int64],
    ) -> tuple[pd.DatetimeIndex, NDArray[np.float64]]:
        """Times and values of every step: NaN where there is no row, but for what is known in advance, which holds."""
        inserted = periods[-1] + 1 - len(values)
        if not inserted:
            return calendar, values
        placed = np.full((periods[-1] + 1, values.shape[1]), np.nan)
        placed[periods] = values
        self._steps.inserted += int(inserted)
        if len(calendar) >= _ENOUGH and not self._several:
            self._steps.closed = closed_share(times, calendar)
        if self.recipe.known and self.recipe.missing != "error":
            before = np.searchsorted(periods, np.arange(len(placed)), side="right") - 1
            absent = np.ones(len(placed), np.bool_)
            absent[periods] = False
            for name in self.recipe.known:
                place = self.recipe.places[name]
                constant = self.recipe.fill.get(name, "ffill")
                placed[absent, place] = values[before[absent], place] if constant == "ffill" else constant
                self._steps.held[name] = self._steps.held.get(name, 0) + int(inserted)
        return calendar, placed

    def _ahead(self, times: pd.DatetimeIndex, values: NDArray[np.float64], first: int, stop: int) -> pd.DataFrame:
        """What is known in advance of the steps after a table's rows; nothing promised as known has holes."""
        recipe = self.recipe
        if not recipe.known and stop == len(times):  # so it is of most series, which share a frame without rows
            if self._nothing is None or self._nothing[0] is not times:
                self._nothing = times, pd.DataFrame(np.empty((0, 0)), times[stop:], recipe.labels[1])
            return self._nothing[1]
        known = values[:, [recipe.places[name] for name in recipe.known]]
        complete = np.flatnonzero(~np.isnan(known).any(axis=1))
        end = max([stop, *complete[-1:] + 1])
        holes = np.argwhere(np.isnan(known[first:end]))
        if len(holes):
            row, column = holes[0]
            raise DataError(
                f"{recipe.known[column]} is promised as known in advance, but has no value at "
                f"{label_of(times[first + row], recipe)}: fill it, or name it under features instead of known"
            )
        return pd.DataFrame(known[stop:end], times[stop:end], recipe.labels[1], copy=True)


def _common_calendar(times: pd.DatetimeIndex, frequency: str) -> pd.DatetimeIndex | None:
    """A calendar from the first of all times to the last, without a zone; None where there is none such."""
    if times.tz is not None:
        return None
    try:
        return calendar_between(times.min(), times.max(), frequency)
    except (DataError, ConfigError):
        return None  # a part of it may be laid out all the same, or tells what is wrong


def _constant(name: str, column: Numbers) -> float:
    values = pd.unique(column[~np.isnan(column)])
    if len(values) != 1:
        raise DataError(
            f"static covariate {name} must have one value in a series, got {len(values)}: name it under features or "
            "known instead"
        )
    return float(values[0])
