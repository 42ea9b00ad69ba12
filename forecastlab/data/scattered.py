"""`Scattered`: the rows of a stream put together by series, in files, whatever order they come in."""

import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.coarser import Rows
from forecastlab.data.maps import let_go
from forecastlab.data.panel import require_different
from forecastlab.data.reading.long import long_of, series_of
from forecastlab.data.reading.places import in_file
from forecastlab.data.reading.stream import Stream
from forecastlab.data.reading.values import is_text
from forecastlab.data.recipe import Recipe
from forecastlab.data.tables import numbers_of_columns
from forecastlab.errors import DataError


def settled(stream: Stream, recipe: Recipe) -> tuple[Recipe, list[str]]:
    """The recipe with what its first rows tell about all, and sentences on what was found out.

    Args:
        stream: the rows.
        recipe: what is known of them.

    Raises:
        DataError: for rows of which only all together tell how they are to be read.
    """
    head = next(stream.frames(stream.columns), None)
    if head is None:
        raise DataError("expected at least one row of data, got none")
    long = long_of(head, recipe)
    found = long.recipe
    if long.frame is not head:
        raise DataError(
            "the data have a column per time, and storage: mapped needs a row per time: --data.storage memory"
        )
    if not found.time_columns:
        raise DataError("storage: mapped needs a column of times, and the data have none: set --data.storage memory")
    for name, values in found.categories.items():
        if name not in recipe.categories:
            shown = ", ".join(values[:5]) + (", ..." if len(values) > 5 else "")
            raise DataError(
                f"column {name} holds text, and storage: mapped does not look through all rows for its values: name "
                f"them, --data.categories '{{{name}: [{shown}]}}'"
            )
    if not recipe.time_format:
        for name in found.time_columns:
            if not pd.api.types.is_datetime64_any_dtype(head[name]):
                raise DataError(
                    f"{in_file(head)}column {name} holds {head[name].dtype}, and no times: storage: mapped does not "
                    "look through all rows for how they are written: say it, --data.time_format %Y-%m-%d or number"
                )
    _require_numbers(head, found)
    return found, long.notes


def _require_numbers(frame: pd.DataFrame, recipe: Recipe) -> None:
    """Raises DataError for text that is to be numbers: only all rows together tell how these are written."""
    for name in recipe.sources:
        if name not in recipe.categories and is_text(frame[name]):
            raise DataError(
                f"{in_file(frame)}column {name} holds text: storage: mapped expects a column of numbers, or its values "
                f"in categories; write it as numbers, or set --data.storage memory"
            )


