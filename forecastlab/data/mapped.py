"""A panel whose rows are in files: laid out once, and mapped into memory by all that use it."""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor

import forecastlab
from forecastlab.batch import Schema
from forecastlab.data.bounds import Bounds, nothing_within
from forecastlab.data.cache import cache_folder
from forecastlab.data.coarser import Rows as Given
from forecastlab.data.fingerprint import Fingerprint
from forecastlab.data.maps import Maps, MapWriter
from forecastlab.data.panel import Panel, not_on_calendar, require_one_frequency, steps_after
from forecastlab.data.reading.counted import COUNTED, numbers_of
from forecastlab.data.reading.stream import Stream
from forecastlab.data.recipe import Recipe
from forecastlab.data.scattered import Scattered, settled
from forecastlab.data.table import Table, calendar_between
from forecastlab.data.tables import Tabulator, label_of
from forecastlab.data.windows import FLAT, Rows
from forecastlab.errors import DataError

_ROWS_AT_ONCE = 1 << 20
"""Rows of series that are laid out together, but for those of a longer series."""
_MOST_INTERPOLATED = 1 << 30
"""Rows of a panel with interpolated gaps: `Rows.settled` counts up to twice as many."""
_DAYS_KEPT = 30
"""Days after which a panel that no command has begun to use is taken away."""
_ABOUT = "panel.json"
_OF_SERIES = ("static", "base", "first", "stop", "known_stop")
"""What `Rows` hold of each series."""

SchemaOf = Callable[[Sequence[Table], Recipe], Schema]
"""Names and sizes that follow from tables and their recipe."""


class MappedPanel(NamedTuple):
    """A panel that is laid out in files, and what was found out about it."""

    panel: Panel
    recipe: Recipe
    notes: list[str]
    """What was decided or done to the rows, in sentences."""
    fingerprint: str
    """The digest of the series."""


def mapped_panel(
    source: Any, recipe: Recipe, bounds: Bounds, schema_of: SchemaOf, settings: dict[str, Any]
) -> MappedPanel:
    """The panel of Parquet files, laid out in a folder of the cache.

    The first process that asks for it lays it out. All others read it: those of later commands, of other devices, and
    those that cut batches. The folder's name follows from the files (their sizes, times of change and last bytes) and
    from the settings on which its content depends.

    Args:
        source: a Parquet file, a folder or pattern of such, or several.
        recipe: what the columns are.
        bounds: which rows are used.
        schema_of: gives the names and sizes of the panel.
        settings: those on which the content depends besides, as plain data.

    Raises:
        DataError: for what cannot be read, or not some rows after others; or if there is no room.
    """
    stream = Stream(source, recipe.series_columns, recipe.na_values)
    about = [forecastlab.__version__, stream.fingerprint(), recipe.as_dict(), bounds.start, bounds.end, settings]
    key = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16).hexdigest()
    folder = cache_folder() / "panels" / key
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.is_dir():
                _take_away_unused(folder.parent)
                _lay_out(folder, stream, recipe, bounds, schema_of)
            os.utime(folder)  # under the lock, so that nobody takes it away in this moment
        return _read(folder, schema_of)
    except OSError as error:
        raise DataError(
            f"cannot keep the rows of a panel in {folder}: {error.strerror or error}.\n"
            "Make room or allow writing there, set XDG_CACHE_HOME to a folder with room, or --data.storage memory"
        ) from None


def _take_away_unused(panels: Path) -> None:
    """Takes away the panels that nobody has begun to use for long, and what killed processes have left of others.

    A process that has mapped their files keeps them until it ends.
    """
    for folder in panels.iterdir():
        whole = folder.with_name(folder.name.removeprefix("."))
        if not _unused(folder):
            continue
        with contextlib.suppress(OSError, Timeout), FileLock(whole.with_suffix(".lock"), timeout=0):
            if not _unused(folder):  # another process was faster
                continue
            leaving = folder.with_name(f".{whole.name}")
            if folder == whole:  # what is there under its own name is whole
                shutil.rmtree(leaving, ignore_errors=True)
                folder.rename(leaving)
            shutil.rmtree(leaving, ignore_errors=True)


def _unused(folder: Path) -> bool:
    """Whether a folder is there that has not been used for long."""
    try:
        return folder.is_dir() and time.time() - folder.stat().st_mtime > _DAYS_KEPT * 24 * 3600
    except OSError:
        return False


