"""From the raw columns of one series to a `Table`: filled values, and which of them were observed."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset

from forecastlab.errors import ConfigError, DataError

Missing = Literal["error", "ffill", "interpolate", "mask"]

MAX_CALENDAR_STEPS = 10_000_000
"""The longest calendar that is laid out; a finer one is a mistake in the frequency."""


@dataclass(frozen=True, eq=False)
class Table:
    """The data of one series on a row axis.

    Rows are steps of the forecast. They need not be steps of the calendar: the file may leave days out (see `gaps`).

    Attributes:
        name: the series' name (`unique_id` in predictions).
        times: (rows,), strictly increasing; without a time zone unless the source says otherwise.
        values: (rows, columns), float64, finite, indexed by `times`: gaps in a column hold its last value before, and
            0 where there is none.
        observed: (rows, columns), bool, labelled as `values`: False where the source had no value, or no such row.
        frequency: the step of the calendar as a pandas offset, for example "D" or "h".
        later: None, or `values` with gaps interpolated: what is known of a row once the next value has been observed.
        ahead: (steps, known), what is known in advance of the steps after the last row.
        static: covariates that do not change in time.
    """

    name: str
    times: pd.DatetimeIndex
    values: pd.DataFrame
    observed: pd.DataFrame
    frequency: str
    later: pd.DataFrame | None
    ahead: pd.DataFrame
    static: Mapping[str, float]

    @classmethod
    def from_numbers(
        cls,
        name: str,
        times: pd.DatetimeIndex,
        columns: "pd.Index[Any]",
        numbers: NDArray[np.float64],
        frequency: str,
        missing: Missing,
        ahead: pd.DataFrame,
        static: Mapping[str, float],
    ) -> "Table":
        """Fills the missing values of a series' columns.

        Args:
            name: the series' name.
            times: (rows,), strictly increasing.
            columns: (columns,), names, each once.
            numbers: (rows, columns), finite, or NaN where a value is missing; the table holds a copy.
            frequency: the step of the calendar as a pandas offset.
            missing: "error" refuses missing values. "ffill" holds the last value before. "interpolate" holds it until
                the next value is known, and is linear between the two from then on. "mask" is for networks that are
                told which values were observed: it holds the last value before, or 0 where there is none.
            ahead: as in the table.
            static: as in the table.

        Raises:
            DataError: if values are missing and `missing` is "error", or a column begins with missing values and
                `missing` is not "mask": a later value would be a look into the future.
            ConfigError: for an unknown `missing`.
        """
        values, observed = _filled(numbers, times, columns, missing)
        later = None
        if missing == "interpolate" and not observed.to_numpy().all():
            later = _interpolated(values, observed.to_numpy())
        return cls(name, times, values, observed, frequency, later, ahead, static)


def _filled(
    numbers: NDArray[np.float64], index: "pd.Index[Any]", columns: "pd.Index[Any]", missing: Missing
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The filled values, (rows, columns), and whether each was there; arguments as `Table.from_numbers`."""
    if missing not in get_args(Missing):
        raise ConfigError(f"missing must be one of {', '.join(get_args(Missing))}, got {missing!r}")
    values = pd.DataFrame(numbers, index, columns, copy=True)
    there = ~np.isnan(numbers)
    observed = pd.DataFrame(there, index, columns, copy=False)
    if there.all():
        return values, observed
    if missing == "error":
        row = int(np.flatnonzero(~there.all(axis=1))[0])
        raise DataError(
            f"values are missing, of {len(values)} rows: {_counted((~observed).sum())}; the first is in row {row} "
            f"({index[row]})\n"
            "Fill them, or choose how they are treated: --data.missing ffill, interpolate or mask."
        )
    values = values.ffill()
    if missing == "mask":
        return values.fillna(0.0), observed
    if not there[0].all():
        leading = values.isna().sum()
        raise DataError(
            f"these columns begin with missing values, which forward-filling cannot reach (rows of {len(values)}): "
            f"{_counted(leading)}\n"
            f"Start the data at a later row (row {leading.max()}, {index[leading.max()]}, is the first with every "
            "column), leave the columns out, or fill their first row in the file."
            if leading.max() < len(values)
            else f"these columns hold no value at all: {_listed(leading.index[leading == len(values)])}\n"
            "Leave them out."
        )
    return values, observed


def _interpolated(values: pd.DataFrame, observed: NDArray[np.bool_]) -> pd.DataFrame:
    """Makes gaps linear in time between the values around them; behind a column's last value they hold it."""
    times = cast(pd.DatetimeIndex, values.index).asi8
    numbers = values.to_numpy(copy=True)
    for column in np.flatnonzero(~observed.all(axis=0)):
        there = observed[:, column]
        numbers[~there, column] = np.interp(times[~there], times[there], numbers[there, column])
    return pd.DataFrame(numbers, values.index, values.columns, copy=False)


def elapsed(times: pd.DatetimeIndex, frequency: str) -> NDArray[np.int64]:
    """The number of calendar steps from the first time to each, (rows,).

    Args:
        times: (rows,), strictly increasing, each on the calendar that starts at the first one.
        frequency: the step of the calendar as a pandas offset.

    Raises:
        DataError: if the times do not increase, or are not on the calendar.
        ConfigError: if `frequency` is not a pandas offset of positive length.
    """
    return lay_out(times, frequency)[1]