class Scattered:
    """Rows by series, and within a series in the order in which they came.

    Args:
        stream: the rows, in any order.
        recipe: what they are, as `settled` gives it.
        folder: where the files are put; it is there.

    Attributes:
        names: of the series, in the order in which they first appear.
        counts: (series,), their rows.

    Raises:
        DataError: for a value that cannot be read.
    """

    def __init__(self, stream: Stream, recipe: Recipe, folder: Path) -> None:
        self._recipe = recipe
        self.names: list[str] = []
        self.counts = np.zeros(0, np.int64)
        self._codes = folder / "codes"
        self._count(stream)
        self._stops = self.counts.cumsum()
        rows, width = int(self._stops[-1]), len(recipe.places) + len(recipe.static)
        self._numbers = _Writable(folder / "numbers", (rows, width), np.float64)
        self._stamps = _Writable(folder / "stamps", (rows,), np.int64)
        self._times: pd.DatetimeIndex | None = None
        self._put(stream)

    def _count(self, stream: Stream) -> None:
        """Finds the series of each row; writes down their numbers."""
        recipe, known = self._recipe, dict[tuple[str, ...], int]()
        with self._codes.open("wb") as file:
            for frame in stream.frames(recipe.series_columns or recipe.time_columns):
                own, names = series_of(frame, recipe)
                keys = _keys(frame, recipe, own, names)
                for key, name in zip(keys, names, strict=True):
                    if key not in known:
                        known[key] = len(known)
                        self.names.append(name)
                codes = np.array([known[key] for key in keys])[own]
                self.counts = np.pad(self.counts, (0, len(known) - len(self.counts)))
                self.counts += np.bincount(codes, minlength=len(known))
                file.write(codes.astype(np.int32).tobytes())
        require_different(self.names)

    def _put(self, stream: Stream) -> None:
        """Puts every row behind those of its series that came before."""
        recipe = self._recipe
        behind = self._stops - self.counts  # where the next row of each series goes
        with self._codes.open("rb") as file:
            for frame in stream.frames({*recipe.time_columns, *recipe.series_columns, *recipe.sources}):
                _require_numbers(frame, recipe)
                numbers, times = numbers_of_columns(frame, recipe, []), long_of(frame, recipe).times
                self._require_same_times(frame, times)
                codes = np.frombuffer(file.read(4 * len(frame)), np.int32).astype(np.int64)
                order = np.argsort(codes, kind="stable")
                own, starts, counts = np.unique(codes[order], return_index=True, return_counts=True)
                within = np.arange(len(codes)) - np.repeat(starts, counts)
                places = np.repeat(behind[own], counts) + within
                self._numbers.put(places, numbers[order])
                self._stamps.put(places, times.asi8[order])
                behind[own] += counts

    def _require_same_times(self, frame: pd.DataFrame, times: pd.DatetimeIndex) -> None:
        if self._times is None:
            self._times = times[:0]
        elif times.dtype != self._times.dtype:
            raise DataError(
                f"{in_file(frame)}the times are {times.dtype}, and those before {self._times.dtype}: write all in one "
                "form, or set --data.storage memory"
            )

    def parts(self, most: int) -> Iterator[Rows]:
        """The rows of some series after others, all of a series together, of at most so many rows or one series."""
        start = 0
        while start < len(self.counts):
            begin = int(self._stops[start] - self.counts[start])
            stop = max(start + 1, int(np.searchsorted(self._stops, begin + most, side="right")))
            end = int(self._stops[stop - 1])
            codes = np.repeat(np.arange(stop - start), self.counts[start:stop])
            times = self._times_of(self._stamps.get(begin, end))
            yield Rows(times, codes, self.names[start:stop], self._numbers.get(begin, end))
            start = stop

    def _times_of(self, stamps: NDArray[np.int64]) -> pd.DatetimeIndex:
        assert self._times is not None
        times = pd.DatetimeIndex(stamps.view(f"M8[{self._times.unit}]"), name=self._times.name)
        return times if self._times.tz is None else times.tz_localize("UTC").tz_convert(self._times.tz)


def _keys(frame: pd.DataFrame, recipe: Recipe, codes: NDArray[np.int64], names: list[str]) -> Sequence[tuple[str, ...]]:
    """What tells each series of a frame from those of others: its names, of which two may read alike together."""
    columns = list(recipe.series_columns)
    if len(columns) < 2:
        return [(name,) for name in names]
    heads = frame[columns].iloc[np.unique(codes, return_index=True)[1]]
    if heads.isna().to_numpy().any():
        raise DataError(
            f"{in_file(frame)}some rows have no value in one of {', '.join(columns)}, which name the series: storage: "
            "mapped needs all of them; write them, or set --data.storage memory"
        )
    return [tuple(map(str, head)) for head in heads.to_numpy(object)]


class _Writable:
    """An array in a file, of which only what is written or read is in memory.

    Args:
        path: the file.
        shape: of the array.
        kind: of its numbers.

    Raises:
        OSError: if there is no room for it.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], kind: type[np.generic]) -> None:
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        with path.open("w+b") as file:
            file.truncate(size)
            if hasattr(os, "posix_fallocate"):  # or a full disk would end the process while rows are put in
                os.posix_fallocate(file.fileno(), 0, size)
            self._map = mmap.mmap(file.fileno(), 0)
        self._array = np.frombuffer(self._map, kind).reshape(shape)

    def put(self, places: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Writes rows to some places."""
        self._array[places] = values
        let_go(self._map)

    def get(self, begin: int, end: int) -> NDArray[Any]:
        """A copy of some rows that follow each other."""
        rows = self._array[begin:end].copy()
        let_go(self._map)
        return rows
