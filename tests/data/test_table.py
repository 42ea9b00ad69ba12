import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecastlab.data.table import elapsed, gaps
from forecastlab.errors import ConfigError, DataError
from tests.frames import table

NAN = np.nan
# 1 January has a gap of two days after it, 5 January one of one day
TIMES = pd.DatetimeIndex(["2020-01-01", "2020-01-04", "2020-01-05", "2020-01-07"], name="Date")


def frame(**columns):
    return pd.DataFrame(columns, index=TIMES[: len(next(iter(columns.values())))], dtype="float64")


def test_a_missing_value_takes_the_last_one_before_it():
    made = table(frame(a=[1, NAN, NAN, 4], b=[5, 6, NAN, NAN], y=[1, 2, 3, 4]))
    assert made.values["a"].tolist() == [1, 1, 1, 4]
    assert made.values["b"].tolist() == [5, 6, 6, 6]
    assert made.observed["a"].tolist() == [True, False, False, True]
    assert made.observed["b"].tolist() == [True, True, False, False]


def test_filling_leaves_the_raw_frame_alone():
    raw = frame(a=[1, NAN, 3, NAN], y=[1, 2, 3, 4])
    before = raw.copy()
    table(raw)
    pd.testing.assert_frame_equal(raw, before)


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=30), st.integers(0, 30))
def test_filling_never_looks_ahead(cells, cut):
    cells = [0.0, *cells]
    times = pd.date_range("2020-01-01", periods=len(cells))
    raw = pd.DataFrame({"a": np.array(cells, dtype="float64"), "y": 1.0}, index=times)
    whole = table(raw).values["a"].tolist()
    expected, last = [], NAN
    for cell in cells:
        last = last if cell is None else cell
        expected.append(last)
    assert whole == expected
    part = max(1, min(cut, len(cells)))
    assert table(raw.iloc[:part]).values["a"].tolist() == whole[:part]


def test_leading_missing_values_name_their_columns_and_count():
    with pytest.raises(DataError) as caught:
        table(frame(a=[NAN, NAN, 3, 4], b=[1, NAN, 3, 4], c=[NAN, 2, 3, 4]))
    message = str(caught.value)
    assert "a (2), c (1)" in message
    assert "b (" not in message
    assert "row 2, 2020-01-05 00:00:00, is the first with every column" in message


def test_many_columns_with_leading_missing_values_stay_a_short_message():
    raw = pd.DataFrame(np.full((3, 500), NAN), TIMES[:3], [f"column_{i}" for i in range(500)])
    raw.iloc[2] = 1
    with pytest.raises(DataError, match="and 488 more") as caught:
        table(raw)
    assert len(str(caught.value).splitlines()) <= 10
    assert len(str(caught.value)) < 1000


def test_a_column_without_any_value_is_named():
    with pytest.raises(DataError, match="no value at all: b\n"):
        table(frame(b=[NAN, NAN], y=[1, 2]))


def test_integers_and_nullable_numbers_become_floats():
    made = table(pd.DataFrame({"a": [1, 2], "b": pd.array([1.5, pd.NA], dtype="Float64"), "y": [1, 2]}, TIMES[:2]))
    assert set(made.values.dtypes) == {np.dtype("float64")}
    assert made.values["b"].tolist() == [1.5, 1.5]
    assert made.observed["b"].tolist() == [True, False]


def test_gaps_name_the_rows_around_them_and_the_missing_steps():
    found = gaps(TIMES, "D")
    assert found.index.tolist() == [1, 3]
    assert found["from"].tolist() == [TIMES[0], TIMES[2]]
    assert found["to"].tolist() == [TIMES[1], TIMES[3]]
    assert found["missing"].tolist() == [2, 1]


def test_times_without_gaps_have_none():
    assert len(gaps(pd.date_range("2020-01-01", periods=50, freq="h"), "h")) == 0
    assert len(gaps(TIMES[:1], "D")) == 0


