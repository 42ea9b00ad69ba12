"""Frames of several libraries, and the files of columns that they write."""

import datetime
import gzip
import io
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars
import pyarrow
import pyarrow.feather
import pyarrow.ipc
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


def pyarrow_stream(**options):
    """WHOLE in two batches, as the bytes of a stream."""
    table, sink = pyarrow.Table.from_pandas(WHOLE), io.BytesIO()
    with pyarrow.ipc.new_stream(sink, table.schema, options=pyarrow.ipc.IpcWriteOptions(**options)) as stream:
        stream.write_table(table, max_chunksize=2)
    return sink.getvalue()


def write_stream(path, **options):
    path.write_bytes(pyarrow_stream(**options))


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
        lambda path: write_stream(path),
        lambda path: write_stream(path, compression="zstd"),
        lambda path: write_stream(path, use_legacy_format=True),
        lambda path: polars.from_pandas(WHOLE).write_ipc_stream(path),
        lambda path: path.write_bytes(gzip.compress(pyarrow_stream())),
    ],
    ids=[
        *("parquet", "polars parquet", "feather", "polars arrow", "feather of lz4"),
        *("stream", "stream of zstd", "stream of before 0.15", "polars stream", "packed stream"),
    ],
)
@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.arrows", "x.feather", "X.CSV"])
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


@pytest.mark.parametrize("write", ["write_ipc", "write_ipc_stream"])
def test_arrow_that_unpacks_to_more_than_the_memory_holds_is_refused(tmp_path, monkeypatch, write):
    path = tmp_path / "x.arrow"
    getattr(polars.DataFrame({"y": [0.0] * 1_000_000}), write)(path, compression="zstd")
    assert path.stat().st_size < 10**5
    monkeypatch.setattr("forecastlab.limits.available_memory", lambda: 10**6)
    with pytest.raises(DataError, match=r"needs .* of memory \(what it unpacks to\)"):
        read_source(path)


@pytest.mark.parametrize(
    "content",
    [
        *(b"ARROW1", b"ARROW1\0\0" + bytes(100) + b"ARROW1", b"PAR1" + bytes(50)),
        *(b"\xff\xff\xff\xff" + bytes(60), b"\xff\xff\xff\xff\xff\0\0\0" + bytes(9), pyarrow_stream()[:-100]),
        *(pyarrow_stream()[:40], b"\x10\0\0\0\x10\0\0\0" + bytes(20)),
    ],
)
def test_columns_that_are_damaged_are_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*x as (Parquet|an Arrow file)"):
        read_source(tmp_path / "x")


@pytest.mark.parametrize("name", ["x.feather", "x.arrow", "x"])
def test_feather_of_version_1_is_refused_in_two_lines_that_say_what_to_do(tmp_path, name):
    (tmp_path / name).write_bytes(b"FEA1" + bytes(200) + b"FEA1")
    with pytest.raises(DataError) as caught:
        read_source(tmp_path / name)
    first, second = str(caught.value).splitlines()
    assert (
        first
        == f"{tmp_path / name} is a Feather file of version 1, a form that is given up: expected version 2, or Parquet."
    )
    assert second.endswith(f"pandas.read_feather({str(tmp_path / name)!r}).to_parquet('new.parquet')")


@pytest.mark.parametrize("name", ["x.feather", "x.arrow"])
def test_the_way_out_of_feather_of_version_1_works(tmp_path, monkeypatch, name):
    frame = WHOLE.drop(columns="ds")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # which is why it is refused
        pyarrow.feather.write_feather(frame, tmp_path / name, version=1)
        with pytest.raises(DataError) as caught:
            read_source(tmp_path / name)
        monkeypatch.chdir(tmp_path)
        exec(str(caught.value).rpartition("again: ")[2].replace("pandas", "pd"))
    pd.testing.assert_frame_equal(read_source("new.parquet")[0], frame, check_dtype=False)


def test_a_stream_whose_offsets_point_out_of_the_memory_is_refused(tmp_path):
    table, sink = pyarrow.table({"text": ["one", "two", "three"]}), io.BytesIO()
    with pyarrow.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    offsets = np.array([0, 3, 6, 11], np.int32).tobytes()
    assert sink.getvalue().count(offsets) == 1
    far = np.array([0, 3, 6, 2**30], np.int32).tobytes()
    (tmp_path / "x.arrows").write_bytes(sink.getvalue().replace(offsets, far))
    with pytest.raises(DataError, match="as an Arrow file"):
        read_source(tmp_path / "x.arrows")
