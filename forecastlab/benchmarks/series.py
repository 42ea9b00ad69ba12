"""`SeriesSet`: the series of a published data set, on one flat axis."""

import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.reading.tsf import read_tsf

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SeriesSet:
    """Series of one frequency.

    Attributes:
        names: what they are called.
        values: of each series, (rows,); NaN where one is missing.
        starts: when the first row of each was observed; None where the file does not say, and rows are counted.
        frequency: the step of the calendar as a pandas offset; "" where rows are counted.
        together: whether the series are the variables of one system, observed at the same times.
    """

    names: Sequence[str]
    values: Sequence[Floats]
    starts: Sequence[pd.Timestamp] | None
    frequency: str
    together: bool = False

    @cached_property
    def flat(self) -> Floats:
        """(all rows,): the values of one series after another."""
        return np.concatenate(self.values)

    @cached_property
    def lengths(self) -> Integers:
        """(series,): their rows."""
        return np.array([len(values) for values in self.values])

    @cached_property
    def base(self) -> Integers:
        """(series,): the place of each one's first row on the flat axis."""
        return np.cumsum(self.lengths) - self.lengths

    def times(self, number: int, rows: int) -> "pd.Index[int] | pd.DatetimeIndex":
        """When the first rows of a series were observed, (rows,); their numbers where rows are counted.

        Args:
            number: of the series.
            rows: how many.
        """
        if self.starts is None:
            return pd.RangeIndex(rows)
        return pd.date_range(self.starts[number], periods=rows, freq=self.frequency)

    def frame(self, rows: Integers) -> pd.DataFrame:
        """The first rows of the series: a column per variable of one system, else the columns unique_id, ds and y.

        Args:
            rows: (series,): how many of each.
        """
        if self.together:
            columns = {name: values[: rows[0]] for name, values in zip(self.names, self.values, strict=True)}
            return pd.DataFrame({"ds": self.times(0, int(rows[0])), **columns})
        times = [np.asarray(self.times(number, int(count))) for number, count in enumerate(rows)]
        return pd.DataFrame(
            {
                "unique_id": np.repeat(np.array(self.names, object), rows),
                "ds": np.concatenate(times),
                "y": np.concatenate([values[:count] for values, count in zip(self.values, rows, strict=True)]),
            }
        )


Reader = Callable[[Sequence[Path]], SeriesSet]
"""Makes a set out of the files of a data set."""


def monash(frequency: str) -> Reader:
    """Reads a .tsf file of the Monash archive, whose series have starts.

    Args:
        frequency: the step of the calendar as a pandas offset; "" where the series have no calendar in common, such as
            weeks that begin on different days, and their rows are counted.
    """

    def read(paths: Sequence[Path]) -> SeriesSet:
        (path,) = paths
        frame, _ = read_tsf(path.read_text(encoding="utf-8", errors="replace"), path)
        names = frame["series_name"].to_numpy()
        begins = np.flatnonzero(np.append(True, names[1:] != names[:-1]))
        starts = [pd.Timestamp(time) for time in frame["ds"].to_numpy()[begins]]
        values = np.split(frame["y"].to_numpy(np.float64), begins[1:])
        return SeriesSet([str(name) for name in names[begins]], values, starts if frequency else None, frequency)

    return read


def numbers(start: str, frequency: str, names: Sequence[str] = ()) -> Reader:
    """Reads a zip of one text of numbers, a row per time and a column per variable, without times or names.

    Args:
        start: the time of the first row, as the source states it.
        frequency: the step of the calendar as a pandas offset.
        names: of the columns; () to number them.
    """

    def read(paths: Sequence[Path]) -> SeriesSet:
        (path,) = paths
        with zipfile.ZipFile(path) as archive:
            (member,) = (name for name in archive.namelist() if name.endswith(".txt"))
            text = archive.read(member).decode()
        frame = pd.read_csv(io.StringIO(text), header=None, dtype=np.float64)
        called = names or [f"variable_{number + 1}" for number in range(frame.shape[1])]
        return _system(list(called), frame.to_numpy(), start, frequency)

    return read


def ett(together: bool = True) -> Reader:
    """Reads ETTh1.csv, ETTh2.csv or both, whose rows are the hours from July 2016 on.

    Args:
        together: whether the columns are variables of one system, and not series of their own.
    """

    def read(paths: Sequence[Path]) -> SeriesSet:
        frames = [pd.read_csv(path, index_col="date", dtype=dict.fromkeys(ETT, np.float64)) for path in paths]
        several = len(frames) > 1
        names = [f"{path.stem}_{name}" if several else name for path in paths for name in ETT]
        values = np.concatenate([frame[list(ETT)].to_numpy() for frame in frames], axis=1)
        return _system(names, values, "2016-07-01", "h", together)

    return read


def hourly_means(names: Sequence[str]) -> Reader:
    """Reads ETTm1.zip or ETTm2.zip, whose rows are quarter hours, and takes the mean of each hour.

    Args:
        names: of the columns.
    """
    quarters = numbers("2016-07-01", "15min", names)

    def read(paths: Sequence[Path]) -> SeriesSet:
        values = np.stack(quarters(paths).values, 1)
        hours = values[: len(values) // 4 * 4].reshape(-1, 4, values.shape[1]).mean(1)
        return _system(list(names), hours, "2016-07-01", "h")

    return read


def monthly_means(paths: Sequence[Path]) -> SeriesSet:
    """Reads a .tsf file of one daily series, and takes the mean of each month."""
    daily = monash("D")(paths)
    assert daily.starts is not None
    of_month = pd.Series(daily.values[0], daily.times(0, len(daily.values[0]))).resample("MS").mean()
    return SeriesSet(daily.names, [np.asarray(of_month, np.float64)], [of_month.index[0]], "MS")


def m4(paths: Sequence[Path]) -> SeriesSet:
    """Reads the training and the test file of the M4 competition, a row per series; they tell no times."""
    train, test = (_rows(path) for path in paths)
    assert list(train) == list(test), "the files list the same series"
    values = [np.concatenate([past, test[name]]) for name, past in train.items()]
    return SeriesSet(list(train), values, None, "")


ETT = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
"""The columns of the transformers: loads of six kinds, and the oil temperature."""


def _system(names: Sequence[str], values: Floats, start: str, frequency: str, together: bool = True) -> SeriesSet:
    """A set of (rows, series)."""
    columns = list(np.ascontiguousarray(values.T))
    return SeriesSet(names, columns, [pd.Timestamp(start)] * len(columns), frequency, together)


def _rows(path: Path) -> dict[str, Floats]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        next(reader)
        return {row[0]: np.array([float(cell) for cell in row[1:] if cell]) for row in reader}
