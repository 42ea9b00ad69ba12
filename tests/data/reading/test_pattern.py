"""Steps that are counted by rows."""

import numpy as np
import pandas as pd
import pytest

from forecastlab.data.reading.pattern import slots_of, times_after
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.errors import DataError, ReadingNote


def session(days=40, zone=None):
    """Half hours of an exchange, 9:30 to 15:30, Monday to Friday."""
    halves = pd.date_range("2024-01-02", periods=48 * days, freq="30min", tz=zone)
    inside = (halves.day_of_week < 5) & (halves.indexer_between_time("9:30", "15:30", True, True) is not None)
    clock = halves.hour * 60 + halves.minute
    return halves[inside & (clock >= 570) & (clock <= 930)]


@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_the_rows_after_a_session_are_those_of_the_next_one(zone):
    times = session(100, zone)  # the clocks change in March
    cut = len(times) - 300
    found = times_after(times[cut - 1], 300, slots_of(times[:cut]))
    assert found.tolist() == times[cut:].tolist()


def test_a_day_that_is_left_out_does_not_change_the_pattern():
    times = session()
    assert slots_of(times) == slots_of(times[times.day != 17])


def test_business_days_go_on_after_a_weekend():
    days = pd.date_range("2024-01-01", periods=30, freq="B")
    assert times_after(pd.Timestamp("2024-02-09"), 2, slots_of(days)).tolist() == [
        pd.Timestamp("2024-02-12"),
        pd.Timestamp("2024-02-13"),
    ]


@pytest.mark.parametrize("frequency", ["MS", "7D", "W"])
def test_longer_steps_have_no_pattern_of_the_week(frequency):
    with pytest.raises(DataError, match="frequency: rows needs rows at the same times of each week"):
        slots_of(pd.date_range("2024-01-01", periods=60, freq=frequency))


def frame(times, **columns):
    return pd.DataFrame({"ds": times, "y": np.sin(np.arange(len(times))), **columns})


def test_nothing_is_filled_and_the_next_rows_are_forecast():
    module = TableDataModule(frame(session()), frequency="rows", lookback=13, horizon=13)
    with pytest.warns(
        ReadingNote, match="steps are counted by rows; rows lie at 65 times of the week on 5 of its days"
    ):
        assert module.table.observed["y"].all()
    times = module.times
    assert len(times) == len(session()) + 13
    assert times[-13:].tolist() == session(41 + 3)[len(session()) :][:13].tolist()


def test_series_that_lack_some_rows_share_the_rows_of_all():
    times = session()
    some = np.delete(np.arange(len(times)), [50, 51])
    both = pd.concat([frame(times, id="a"), frame(times[some], id="b")])
    module = TableDataModule(both, series_column="id", frequency="rows", lookback=13, missing="ffill")
    with pytest.warns(ReadingNote):
        tables = module.tables
    assert [len(table.times) for table in tables] == [len(times)] * 2
    assert np.flatnonzero(~tables[1].observed["y"]).tolist() == [50, 51]


def test_steps_that_never_have_a_row_are_pointed_out():
    module = TableDataModule(frame(session()), missing="ffill", lookback=13)
    with pytest.warns(ReadingNote, match=r"never have a row, such as nights or weekends.*--data.frequency rows"):
        module.read()
