"""Frames of several libraries, and the files of columns that they write."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars
import pyarrow
import pyarrow.feather
import pytest

from forecastlab.data.reading.dialect import Dialect
from forecastlab.data.reading.numerals import without
from forecastlab.data.reading.source import read_source
from forecastlab.errors import DataError

WHOLE = pd.DataFrame(
    {
        "unique_id": ["a", "a", "b"],
        "ds": pd.to_datetime(["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 00:00"]).tz_localize("Europe/Berlin"),
        "y": [1.5, np.nan, -3.0],
        "open": [True, False, True],
        "count": [1, 2, 3],
    }
)


def same(frame):
    pd.testing.assert_frame_equal(frame, WHOLE, check_dtype=False, check_column_type=False)
    assert str(frame["ds"].dt.tz) == "Europe/Berlin"


@pytest.mark.parametrize(
    "made",
    [
        WHOLE.copy,
        lambda: polars.from_pandas(WHOLE),
        lambda: polars.from_pandas(WHOLE).lazy(),
        lambda: pyarrow.Table.from_pandas(WHOLE),
    ],
    ids=["pandas", "polars", "lazy polars", "pyarrow"],
)
def test_a_frame_of_any_library_is_the_same_frame(made):
    frame, notes = read_source(made())
    same(frame)
    assert notes == []


@pytest.mark.parametrize(
    "write",
    [
        lambda path: WHOLE.to_parquet(path),
        lambda path: polars.from_pandas(WHOLE).write_parquet(path),
        lambda path: WHOLE.to_feather(path),
        lambda path: polars.from_pandas(WHOLE).write_ipc(path, compression="zstd"),
        lambda path: pyarrow.feather.write_feather(pyarrow.Table.from_pandas(WHOLE), path, compression="lz4"),
    ],
    ids=["parquet", "polars parquet", "feather", "polars arrow", "feather of lz4"],
)
@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "X.CSV"])
def test_a_file_of_columns_is_read_by_its_content(tmp_path, write, name):
    write(tmp_path / name)
    frame, notes = read_source(tmp_path / name)
    same(frame)
    assert notes == []


def test_days_and_decimal_numbers_of_arrow_are_times_and_numbers():
    days, prices = [datetime.date(2024, 1, 1), None], [Decimal("1.25"), None]
    frame, _ = read_source(pyarrow.table({"ds": days, "y": prices}))
    assert frame["ds"].tolist()[0] == pd.Timestamp("2024-01-01")
    assert frame["y"].dtype == np.float64
    assert frame["y"].tolist()[0] == 1.25


def test_a_series_is_a_frame_of_one_column_with_its_times():
    times = pd.date_range("2024", periods=3, freq="h")
    frame, notes = read_source(pd.Series([1.0, 2.0, 3.0], times, name="load"))
    assert frame.columns.tolist() == ["load"]
    assert frame.index.equals(times)
    assert notes == []
    frame, notes = read_source(pd.Series([1.0], times[:1].to_period("h")))
    assert frame.columns.tolist() == ["y"]
    assert isinstance(frame.index, pd.PeriodIndex)
    assert notes == ["the series has no name, and is called y"]
    assert read_source(polars.Series("load", [1.0]))[0]["load"].tolist() == [1.0]


def test_names_of_an_index_that_is_no_time_become_columns():
    frame, _ = read_source(WHOLE.set_index(["unique_id", "ds"]))
    same(frame[WHOLE.columns])


def test_what_is_given_is_not_changed():
    given = pd.DataFrame({0: [-999.99, 2.0], "t": ["x", "bad"]})
    frame, _ = read_source(given, Dialect(na_values=(-999.99, "bad")))
    assert frame.columns.tolist() == ["0", "t"]
    assert frame["0"].isna().tolist() == [True, False]
    assert frame["t"].isna().tolist() == [False, True]
    assert given.columns.tolist() == [0, "t"]
    assert given.notna().all(axis=None)
    without(given, (2.0,), ())
    assert given.notna().all(axis=None)


def test_what_is_no_frame_is_refused():
    for given, said in (
        (5, "expected a path, a list of paths, a frame"),
        (None, "expected a path, a list of paths, a frame"),
        ({"y": [1]}, "got the fields y"),
        ([], "there is no record"),
    ):
        with pytest.raises(DataError, match=said):
            read_source(given)
    with pytest.raises(DataError, match="frame has y twice"):
        read_source(pd.DataFrame([[1, 2]], columns=["y", "y"]))
    with pytest.raises(DataError, match="2 levels of names"):
        read_source(pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])))
    with pytest.raises(DataError, match="a column and an index called y"):
        read_source(pd.DataFrame({"y": [1]}, index=pd.Index([3], name="y")))


def test_arrow_that_unpacks_to_more_than_the_memory_holds_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "x.arrow"
    polars.DataFrame({"y": [0.0] * 1_000_000}).write_ipc(path, compression="zstd")
    assert path.stat().st_size < 10**5
    monkeypatch.setattr("forecastlab.limits.available_memory", lambda: 10**6)
    with pytest.raises(DataError, match=r"needs .* of memory \(what it unpacks to\)"):
        read_source(path)


@pytest.mark.parametrize("content", [b"ARROW1", b"ARROW1\0\0" + bytes(100) + b"ARROW1", b"PAR1" + bytes(50)])
def test_columns_that_are_damaged_are_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*x as (Parquet|an Arrow file)"):
        read_source(tmp_path / "x")