class MappedTable(Table):
    """The data of one series of a mapped panel; they are copied out of the files when they are asked for.

    Of what is known in advance there are the steps of one forecast.

    Args:
        name: the series' name.
        frequency: the step of the calendar as a pandas offset.
        static: covariates that do not change in time.
        laid: the panel.
        number: number of the series.
    """

    def __init__(self, name: str, frequency: str, static: dict[str, float], laid: "_Laid", number: int) -> None:
        vars(self).update(name=name, frequency=frequency, static=static, _laid=laid, _number=number)

    _laid: "_Laid"
    _number: int

    @property
    def times(self) -> pd.DatetimeIndex:
        first, stop = self._span()
        return self._laid.times[first:stop]

    @property
    def values(self) -> pd.DataFrame:
        return self._frame(self._laid.rows.features, *self._span())

    @property
    def observed(self) -> pd.DataFrame:
        return self._labelled(self._laid.observed[self._flat(*self._span())].numpy().copy(), *self._span())

    @property
    def later(self) -> pd.DataFrame | None:
        later = self._laid.rows.later
        return None if later is None else self._frame(later, *self._span())

    @property
    def ahead(self) -> pd.DataFrame:
        laid, (_, first) = self._laid, self._span()
        stop = int(laid.rows.known_stop[self._number]) if laid.recipe.known else first
        known = laid.rows.known[self._flat(first, stop), : len(laid.recipe.known)].numpy().copy()
        return pd.DataFrame(known, laid.times[first:stop], laid.recipe.labels[1], copy=False)

    def _span(self) -> tuple[int, int]:
        """The rows of the axis that it has."""
        rows = self._laid.rows
        return int(rows.first[self._number]), int(rows.stop[self._number])

    def _flat(self, first: int, stop: int) -> slice:
        base = int(self._laid.rows.base[self._number])
        return slice(base + first, base + stop)

    def _frame(self, features: Tensor, first: int, stop: int) -> pd.DataFrame:
        """A copy of the columns, in the order of the recipe's, those that are features from `features`."""
        rows, recipe, flat = self._laid.rows, self._laid.recipe, self._flat(first, stop)
        parts = ((recipe.known, rows.known), (recipe.targets, rows.target), (recipe.features, features))
        held = {name: part[flat, place] for names, part in parts for place, name in enumerate(names)}
        if rows.weight is not None:
            held.setdefault(recipe.weight, rows.weight[flat])
        columns = np.stack([held[name].numpy() for name in recipe.places], 1)
        rows.let_go()  # who asks for one series often asks for all
        return self._labelled(columns, first, stop)

    def _labelled(self, columns: NDArray[Any], first: int, stop: int) -> pd.DataFrame:
        return pd.DataFrame(columns, self._laid.times[first:stop], self._laid.recipe.labels[0], copy=False)


class _Laid(NamedTuple):
    """What the tables of a mapped panel are made of."""

    rows: Rows
    observed: Tensor
    """(flat rows, columns), bool: as `Table.observed`."""
    times: pd.DatetimeIndex
    """(rows + horizon,): the common axis."""
    recipe: Recipe


def _read(folder: Path, schema_of: SchemaOf) -> MappedPanel:
    """The panel of a folder."""
    about, maps = json.loads((folder / _ABOUT).read_text()), Maps(folder)
    recipe = Recipe.from_dict(about["recipe"])
    of_series = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in _OF_SERIES}
    parts: dict[str, Any] = {name: maps.get(name) for name in FLAT}
    parts |= {name: torch.from_numpy(part) for name, part in of_series.items()}
    rows = Rows(**parts, horizon=about["horizon"], maps=maps)
    times = pd.DatetimeIndex(np.load(folder / "times.npy", allow_pickle=False))
    if about["zone"]:
        times = times.tz_localize("UTC").tz_convert(about["zone"])
    laid = _Laid(rows, cast(Tensor, maps.get("every")), times, recipe)
    tables = [
        MappedTable(name, about["frequency"], dict(zip(recipe.static, static, strict=True)), laid, number)
        for number, (name, static) in enumerate(zip(about["names"], of_series["static"].tolist(), strict=True))
    ]
    schema = schema_of(tables, recipe)
    labels = numbers_of(times) if recipe.time_format == COUNTED else times
    panel = Panel(tables, times, labels, replace(rows, padded=schema.min_history is not None), schema)
    return MappedPanel(panel, recipe, about["notes"], about["fingerprint"])


def _lay_out(folder: Path, stream: Stream, recipe: Recipe, bounds: Bounds, schema_of: SchemaOf) -> None:
    """Writes the panel; the folder is there when it is whole."""
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
    scattered, laid = unfinished / "scattered", unfinished / "laid"
    try:
        scattered.mkdir(parents=True)
        laid.mkdir()
        recipe, notes = settled(stream, recipe)
        writing = _Writing(laid, recipe, bounds, schema_of)
        for given in Scattered(stream, recipe, scattered).parts(_ROWS_AT_ONCE):
            writing.add(given)
        writing.close([*stream.notes, *notes])
        laid.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


class _Part(NamedTuple):
    """Some series of the panel, which lie on an axis of their own."""

    first: pd.Timestamp
    last: pd.Timestamp
    of_series: dict[str, NDArray[Any]]


