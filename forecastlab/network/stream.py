"""Forecasts row by row, as the rows arrive: of one series, or of many in one step."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from forecastlab.adapters.torch import tree_flatten, tree_leaves, tree_unflatten
from forecastlab.batch import Batch, Prediction, State
from forecastlab.data.predictions import predictions_table
from forecastlab.data.reading.counted import COUNTED, numbers_of
from forecastlab.errors import ConfigError, ForecastlabError
from forecastlab.network.composition import Composition, Encoding
from forecastlab.network.finite import require_finite
from forecastlab.network.kept import Array, Kept, Recent
from forecastlab.network.row_reader import Row, RowReader, Step

STREAMS_AT_ONCE = 1024
"""Streams that the network runs together."""


class Stream:
    """Forecasts of one series whose rows arrive one at a time.

    After each row the forecast equals `Forecaster.forecast` of all rows so far. With `lookback: full` the stream keeps
    the network's state and takes one step per row. Every row then costs the same; only networks and decoders that
    attend to the whole past become slower with its length. With windows the stream keeps the last rows. A refused row
    changes nothing.

    Args:
        network: a trained network.
        reader: reads its rows; streams of one network share it. None for a new one.

    Raises:
        ConfigError: if its data take rows or series together.
    """

    def __init__(self, network: Composition, reader: RowReader | None = None) -> None:
        self.network = network
        self.reader = RowReader(network.schema) if reader is None else reader
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
        forecasts, refused = advance([self], [row], [ahead])
        if refused:
            raise refused[0]
        return forecasts.table


class Forecasts(NamedTuple):
    """The forecasts of some streams after a row of each."""

    numbers: list[int]
    """The numbers of the streams that have a forecast."""
    table: pd.DataFrame | None
    """Their forecasts one behind another, in the form of `Forecaster.forecast`; None if there are none."""


def advance(
    streams: Sequence[Stream], rows: Sequence[Row], ahead: Sequence[Sequence[Row]]
) -> tuple[Forecasts, dict[int, ForecastlabError]]:
    """Takes in the next row of each of some streams of one network; if one is refused, no stream changes.

    Args:
        streams: each is there once.
        rows: the row of each.
        ahead: as for `Stream.update`, of each.

    Returns:
        The forecasts; and the errors of the rows that are refused, by number of the stream.
    """
    network = streams[0].network
    before = [stream.kept for stream in streams]
    for stream in streams:
        stream.kept = copy(stream.kept)
        stream.kept.recent = copy(stream.kept.recent)
    # errors of past forecasts are kept stream by stream, and random numbers follow from the place in a batch
    at_once = 1 if network.calibration_origins or network.draws else STREAMS_AT_ONCE
    done = False
    try:
        with network.evaluating():
            update = _Update(streams, rows, ahead)
            for start in range(0, len(streams), at_once):
                update.take(range(start, min(start + at_once, len(streams))))
            forecasts = update.forecasts()
        done = not update.refused
    finally:
        if not done:
            for stream, kept in zip(streams, before, strict=True):
                stream.kept = kept
    return forecasts, dict(sorted(update.refused.items()))


class _Update:
    """Rows of some streams that are being taken in.

    Args:
        streams: of one network.
        rows: the row of each.
        ahead: what is known in advance after each.
    """

    def __init__(self, streams: Sequence[Stream], rows: Sequence[Row], ahead: Sequence[Sequence[Row]]) -> None:
        self.refused: dict[int, ForecastlabError] = {}
        self._streams = streams
        self._rows = rows
        self._ahead = ahead
        self._network = streams[0].network
        self._reader = streams[0].reader
        self._clock = self._reader.clock()
        self._full = self._network.schema.lookback == "full"
        self._predictions: list[Prediction] = []
        self._axis: list[pd.DatetimeIndex] = []
        """The times of the forecasts: those of each origin, which several streams may share, behind those before it."""
        self._origins: dict[Any, int] = {}
        """Where each origin is on the axis."""

    def take(self, numbers: Sequence[int]) -> None:
        """Takes in the rows of some streams, by their numbers, which the network runs together."""
        steps: dict[int, list[Step]] = {}
        for number in numbers:
            with self._refusing(number):
                steps[number] = self._reader.steps(self._rows[number], self._kept(number), self._clock)
        names = [cast(str, self._kept(number).series) for number in steps]
        unknown = self._network.without_scaling(names)
        for place, (number, name) in enumerate(zip(list(steps), names, strict=True)):
            if place in unknown:
                self.refused[number] = ConfigError(f"series {name}{unknown[place]}")
                del steps[number]
        if not steps:
            return
        self._network.find_scalings([cast(str, self._kept(number).series) for number in steps])
        places = {number: place for place, number in enumerate(steps)}
        """Which of the series that were found each stream's is."""
        ready = []
        for turn in range(max(map(len, steps.values()))):
            taken = []
            for number in [number for number in steps if turn < len(steps[number])]:
                with self._refusing(number):
                    has_target = self._reader.take(steps[number][turn], self._kept(number), self._clock)
                    if self._kept(number).past:
                        taken.append(number)
                    last = turn == len(steps[number]) - 1
                    if last and has_target and self._reader.full(self._kept(number)):
                        ready.append(number)
                if number in self.refused:
                    del steps[number]
            if self._full:
                self._step(taken, places)
        known = {}
        for number in sorted(ready):
            with self._refusing(number):
                known[number] = self._reader.ahead(self._ahead[number], self._kept(number), self._clock)
        for alike in self._alike(list(known)):
            self._forecast(alike, places, np.stack([known[number] for number in alike]))

    def forecasts(self) -> Forecasts:
        """The forecasts of all streams whose rows were taken in."""
        if self.refused or not self._predictions:
            return Forecasts([], None)
        prediction = Prediction(*map(torch.cat, zip(*self._predictions, strict=True)))
        times = self._times()
        labels = numbers_of(times) if self._reader.recipe.time_format == COUNTED else times
        names = [cast(str, stream.series) for stream in self._streams]
        table = predictions_table(names, labels, self._network.schema.targets, self._network.levels, prediction)
        return Forecasts(sorted(prediction.series.tolist()), table)

    def _kept(self, number: int) -> Kept:
        return self._streams[number].kept

    @contextmanager
    def _refusing(self, number: int) -> Iterator[None]:
        """Within the block, an error refuses the row of a stream."""
        try:
            yield
        except ForecastlabError as error:
            self.refused[number] = error

    def _alike(self, numbers: Sequence[int]) -> list[list[int]]:
        """The streams in groups of which each has states of one form, which may grow with the past."""
        groups: dict[Any, list[int]] = {}
        for number in numbers:
            kept = self._kept(number)
            leaves = None if kept.state is None else tuple(leaf.shape for leaf in tree_leaves(kept.state))
            groups.setdefault((leaves, None if kept.encoded is None else kept.encoded.shape), []).append(number)
        return list(groups.values())

    def _step(self, numbers: Sequence[int], places: Mapping[int, int]) -> None:
        """Runs the network for the last step of some streams."""
        for alike in self._alike(numbers):
            kept = [self._kept(number) for number in alike]
            rows = np.stack([one.past[-1][1] for one in kept])[:, None]
            inputs = self._network.inputs(self._network.scaled(self._batch(alike, places, rows)))
            backbone, channels = self._network.backbone, len(inputs) // len(alike)
            if kept[0].state is None:
                state = backbone.initial_state(len(inputs))
            else:
                of_each = zip(*(tree_leaves(one.state) for one in kept), strict=True)
                _, form = tree_flatten(kept[0].state)
                state = cast(State, tree_unflatten([torch.cat(leaves) for leaves in of_each], form))
            encoded, state = backbone.step(inputs[:, 0], state)
            encoded = encoded[:, None]
            if kept[0].encoded is not None and self._network.decoder.attends:
                encoded = torch.cat([torch.cat([cast(Tensor, one.encoded) for one in kept]), encoded], 1)
            leaves, form = tree_flatten(state)
            apart = [_apart(leaf, channels) for leaf in (encoded, *leaves)]
            for one, (own, *parts) in zip(kept, zip(*apart, strict=True), strict=True):
                one.encoded, one.state = own, cast(State, tree_unflatten(parts, form))

    def _forecast(self, numbers: Sequence[int], places: Mapping[int, int], known: Array) -> None:
        """Forecasts from the last step of some streams.

        Args:
            numbers: of the streams.
            places: the numbers of their series.
            known: (streams, horizon, known).
        """
        network, kept = self._network, [self._kept(number) for number in numbers]
        history = np.stack([self._reader.history(one) for one in kept])
        last = np.stack([one.past[-1][2] for one in kept])
        batch = self._batch(numbers, places, history, known, last)
        scaled = network.scaled(batch)
        if self._full:
            run = network.decode(scaled, Encoding(torch.cat([cast(Tensor, one.encoded) for one in kept])))
        else:
            run = network.run(scaled)
        recent = kept[0].recent  # then the stream is alone
        margin = None if recent is None else recent.margin(run.raw, batch)
        prediction = network.prediction(run.raw, batch, scaled, margin)
        origins = torch.tensor([[self._origin(cast(pd.Timestamp, one.time))] for one in kept])
        prediction = Prediction(*(part.cpu() for part in prediction))._replace(
            series=torch.tensor(numbers), index=origins
        )
        self._require_finite(numbers, prediction, batch)
        self._predictions.append(prediction)

    def _require_finite(self, numbers: Sequence[int], prediction: Prediction, batch: Batch) -> None:
        """Refuses the rows whose forecast is not finite."""
        if all(bool(part.isfinite().all()) for part in (prediction.forecast, prediction.quantiles)):
            return
        for place, number in enumerate(numbers):
            alone = Prediction(*(part[place : place + 1] for part in prediction))._replace(series=torch.zeros(1).long())
            one = Batch(*(part[place : place + 1] for part in batch))
            with self._refusing(number):
                require_finite(alone, one, self._network, [cast(str, self._kept(number).series)], self._times())

    def _origin(self, time: pd.Timestamp) -> int:
        """Where an origin and the times of its forecast are on the axis."""
        key = time, time.tz, time.unit
        if key not in self._origins:
            self._origins[key] = len(self._axis) * (1 + self._network.schema.horizon)
            self._axis.append(self._clock.after(time)[0])
        return self._origins[key]

    def _times(self) -> pd.DatetimeIndex:
        """The axis of all forecasts so far."""
        return cast(pd.DatetimeIndex, self._axis[0].append(self._axis[1:]))

    def _batch(
        self,
        numbers: Sequence[int],
        places: Mapping[int, int],
        history: Array,
        known: Array | None = None,
        last: Array | None = None,
    ) -> Batch:
        """A batch of a sample of each stream, with one origin."""
        schema, count = self._network.schema, len(numbers)
        horizon, targets = schema.horizon, len(schema.targets)
        last = np.zeros((count, targets)) if last is None else last
        known = np.zeros((count, horizon, len(schema.known))) if known is None else known
        nothing = torch.zeros(count, 1, horizon, targets, dtype=torch.float64)
        static = [list(self._kept(number).static.values()) for number in numbers]
        batch = Batch(
            history=torch.as_tensor(history),
            known=torch.as_tensor(known)[:, None],
            static=torch.tensor(static, dtype=torch.float64).view(count, -1),
            last=torch.as_tensor(last)[:, None],
            target=nothing,
            weight=nothing.float(),
            index=torch.zeros(count, 1, dtype=torch.int64),
            series=torch.tensor([places[number] for number in numbers]),
        )
        return Batch(*(part.to(self._network.device) for part in batch))


def _apart(values: Tensor, channels: int) -> list[Tensor]:
    """The part of each stream, (streams * channels, ...) -> (channels, ...) of each, in memory of its own.

    A part in the memory of all would keep it there until the last of them has its next row.
    """
    parts = values.split(channels)
    return [parts[0]] if len(parts) == 1 else [part.clone() for part in parts]