def gaps(times: pd.DatetimeIndex, frequency: str) -> pd.DataFrame:
    """Where the calendar goes on and the rows do not.

    Args:
        times: (rows,), as for `elapsed`.
        frequency: the step of the calendar as a pandas offset.

    Returns:
        A row per gap with the columns `from` (the last time before it), `to` (the first time after it) and `missing`
        (the number of steps between them that have no row), indexed by the row number of `to`.

    Raises:
        DataError: as `elapsed`.
        ConfigError: as `elapsed`.
    """
    missing = np.diff(elapsed(times, frequency)) - 1
    after = np.flatnonzero(missing) + 1
    return pd.DataFrame(
        {"from": times[after - 1], "to": times[after], "missing": missing[after - 1]},
        index=pd.Index(after, name="row"),
    )


def calendar_between(first: pd.Timestamp, last: pd.Timestamp, frequency: str) -> pd.DatetimeIndex:
    """Every step from one time to another.

    Raises:
        DataError: if there are too many, or they cannot be counted.
        ConfigError: if `frequency` is not a pandas offset of positive length.
    """
    try:
        offset = to_offset(frequency)
        step = first + offset - first
    except (ValueError, TypeError, AttributeError):
        step = pd.Timedelta(0)
    if not step > pd.Timedelta(0):
        raise ConfigError(
            f"expected a frequency of positive length such as D (day), h (hour) or MS (start of month), "
            f"got {frequency!r}"
        )
    if (last - first).total_seconds() / step.total_seconds() > MAX_CALENDAR_STEPS:
        raise DataError(
            f"the calendar from {first} to {last} has more than {MAX_CALENDAR_STEPS:,} steps of {frequency!r}: "
            "expected the frequency of the data"
        )
    with _in_bounds(first, frequency):
        return pd.date_range(first, last, freq=offset, unit=first.unit)


def calendar_after(last: pd.Timestamp, steps: int, frequency: str) -> pd.DatetimeIndex:
    """The steps that follow a time, (steps,).

    Raises:
        DataError: if there are none such in the calendar.
    """
    with _in_bounds(last, frequency):
        return pd.date_range(last, periods=steps + 1, freq=frequency, unit=last.unit)[1:]


@contextlib.contextmanager
def _in_bounds(first: pd.Timestamp, frequency: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, OverflowError) as error:  # nanoseconds after seconds, the year 10000, ...
        raise DataError(f"the calendar of frequency {frequency!r} cannot go on from {first}: {error}") from None


def lay_out(
    times: pd.DatetimeIndex, frequency: str, within: pd.DatetimeIndex | None = None
) -> tuple[pd.DatetimeIndex, NDArray[np.int64]]:
    """Every step of the calendar from the first time to the last, (steps,); and the step of each time, (rows,).

    Args:
        times: (rows,), as for `elapsed`.
        frequency: the step of the calendar as a pandas offset.
        within: a calendar of this frequency, and of times of this type without a zone. What lies on it is a part of
            it, and need not be laid out.

    Raises:
        DataError: as `elapsed`.
        ConfigError: as `elapsed`.
    """
    _require_increasing(times)
    stamps, first = times.asi8, times[0]
    calendar = times[:0] if within is None else within[slice(*within.asi8.searchsorted([stamps[0], stamps[-1] + 1]))]
    if not len(calendar) or calendar[0] != first:
        calendar = calendar_between(first, times[-1], frequency)
    if np.array_equal(calendar.asi8, stamps):
        return calendar, np.arange(len(times))
    periods = calendar.get_indexer(times).astype(np.int64)
    outside = np.flatnonzero(periods < 0)
    if outside.size:
        row = int(outside[0])
        raise DataError(
            f"expected times on a calendar of frequency {frequency!r} that starts at {first}; row {row} is at "
            f"{times[row]}, and {outside.size} of {len(times)} rows are not on it.\n"
            "Give the frequency of the data, or correct its times."
        )
    return calendar, periods


def _require_increasing(times: pd.DatetimeIndex) -> None:
    if not isinstance(times, pd.DatetimeIndex):
        raise DataError(f"expected an index of times (DatetimeIndex), got {type(times).__name__}")
    if len(times) == 0:
        raise DataError("expected at least one row of data, got none")
    if times.hasnans:
        raise DataError(f"expected a time in every row, row {int(np.flatnonzero(times.isna())[0])} has none")
    if not (times.is_monotonic_increasing and times.is_unique):
        row = int(np.flatnonzero(times[1:] <= times[:-1])[0]) + 1
        raise DataError(
            f"expected times that increase from row to row; row {row} at {times[row]} comes after {times[row - 1]}.\n"
            "Sort the rows by time and keep one per time."
        )


def _listed(names: object, most: int = 12) -> str:
    listed = [str(name) for name in names]  # type: ignore[attr-defined]  # any iterable
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _counted(counts: "pd.Series[int]") -> str:
    return _listed(f"{name} ({count})" for name, count in counts[counts > 0].items())
