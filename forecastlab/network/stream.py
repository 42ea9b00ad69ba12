"""Forecasts row by row, as the rows arrive."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from numbers import Integral, Number
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from forecastlab.batch import Batch, Prediction
from forecastlab.data.calendar import calendar_of
from forecastlab.data.panel import steps_after
from forecastlab.data.predictions import predictions_table
from forecastlab.data.reading.counted import COUNTED, numbers_of, times_of
from forecastlab.data.reading.times import read_times
from forecastlab.data.recipe import Recipe
from forecastlab.data.table import calendar_between
from forecastlab.data.tables import label_of
from forecastlab.errors import ConfigError, DataError
from forecastlab.network.composition import Composition, Encoding
from forecastlab.network.finite import require_finite
from forecastlab.network.kept import Array, Kept, Recent
from forecastlab.network.row_values import value_of


class Stream:
    """Forecasts of one series whose rows arrive one at a time.

    After each row the forecast equals `Forecaster.forecast` of all rows so far. With `lookback: full` the stream keeps
    the network's state and takes one step per row. Every row then costs the same; only networks and decoders that
    attend to the whole past become slower with its length. With windows the stream keeps the last rows. A refused row
    changes nothing.

    Args:
        network: a trained network.

    Raises:
        ConfigError: if its data take rows or series together.
    """

    def __init__(self, network: Composition) -> None:
        self.network = network
        self._schema = network.schema
        self._recipe = Recipe.from_dict(network.schema.recipe)
        for name in ("aggregate", "resample"):
            if getattr(self._recipe, name):
                raise ConfigError(
                    f"a stream takes rows one at a time, but {name} takes several together: forecast frames of all "
                    "rows so far, model.forecast(frame)"
                )
        self._time_columns = self._recipe.time_columns or ("time",)
        self._columns = list(dict.fromkeys([*self._recipe.features, *self._recipe.targets]))
        self._known_sources = replace(self._recipe, features=(), targets=(), static=()).sources
        self._constants = {name: value for name, value in self._recipe.fill.items() if value != "ffill"}
        """What is known in advance of a step that is left out, where it is no held value."""
        self.kept = Kept(recent=Recent(network) if network.calibration_origins else None)

    @property
    def series(self) -> str | None:
        """The name of the series; None before its first row."""
        return self.kept.series

    def update(self, row: Mapping[str, Any], ahead: Sequence[Mapping[str, Any]] = ()) -> pd.DataFrame | None:
        """Takes in the next row of the series.

        A step of the calendar without a row counts as a row whose values are all missing.

        Args:
            row: raw values by name, including the time ("time" if the training's frame had it as its index). A missing
                value may be None or left out.
            ahead: the known covariates of the next steps, a mapping for each. It is needed if the network has known
                covariates that do not follow from the time.

        Returns:
            The forecast, in the form of `Forecaster.forecast`. None while the window is not full, or if the row has no
            target.

        Raises:
            DataError: for a row that does not continue the series, values that cannot be used, or a forecast that
                is not a number.
            ConfigError: for a series without a scaling in the network.
        """
        saved, self.kept = self.kept, copy(self.kept)
        self.kept.recent = copy(saved.recent)
        try:
            with self.network.evaluating():
                return self._update(row, ahead)
        except Exception:
            self.kept = saved
            raise

    def _update(self, row: Mapping[str, Any], ahead: Sequence[Mapping[str, Any]]) -> pd.DataFrame | None:
        self._recognise(row)
        time = self._time_of(row)
        for between in self._left_out(time):
            self._take({**self.kept.in_advance, **self._constants}, between)
        self.kept.in_advance = {name: row[name] for name in self._known_sources if name in row}
        if not self._take(row, time):
            return None
        if not self._full:
            return None
        return self._forecast(time, ahead)

    def _recognise(self, row: Mapping[str, Any]) -> None:
        """Finds the series of the row, or checks that it is that of the stream."""
        labels = [row.get(column) for column in self._recipe.series_columns]
        if labels and all(pd.isna(label) for label in labels):
            named = ", ".join(self._recipe.series_columns)
            raise DataError(f"the row has no {named}, the name of its series; it has {', '.join(map(str, row))}")
        name = "/".join(str(label) for label in labels if not pd.isna(label)) if labels else self._recipe.name
        if self.kept.series is not None and name != self.kept.series:
            raise DataError(f"a stream takes one series: it has {self.kept.series}, but the row is of {name}")
        self.network.find_scalings([name])  # another stream may have changed them
        static = {column: value_of(row, column, self._recipe) for column in self._recipe.static}
        for column, value in static.items():
            held = self.kept.static.get(column, float("nan"))
            static[column] = held if np.isnan(value) else value
            if np.isnan(static[column]) or (not np.isnan(held) and static[column] != held):
                raise DataError(f"static covariate {column} must have one value, got {held} and then {value}")
        self.kept.series, self.kept.static = name, static

    def _time_of(self, row: Mapping[str, Any]) -> pd.Timestamp:
        for column in self._time_columns:
            if column not in row:
                raise DataError(f"the row has no {column}; it has {', '.join(map(str, row))}")
        time = self._recipe.in_zone(pd.DatetimeIndex([self._read_time(row)]), "the row")[0]
        try:
            later = self.kept.time is None or time > self.kept.time
        except TypeError as error:  # only one of the two has a time zone
            raise DataError(f"the row is at {time}, but the one before it at {self.kept.time}: {error}") from None
        if not later:
            last = self.kept.time
            raise DataError(f"the row is at {time}, but the one before it at {last}: rows come in order of time")
        return time

    def _has_time(self, row: Mapping[str, Any]) -> bool:
        return all(column in row for column in self._time_columns)

    def _read_time(self, row: Mapping[str, Any]) -> pd.Timestamp:
        """The time of a row, which is read as those of the training were."""
        values = [row[column] for column in self._time_columns]
        if self._recipe.time_format == COUNTED:
            (number,) = values
            if isinstance(number, Integral):
                return times_of(np.array([int(number)]))[0]
            raise DataError(f"expected a whole number as the time of the row, got {number!r}")
        if len(values) == 1 and not isinstance(values[0], str) and self._recipe.time_format in ("", "ISO"):
            return _timestamp(values[0])
        frame = pd.DataFrame([values], columns=list(self._time_columns))
        try:
            return read_times(frame, self._time_columns, self._recipe.time_format or None).times[0]
        except DataError:
            written = values[0] if len(values) == 1 else " ".join(map(str, values))
            example = "2024-01-31 13:00" if self.kept.time is None else label_of(self.kept.time, self._recipe)
            raise DataError(f"cannot read {written!r} as a time; expected one such as {example}") from None

    def _left_out(self, time: pd.Timestamp) -> pd.DatetimeIndex:
        """The steps of the calendar between the last row and this one."""
        if not self._recipe.regular:
            return pd.DatetimeIndex([])
        start = time if self.kept.time is None else self.kept.time
        calendar = calendar_between(start, time, self._recipe.frequency)
        if not len(calendar) or calendar[-1] != time:
            raise DataError(f"{time} is not on the calendar of the series, {self._recipe.frequency} from {start}")
        return calendar[1:-1]

    def _take(self, row: Mapping[str, Any], time: pd.Timestamp) -> bool:
        """Takes in a row. Returns whether it has a target."""
        self.kept.time = time
        values = np.array([value_of(row, column, self._recipe) for column in self._columns])
        observed = ~np.isnan(values)
        targets = [self._columns.index(name) for name in self._recipe.targets]
        has_target = bool(observed[targets].any())
        missing = self._recipe.missing
        if self.kept.held is None:
            if missing == "mask" and not has_target:
                return False  # a series begins with its first target
            self.kept.held, self.kept.seen = np.full(len(values), np.nan), [None] * len(values)
        if missing == "error" and not observed.all():
            raise DataError(f"{self._columns[int(np.argmin(observed))]} is missing at {time}, and missing: error")
        self.kept.held = np.where(observed, values, self.kept.held)
        if missing == "mask":
            filled = np.nan_to_num(self.kept.held)
        elif np.isnan(self.kept.held).any():
            lacking = self._columns[int(np.isnan(self.kept.held).argmax())]
            raise DataError(f"{lacking} is missing at {time}, and there is no value before it: begin with a whole row")
        else:
            filled = self.kept.held
        if missing == "interpolate":
            self._interpolate(time, values)
        features = [self._columns.index(name) for name in self._recipe.features]
        indicators = observed[features].astype(np.float64) if missing == "mask" else np.empty(0)
        padded = np.zeros(int(self._schema.min_history is not None))  # a row that is there is not
        x = np.concatenate([filled[features], indicators, self._known([row], pd.DatetimeIndex([time]))[0], padded])
        if self._schema.lookback == "full":
            self._step(x)
            self.kept.past = [(time, x, filled[targets])]
        else:
            self.kept.past = [*self.kept.past, (time, x, filled[targets])][-int(self._schema.lookback) :]
        if self.kept.recent is not None:
            self.kept.recent.observe(filled[targets], observed[targets])
            if self._full:
                self.kept.recent.add()
        return has_target

    @property
    def _full(self) -> bool:
        """Whether there are enough rows for a forecast."""
        return len(self.kept.past) >= self._schema.least_history

    def _interpolate(self, time: pd.Timestamp, values: Array) -> None:
        """Draws a line through the gaps that this row closes, in the rows that are kept."""
        self.kept.seen = list(self.kept.seen)
        self.kept.past = [(when, x.copy(), targets) for when, x, targets in self.kept.past]
        for position, value in enumerate(values):
            if np.isnan(value):
                continue
            last_seen = self.kept.seen[position]
            self.kept.seen[position] = (time, float(value))
            name = self._columns[position]
            if last_seen is None or name not in self._recipe.features:
                continue
            column = self._recipe.features.index(name)
            for when, x, _ in self.kept.past:
                if when > last_seen[0]:
                    x[column] = last_seen[1] + (value - last_seen[1]) * ((when - last_seen[0]) / (time - last_seen[0]))

    def _known(self, rows: Sequence[Mapping[str, Any]], times: pd.DatetimeIndex) -> Array:
        """The known covariates of some steps, (steps, known)."""
        columns = [[value_of(row, name, self._recipe) for row in rows] for name in self._recipe.known]
        known = np.array(columns).reshape(len(columns), len(rows)).T
        if np.isnan(known).any():
            raise DataError(f"the known covariates ({', '.join(self._recipe.known)}) must have a value in every row")
        return np.concatenate([known, calendar_of(self._schema, times).to_numpy()], 1)

    def _step(self, x: Array) -> None:
        """Runs the network for one step."""
        inputs = self.network.inputs(self.network.scaled(self._batch(torch.as_tensor(x)[None, None])))
        backbone = self.network.backbone
        state = backbone.initial_state(len(inputs)) if self.kept.state is None else self.kept.state
        encoded, self.kept.state = backbone.step(inputs[:, 0], state)
        encoded = encoded[:, None]
        if self.kept.encoded is not None and self.network.decoder.attends:
            encoded = torch.cat([self.kept.encoded, encoded], 1)
        self.kept.encoded = encoded

    def _forecast(self, time: pd.Timestamp, ahead: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """The forecast from the last row."""
        horizon, name = self._schema.horizon, cast(str, self.kept.series)
        if self._recipe.known and len(ahead) < horizon:
            raise DataError(
                f"the forecast needs the known covariates ({', '.join(self._recipe.known)}) of the next {horizon} "
                f"steps: pass ahead=[...] with a row for each, got {len(ahead)}"
            )
        after = steps_after(time, horizon, self._recipe.frequency, self._recipe.slots)
        times = cast(pd.DatetimeIndex, pd.DatetimeIndex([time]).append(after))
        for step, given in zip(times[1:], ahead, strict=False):
            if self._has_time(given) and self._read_time(given) != step:
                raise DataError(
                    f"ahead: expected the known covariates of {label_of(step, self._recipe)}, got those of "
                    f"{', '.join(str(given[column]) for column in self._time_columns)}"
                )
        known = self._known(ahead[:horizon] if self._recipe.known else [{}] * horizon, times[1:])
        history = torch.as_tensor(self._history())[None]
        batch = self._batch(history, known, self.kept.past[-1][2])
        scaled = self.network.scaled(batch)
        if self._schema.lookback == "full":
            run = self.network.decode(scaled, Encoding(cast(Tensor, self.kept.encoded)))
        else:
            run = self.network.run(scaled)
        margin = None if self.kept.recent is None else self.kept.recent.margin(run.raw, batch)
        prediction = self.network.prediction(run.raw, batch, scaled, margin)
        require_finite(prediction, batch, self.network, [name], times)
        alone = Prediction(*(part.cpu() for part in prediction))._replace(series=torch.zeros(1, dtype=torch.int64))
        labels = numbers_of(times) if self._recipe.time_format == COUNTED else times
        return predictions_table([name], labels, self._schema.targets, self.network.levels, alone)

    def _history(self) -> Array:
        """The rows of the window, (time, features); those before the first one repeat it."""
        rows = np.stack([x for _, x, _ in self.kept.past])
        lacking = 0 if self._schema.lookback == "full" else int(self._schema.lookback) - len(rows)
        if lacking:
            before = np.repeat(rows[:1], lacking, 0)
            before[:, -1] = 1  # the feature `padded`
            rows = np.concatenate([before, rows])
        return rows

    def _batch(self, history: Tensor, known: Array | None = None, last: Array | None = None) -> Batch:
        """A batch of one sample with one origin."""
        horizon, targets = self._schema.horizon, len(self._schema.targets)
        last = np.zeros(targets) if last is None else last
        known = np.zeros((horizon, len(self._schema.known))) if known is None else known
        nothing = torch.zeros(1, 1, horizon, targets, dtype=torch.float64)
        batch = Batch(
            history=history,
            known=torch.as_tensor(known)[None, None],
            static=torch.tensor([list(self.kept.static.values())], dtype=torch.float64).view(1, -1),
            last=torch.as_tensor(last)[None, None],
            target=nothing,
            weight=nothing.float(),
            index=torch.zeros(1, 1, dtype=torch.int64),
            series=torch.zeros(1, dtype=torch.int64),
        )
        return Batch(*(part.to(self.network.device) for part in batch))


def _timestamp(given: Any) -> pd.Timestamp:
    """Takes a time that is no text; a number could be seconds or nanoseconds, and is none."""
    try:
        if not isinstance(given, Number) and not pd.isna(time := pd.Timestamp(given)):
            return time
    except (ValueError, TypeError):
        pass
    raise DataError(f"cannot read {given!r} as a time; expected one such as 2024-01-31 13:00")
