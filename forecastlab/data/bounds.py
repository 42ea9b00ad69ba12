"""`start` and `end`: which rows are used."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.reading.counted import COUNTED, times_of
from forecastlab.data.reading.times import time_of
from forecastlab.data.recipe import Recipe
from forecastlab.data.tables import label_of
from forecastlab.errors import ConfigError, DataError


@dataclass(frozen=True)
class Bounds:
    """The first and the last time that are used, as they are given; None for no bound.

    Raises:
        ConfigError: if one is no time.
    """

    start: str | int | None
    end: str | int | None

    def __post_init__(self) -> None:
        for key, value in (("start", self.start), ("end", self.end)):
            bound(key, value, counted=str(value).isdigit())  # whether rows are counted is known when they are read

    def __bool__(self) -> bool:
        return self.start is not None or self.end is not None

    def kept(
        self, times: pd.DatetimeIndex, codes: NDArray[np.int64], recipe: Recipe
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which rows are kept, (rows,): those within the bounds, and behind them what is known in advance of a series.

        Args:
            times: (rows,), of the rows.
            codes: (rows,), numbers of their series.
            recipe: what the columns are.

        Returns:
            Which are kept, and which lie behind the end, (rows,) each.

        Raises:
            ConfigError: if times have a zone and the bounds have none, or the other way round.
        """
        counted = recipe.time_format == COUNTED
        start, end = (bound(key, value, counted) for key, value in (("start", self.start), ("end", self.end)))
        try:
            begun, behind = times >= (start or times.min()), times > (end or times.max())
        except TypeError as error:  # times with a zone, and bounds without
            raise ConfigError(f"start, end: expected times such as {times.min()}: {error}") from None
        kept = begun & ~behind
        if recipe.known:
            kept |= begun & np.isin(codes, np.unique(codes[kept]))
        return kept, behind


def nothing_within(first: pd.Timestamp, last: pd.Timestamp, recipe: Recipe) -> DataError:
    """The error for data, from one time to another, of which no row lies within the bounds."""
    labels = " .. ".join(label_of(time, recipe) for time in (first, last))
    return DataError(f"no row of the data lies within start and end; their times are {labels}")


def bound(key: str, value: str | int | None, counted: bool = False) -> pd.Timestamp | None:
    """A bound as a time; None for none.

    Args:
        key: its name, for messages.
        value: as it is given.
        counted: whether rows are counted.

    Raises:
        ConfigError: if it is none.
    """
    if value is None:
        return None
    if not counted and not isinstance(value, int):
        return time_of(key, value)
    try:
        return times_of(np.array([int(value)]))[0]
    except ValueError:
        raise ConfigError(f"{key}: the rows are counted; expected a whole number, got {value!r}") from None