class _Writing:
    """Lays series out, some after others.

    Args:
        folder: where they are put.
        recipe: what the columns are.
        bounds: which rows are used.
        schema_of: gives the names and sizes.
    """

    def __init__(self, folder: Path, recipe: Recipe, bounds: Bounds, schema_of: SchemaOf) -> None:
        self._folder = folder
        self._bounds = bounds
        self._schema_of = schema_of
        self._tabulator = Tabulator(recipe)
        self._maps = MapWriter(folder)
        self._digest = Fingerprint()
        self._flat = self._horizon = 0
        self._parts: list[_Part] = []
        self._named: list[tuple[str, str]] = []
        """Of each series, its name and frequency."""
        self._times: list[pd.Timestamp] = []
        """The first and last time of the rows that were given."""

    def add(self, given: Given) -> None:
        """Goes on with the rows of further series."""
        self._times += [given.times.min(), given.times.max()]
        if self._bounds:
            given = self._within(given)
        if not len(given.times):
            return
        recipe = self._tabulator.recipe

        def name_of(row: int) -> str:
            return f"series {given.names[int(given.codes[row])]} at {label_of(given.times[row], recipe)}"

        tables = self._tabulator.tables(given, name_of)
        if not tables:
            return
        self._digest.add(tables)
        self._named += [(table.name, table.frequency) for table in tables]
        panel = Panel.of(tables, self._schema_of(tables, recipe), recipe.weight)
        rows = panel.rows
        every = np.zeros((len(rows.target), len(recipe.places)), np.bool_)
        begins = (rows.base + rows.first).tolist()
        for table, begin in zip(tables, begins, strict=True):
            every[begin : begin + len(table.times)] = table.observed.to_numpy()
        flat = {name: part.numpy() for name, part in rows.flat.items()}
        if recipe.missing == "interpolate" and rows.later is None:  # others may have gaps
            flat |= {"later": flat["features"], "settled": np.zeros(rows.features.shape, np.int32)}
        if "settled" in flat:
            if self._flat + len(rows.target) > _MOST_INTERPOLATED:
                raise DataError(f"missing: interpolate takes up to {_MOST_INTERPOLATED:,} rows: fill them beforehand")
            flat["settled"] = flat["settled"] + np.int32(self._flat)
        self._maps.append({**flat, "every": every})
        of_series = {name: getattr(rows, name).numpy() for name in _OF_SERIES}
        of_series["base"] = of_series["base"] + self._flat
        self._parts.append(_Part(panel.times[0], panel.times[-rows.horizon - 1], of_series))
        self._flat += len(rows.target)
        self._horizon = rows.horizon

    def _within(self, given: Given) -> Given:
        """The rows within the bounds; behind the end, what is known in advance."""
        times, codes, names, numbers = given
        recipe = self._tabulator.recipe
        kept, behind = self._bounds.kept(times, codes, recipe)
        hidden = [
            place
            for place, name in enumerate([*recipe.places, *recipe.static])
            if not set(recipe.sources_of(name)) <= set(recipe.told_in_advance)
        ]
        numbers[np.ix_(behind, np.array(hidden, np.int64))] = np.nan
        return Given(times[kept], codes[kept], names, numbers[kept])

    def close(self, notes: list[str]) -> None:
        """Puts all series on one axis, and writes down what is not of single rows.

        Args:
            notes: what was found out before, in sentences.

        Raises:
            DataError: if there is no series, or their calendars differ.
        """
        if not self._named and self._bounds:
            raise nothing_within(min(self._times), max(self._times), self._tabulator.recipe)
        notes = [*notes, *self._tabulator.notes()]
        require_one_frequency(self._named)
        frequency, recipe = self._named[0][1], self._tabulator.recipe
        axis = calendar_between(
            min(part.first for part in self._parts), max(part.last for part in self._parts), frequency
        )
        shifts = axis.get_indexer(pd.DatetimeIndex([part.first for part in self._parts]))
        number = 0
        for part, shift in zip(self._parts, shifts.tolist(), strict=True):
            if shift < 0:
                raise not_on_calendar(self._named[number][0], frequency, axis[0])
            part.of_series["base"] -= shift
            for name in ("first", "stop", "known_stop"):
                part.of_series[name] = part.of_series[name] + shift
            number += len(part.of_series["base"])
        times = cast(pd.DatetimeIndex, axis.append(steps_after(axis[-1], self._horizon, frequency, ())))
        for name in _OF_SERIES:
            np.save(self._folder / f"{name}.npy", np.concatenate([part.of_series[name] for part in self._parts]))
        np.save(self._folder / "times.npy", times.asi8.view(f"M8[{times.unit}]"))
        self._maps.close()
        about = {
            "names": [name for name, _ in self._named],
            "frequency": frequency,
            "zone": "" if times.tz is None else str(times.tz),
            "horizon": self._horizon,
            "recipe": recipe.as_dict(),
            "notes": notes,
            "fingerprint": str(self._digest),
        }
        (self._folder / _ABOUT).write_text(json.dumps(about))