@pytest.mark.parametrize("frequency", ["D", "h", "2h", "15min", "MS", "ME", "W", "B", "YS"])
def test_elapsed_steps_count_the_calendar_at_any_frequency(frequency):
    calendar = pd.date_range("2019-12-01", periods=60, freq=frequency)
    kept = [0, 1, 2, 5, 6, 30, 59]
    assert elapsed(calendar[kept], frequency).tolist() == kept
    assert gaps(calendar[kept], frequency)["missing"].tolist() == [2, 23, 28]


def test_days_count_across_a_change_to_summer_time():
    days = pd.date_range("2021-03-26", periods=5, freq="D", tz="Europe/Berlin")
    assert elapsed(days[[0, 1, 4]], "D").tolist() == [0, 1, 4]
    hours = pd.date_range("2021-03-28", periods=5, freq="h", tz="Europe/Berlin")
    assert elapsed(hours, "h").tolist() == [0, 1, 2, 3, 4]


def test_steps_of_the_calendar_that_have_no_row_become_missing_values():
    made = table(frame(a=[1, 2, NAN, 4]), regular=True)
    assert made.times.tolist() == pd.date_range("2020-01-01", "2020-01-07").tolist()
    assert made.times.name == "Date"
    assert made.values["a"].tolist() == [1, 1, 1, 2, 2, 2, 4]
    assert made.observed["a"].tolist() == [True, False, False, True, False, False, True]


@given(st.sets(st.integers(3, 200), max_size=40))
def test_a_regular_table_keeps_every_row_and_adds_exactly_the_gaps(left_out):
    times = pd.date_range("2020-01-01", periods=202).delete(sorted(left_out))
    raw = pd.DataFrame({"a": np.arange(float(len(times)))}, index=times)
    made = table(raw, regular=True)
    assert len(made.times) == len(raw) + gaps(times, "D")["missing"].sum()
    pd.testing.assert_frame_equal(made.values[made.observed["a"]], raw, check_freq=False)


@pytest.mark.parametrize("operation", [elapsed, gaps])
@pytest.mark.parametrize("frequency", ["foo", "", "-1D", "0h", None, 5])
def test_a_frequency_that_is_none_is_refused(operation, frequency):
    with pytest.raises(ConfigError, match="expected a frequency of positive length"):
        operation(TIMES, frequency)


def test_times_off_the_calendar_name_their_row():
    times = pd.DatetimeIndex(["2020-01-01", "2020-01-02", "2020-01-03 12:00"])
    with pytest.raises(DataError, match=r"row 2 is at 2020-01-03 12:00:00"):
        gaps(times, "D")


def test_a_far_too_fine_frequency_is_refused_at_once():
    with pytest.raises(DataError, match="more than 10,000,000 steps"):
        gaps(pd.DatetimeIndex(["1998-01-01", "2004-12-31"]), "s")


@pytest.mark.parametrize(
    ("times", "text"),
    [
        (["2020-01-02", "2020-01-01"], "row 1 at 2020-01-01"),
        (["2020-01-01", "2020-01-02", "2020-01-02"], "row 2 at 2020-01-02"),
        (["2020-01-01", None], "row 1 has none"),
        ([], "at least one row"),
    ],
)
def test_times_that_do_not_increase_name_their_row(times, text):
    with pytest.raises(DataError, match=text):
        gaps(pd.DatetimeIndex(times), "D")


def test_a_table_holds_the_filled_rows():
    made = table(frame(a=[1, NAN, 3, 4]))
    assert made.name == "city"
    assert made.frequency == "D"
    assert made.times.equals(TIMES)
    assert made.values["a"].tolist() == [1, 1, 3, 4]
    assert made.observed["a"].tolist() == [True, False, True, True]


def test_a_treatment_of_missing_values_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="missing must be one of error, ffill, interpolate, mask, got 'bfill'"):
        table(frame(a=[1, NAN, 3, 4]), missing="bfill")
