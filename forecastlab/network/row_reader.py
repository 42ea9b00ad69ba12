"""`RowReader`: rows that arrive one at a time are read, checked, filled, and laid out as a network's inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo
from functools import cache
from numbers import Integral, Number
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from forecastlab.batch import Schema
from forecastlab.data.calendar import calendar_of
from forecastlab.data.panel import steps_after
from forecastlab.data.reading.counted import COUNTED, times_of
from forecastlab.data.reading.times import read_times
from forecastlab.data.recipe import Recipe
from forecastlab.data.since import since_row_before
from forecastlab.data.table import calendar_between
from forecastlab.data.tables import label_of
from forecastlab.errors import ConfigError, DataError
from forecastlab.network.kept import Array, Kept
from forecastlab.network.row_values import value_of

Row = Mapping[str, Any]
"""Raw values by name."""


class Step(NamedTuple):
    """A step of a series that is taken in: a row, or one of the calendar that has none."""

    row: Row
    time: pd.Timestamp


class Clock:
    """What follows from times alone: rows of one time share it, whatever their series.

    Args:
        schema: names and sizes.
        recipe: what the rows' columns are.
    """

    def __init__(self, schema: Schema, recipe: Recipe) -> None:
        self._schema = schema
        self._recipe = recipe
        self.texts: dict[tuple[str, ...], pd.Timestamp] = {}
        """Times by what was written."""
        # equal times may have clocks and units of their own, which what follows from them has too
        self._cached_zone = cache(self._in_zone)
        self._cached_calendar = cache(self._calendar)
        self._cached_after = cache(self._after)
        self._cached_between = cache(self._between)

    def in_zone(self, time: pd.Timestamp) -> pd.Timestamp:
        """The same time in the zone of the training.

        Raises:
            DataError: if only one of the two has a zone.
        """
        return self._cached_zone(time, time.tz, time.unit)

    def calendar(self, time: pd.Timestamp) -> Array:
        """The calendar covariates of a step, (calendar,)."""
        return self._cached_calendar(time, time.tz, time.unit)

    def after(self, time: pd.Timestamp) -> tuple[pd.DatetimeIndex, Array]:
        """A time and the steps of a forecast from it, (1 + horizon,); their calendar covariates, (horizon, calendar).

        Raises:
            DataError: if there are none such in the calendar.
        """
        return self._cached_after(time, time.tz, time.unit)

    def between(self, start: pd.Timestamp, time: pd.Timestamp) -> list[pd.Timestamp]:
        """The steps of the calendar between two times.

        Raises:
            DataError: if the second is not on the calendar from the first.
        """
        return self._cached_between(start, time, time.tz, time.unit)

    def _in_zone(self, time: pd.Timestamp, zone: tzinfo | None, unit: str) -> pd.Timestamp:
        return self._recipe.in_zone(pd.DatetimeIndex([time]), "the row")[0]

    def _calendar(self, time: pd.Timestamp, zone: tzinfo | None, unit: str) -> Array:
        found: Array = calendar_of(self._schema, pd.DatetimeIndex([time])).to_numpy()[0]
        return found

    def _after(self, time: pd.Timestamp, zone: tzinfo | None, unit: str) -> tuple[pd.DatetimeIndex, Array]:
        after = steps_after(time, self._schema.horizon, self._recipe.frequency, self._recipe.slots)
        times = pd.DatetimeIndex([time]).append(after)
        assert isinstance(times, pd.DatetimeIndex)
        return times, calendar_of(self._schema, times[1:]).to_numpy()

    def _between(self, start: pd.Timestamp, time: pd.Timestamp, zone: tzinfo | None, unit: str) -> list[pd.Timestamp]:
        calendar = calendar_between(start, time, self._recipe.frequency)
        if not len(calendar) or calendar[-1] != time:
            raise DataError(f"{time} is not on the calendar of the series, {self._recipe.frequency} from {start}")
        return list(calendar[1:-1])


class RowReader:
    """Reads the rows of series, each from what is kept of the rows before it (`Kept`).

    Args:
        schema: names and sizes of a network's data.

    Raises:
        ConfigError: if the data take rows or series together.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.recipe = Recipe.from_dict(schema.recipe)
        for name in ("aggregate", "resample"):
            if getattr(self.recipe, name):
                raise ConfigError(
                    f"a stream takes rows one at a time, but {name} takes several together: forecast frames of all "
                    "rows so far, model.forecast(frame)"
                )
        self._time_columns = self.recipe.time_columns or ("time",)
        self._columns = list(dict.fromkeys([*self.recipe.features, *self.recipe.targets]))
        self._known_sources = replace(self.recipe, features=(), targets=(), static=()).sources
        self._constants = {name: value for name, value in self.recipe.fill.items() if value != "ffill"}
        """What is known in advance of a step that is left out, where it is no held value."""
        self._features = [self._columns.index(name) for name in self.recipe.features]
        self._targets = [self._columns.index(name) for name in self.recipe.targets]

    def clock(self) -> Clock:
        """A clock for rows that are read together."""
        return Clock(self._schema, self.recipe)

    def steps(self, row: Row, kept: Kept, clock: Clock) -> list[Step]:
        """The steps that a row brings: those of the calendar before it that have no row, and its own.

        Raises:
            DataError: if the row does not continue the series.
        """
        self._recognise(row, kept)
        time = self._time_of(row, kept, clock)
        between = clock.between(time if kept.time is None else kept.time, time) if self.recipe.regular else ()
        left_out = {**kept.in_advance, **self._constants}
        kept.in_advance = {name: row[name] for name in self._known_sources if name in row}
        return [*(Step(left_out, one) for one in between), Step(row, time)]

    def _recognise(self, row: Row, kept: Kept) -> None:
        """Finds the series of the row, or checks that it is that of the rows before it."""
        labels = [row.get(column) for column in self.recipe.series_columns]
        if labels and all(pd.isna(label) for label in labels):
            named = ", ".join(self.recipe.series_columns)
            raise DataError(f"the row has no {named}, the name of its series; it has {', '.join(map(str, row))}")
        name = "/".join(str(label) for label in labels if not pd.isna(label)) if labels else self.recipe.name
        if kept.series is not None and name != kept.series:
            raise DataError(f"a stream takes one series: it has {kept.series}, but the row is of {name}")
        static = {column: value_of(row, column, self.recipe) for column in self.recipe.static}
        for column, value in static.items():
            held = kept.static.get(column, float("nan"))
            static[column] = held if np.isnan(value) else value
            if np.isnan(static[column]) or (not np.isnan(held) and static[column] != held):
                raise DataError(f"static covariate {column} must have one value, got {held} and then {value}")
        kept.series, kept.static = name, static

    def _time_of(self, row: Row, kept: Kept, clock: Clock) -> pd.Timestamp:
        for column in self._time_columns:
            if column not in row:
                raise DataError(f"the row has no {column}; it has {', '.join(map(str, row))}")
        time = clock.in_zone(self._read_time(row, kept, clock))
        try:
            later = kept.time is None or time > kept.time
        except TypeError as error:  # only one of the two has a time zone
            raise DataError(f"the row is at {time}, but the one before it at {kept.time}: {error}") from None
        if not later:
            raise DataError(f"the row is at {time}, but the one before it at {kept.time}: rows come in order of time")
        return time

    def _read_time(self, row: Row, kept: Kept, clock: Clock) -> pd.Timestamp:
        """The time of a row, which is read as those of the training were."""
        values = tuple(row[column] for column in self._time_columns)
        if self.recipe.time_format == COUNTED:
            (number,) = values
            if isinstance(number, Integral):
                return times_of(np.array([int(number)]))[0]
            raise DataError(f"expected a whole number as the time of the row, got {number!r}")
        if len(values) == 1 and not isinstance(values[0], str) and self.recipe.time_format in ("", "ISO"):
            return _timestamp(values[0])
        written = all(isinstance(value, str) for value in values)
        if written and values in clock.texts:
            return clock.texts[values]
        frame = pd.DataFrame([values], columns=list(self._time_columns))
        try:
            time = read_times(frame, self._time_columns, self.recipe.time_format or None).times[0]
        except DataError:
            given = values[0] if len(values) == 1 else " ".join(map(str, values))
            example = "2024-01-31 13:00" if kept.time is None else label_of(kept.time, self.recipe)
            raise DataError(f"cannot read {given!r} as a time; expected one such as {example}") from None
        if written:
            clock.texts[values] = time
        return time

    def take(self, step: Step, kept: Kept, clock: Clock) -> bool:
        """Takes in a step: fills its values and puts its inputs behind the rows that are kept.

        Returns:
            Whether it has a target. If a series has not begun, it is not taken in.

        Raises:
            DataError: if a value is missing or cannot be used.
        """
        row, time = step
        before, kept.time = kept.time, time
        values = np.array([value_of(row, column, self.recipe) for column in self._columns])
        observed = ~np.isnan(values)
        has_target = bool(observed[self._targets].any())
        missing = self.recipe.missing
        if kept.held is None:
            if missing == "mask" and not has_target:
                return False  # a series begins with its first target
            kept.held, kept.seen = np.full(len(values), np.nan), [None] * len(values)
            before = None  # rows that were not taken in do not count
        if missing == "error" and not observed.all():
            raise DataError(f"{self._columns[int(np.argmin(observed))]} is missing at {time}, and missing: error")
        kept.held = np.where(observed, values, kept.held)
        if missing == "mask":
            filled = np.nan_to_num(kept.held)
        elif np.isnan(kept.held).any():
            lacking = self._columns[int(np.isnan(kept.held).argmax())]
            raise DataError(f"{lacking} is missing at {time}, and there is no value before it: begin with a whole row")
        else:
            filled = kept.held
        if missing == "interpolate":
            self._interpolate(time, values, kept)
        indicators = observed[self._features].astype(np.float64) if missing == "mask" else np.empty(0)
        padded = np.zeros(int(self._schema.min_history is not None))  # a row that is there is not
        known = [*self._known(row), *clock.calendar(time)]
        since = self._since(before, time)
        x = np.concatenate([filled[self._features], indicators, known, since, padded])
        rows = 1 if self._schema.lookback == "full" else int(self._schema.lookback)
        kept.past = [*kept.past, (time, x, filled[self._targets])][-rows:]
        if kept.recent is not None:
            kept.recent.observe(filled[self._targets], observed[self._targets])
            if self.full(kept):
                kept.recent.add()
        return has_target

    def _since(self, before: pd.Timestamp | None, time: pd.Timestamp) -> Array:
        """The feature `elapsed` of a row, (1,); (0,) if the data have none."""
        if not self._schema.elapsed:
            return np.empty(0)
        times = pd.DatetimeIndex([time] if before is None else [before, time])
        return since_row_before(times, self.recipe.frequency, bool(self.recipe.slots))[-1:]

    def full(self, kept: Kept) -> bool:
        """Whether there are enough rows for a forecast."""
        return len(kept.past) >= self._schema.least_history

    def _interpolate(self, time: pd.Timestamp, values: Array, kept: Kept) -> None:
        """Draws a line through the gaps that this row closes, in the rows that are kept."""
        kept.seen = list(kept.seen)
        kept.past = [(when, x.copy(), targets) for when, x, targets in kept.past]
        for position, value in enumerate(values):
            if np.isnan(value):
                continue
            last_seen = kept.seen[position]
            kept.seen[position] = (time, float(value))
            name = self._columns[position]
            if last_seen is None or name not in self.recipe.features:
                continue
            column = self.recipe.features.index(name)
            for when, x, _ in kept.past:
                if when > last_seen[0]:
                    x[column] = last_seen[1] + (value - last_seen[1]) * ((when - last_seen[0]) / (time - last_seen[0]))

    def _known(self, row: Row) -> list[float]:
        """The known covariates of a step, but for those of the calendar."""
        known = [value_of(row, name, self.recipe) for name in self.recipe.known]
        if any(map(np.isnan, known)):
            raise DataError(f"the known covariates ({', '.join(self.recipe.known)}) must have a value in every row")
        return known

    def ahead(self, given: Sequence[Row], kept: Kept, clock: Clock) -> Array:
        """The known covariates of the steps of a forecast from the last row, (horizon, known).

        Args:
            given: those that do not follow from the time, a row for each step.
            kept: what is kept of the rows so far.
            clock: as for `steps`.

        Raises:
            DataError: if they are not of these steps, or lack a value.
        """
        horizon = self._schema.horizon
        if self.recipe.known and len(given) < horizon:
            raise DataError(
                f"the forecast needs the known covariates ({', '.join(self.recipe.known)}) of the next {horizon} "
                f"steps: pass ahead=[...] with a row for each, got {len(given)}"
            )
        assert kept.time is not None
        times, calendar = clock.after(kept.time)
        for step, row in zip(times[1:], given, strict=False):
            if all(column in row for column in self._time_columns) and self._read_time(row, kept, clock) != step:
                raise DataError(
                    f"ahead: expected the known covariates of {label_of(step, self.recipe)}, got those of "
                    f"{', '.join(str(row[column]) for column in self._time_columns)}"
                )
        if not self.recipe.known:
            return calendar
        return np.concatenate([np.array([self._known(row) for row in given[:horizon]]), calendar], 1)

    def history(self, kept: Kept) -> Array:
        """The rows of the window, (time, features); those before the first one repeat it."""
        rows = np.stack([x for _, x, _ in kept.past])
        lacking = 0 if self._schema.lookback == "full" else int(self._schema.lookback) - len(rows)
        if lacking:
            before = np.repeat(rows[:1], lacking, 0)
            before[:, -1] = 1  # the feature `padded`
            rows = np.concatenate([before, rows])
        return rows


def _timestamp(given: Any) -> pd.Timestamp:
    """Takes a time that is no text; a number could be seconds or nanoseconds, and is none."""
    try:
        if not isinstance(given, Number) and not pd.isna(time := pd.Timestamp(given)):
            return time
    except (ValueError, TypeError):
        pass
    raise DataError(f"cannot read {given!r} as a time; expected one such as 2024-01-31 13:00")
