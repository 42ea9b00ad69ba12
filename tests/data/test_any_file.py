"""Promise: whatever a data file holds, it is read or refused with a few lines."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.errors import ConfigError, DataError

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")  # what was seen is not asked here

QUIETLY = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
CELLS = st.sampled_from(
    [
        *("1.5", "-3", "", "nan", "NA", "inf", "-Infinity", "1e39", "1e400", "9" * 25, "0x1f", "1_000", "1,5", "True"),
        *("y", "é", "\0", '"', '""', "'", " ", "\t", ";", "\r", "\n", "#", "\\", "\ufeff", "2020-01-01", "1.2.2020"),
    ]
)
TIMES = st.sampled_from(
    [
        *("2020-01-01", "2020-01-02", "2020-01-03 12:00", "01.02.2020", "13.02.2020", "01/02/2020", "12/31/2020"),
        *("2020-02", "2020-01-04T00:00Z", "2020-01-05T00:00+01:00", "2020-02-30", "0001-01-01", "9999-12-31", "NaT"),
        *("1", "1577836800", "", "noon", "2020-W01-1", "20200101", "Q1 2020", "-2020-01-01", "24:00"),
        "99999-01-01",
    ]
)
LINES = st.lists(st.tuples(TIMES, st.sampled_from(["a", "b", ""]), CELLS, CELLS).map(",".join), max_size=8)
CALENDARS = st.lists(
    st.tuples(st.datetimes().map(str), st.sampled_from(["a", "b"]), st.floats().map(repr), st.floats().map(repr)).map(
        ",".join
    ),
    max_size=8,
)
DAYS = "".join(f"2020-01-{day:02},a,{day},{day / 7:.3f}\n" for day in range(1, 31))


@st.composite
def damaged(draw, whole):
    """A file with some bytes replaced, left out or put in."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 20))] = draw(st.binary(max_size=6))
    return bytes(content)


TEXTS = (
    st.binary(max_size=200)
    | st.text(max_size=200).map(str.encode)
    | st.lists(CELLS | TIMES, max_size=60).map(lambda cells: ",".join(cells).encode())
    | (LINES | CALENDARS).map(lambda lines: "\n".join(["ds,id,y,x", *lines]).encode())
    | damaged(("ds,id,y,x\n" + DAYS).encode())
)


def assert_read_or_refused(path, **arguments):
    """No error but our own comes out of the file, and that is short."""
    columns = {"features": ["y", "x"], "lookback": 2, "splits": 2, "validation": "test", **arguments}
    message = ""
    try:
        data = TableDataModule(str(path), **columns)
        for stage in ("fit", "test", "predict"):
            data.setup(stage)
        batches = [*data.train_dataloader(), *data.test_dataloader(), *data.predict_dataloader()]
        assert all(np.isfinite(part.numpy()).all() for batch in batches for part in batch)
        assert all(np.isfinite(buffer.numpy()).all() for buffer in data.scaling.state_dict().values())
    except (DataError, ConfigError) as error:
        message = str(error)
    assert len(message.splitlines()) <= 10
    assert len(message) < 2000


@given(
    content=TEXTS,
    missing=st.sampled_from(["error", "ffill", "interpolate", "mask"]),
    series=st.sampled_from([None, "id"]),
    frequency=st.sampled_from([None, "D", "h", "MS", "ns"]),
    calendar=st.sampled_from([[], ["hour", "day_of_year"]]),
)
@QUIETLY
def test_any_bytes_as_a_csv_file(tmp_path, content, missing, series, frequency, calendar):
    path = tmp_path / "any.csv"
    path.write_bytes(content)
    assert_read_or_refused(path, missing=missing, series_column=series, frequency=frequency, calendar=calendar)


@given(content=TEXTS, known=st.sampled_from([[], ["x"]]), static=st.sampled_from([[], ["id"]]))
@QUIETLY
def test_any_bytes_as_a_csv_file_with_covariates(tmp_path, content, known, static):
    path = tmp_path / "any.csv"
    path.write_bytes(content)
    derive = {"z": {"y": 1, "x": -1}}
    assert_read_or_refused(path, features=["y", "z"], known=known, static=static, derive=derive, start="2020-01-02")


def parquet(frame):
    """The bytes of a Parquet file."""
    written = io.BytesIO()
    frame.to_parquet(written)
    return written.getvalue()


WHOLE = parquet(pd.read_csv(io.StringIO("ds,id,y,x\n" + DAYS), parse_dates=["ds"]))


@given(content=st.binary(max_size=100) | damaged(WHOLE))
@QUIETLY
def test_any_bytes_as_a_parquet_file(tmp_path, content):
    path = tmp_path / "any.parquet"
    path.write_bytes(content)
    assert_read_or_refused(path)


@pytest.mark.parametrize(
    "column",
    [
        [[1], [2]] * 10,
        [{"a": 1}] * 20,
        [b"1"] * 20,
        [None] * 20,
        pd.date_range("2020", periods=20),
        pd.to_timedelta(range(20), unit="h"),
        pd.Categorical(["1", "x"] * 10),
        pd.array([None, True] * 10, dtype="boolean"),
        pd.array([None, 2**62] * 10, dtype="Int64"),
        [1e308] * 20,
        ["1" * 400] * 20,
    ],
    ids=str,
)
def test_any_type_of_a_parquet_column(tmp_path, column):
    for name in ("y", "x", "ds", "id"):
        frame = pd.read_csv(io.StringIO("ds,id,y,x\n" + DAYS), parse_dates=["ds"])[:20].astype({name: object})
        frame[name] = column
        frame.to_parquet(tmp_path / "any.parquet")
        for missing in ("error", "mask"):
            assert_read_or_refused(tmp_path / "any.parquet", missing=missing, series_column="id")
