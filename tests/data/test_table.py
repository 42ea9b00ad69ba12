import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecastlab.data.table import Table, elapsed, fill, gaps, reindex
from forecastlab.errors import ConfigError, DataError

NAN = np.nan
# 1 January has a gap of two days after it, 5 January one of one day
TIMES = pd.DatetimeIndex(["2020-01-01", "2020-01-04", "2020-01-05", "2020-01-07"], name="Date")


def frame(**columns):
    return pd.DataFrame(columns, index=TIMES[: len(next(iter(columns.values())))], dtype="float64")


def test_a_missing_value_takes_the_last_one_before_it():
    values, observed = fill(frame(a=[1, NAN, NAN, 4], b=[5, 6, NAN, NAN]))
    assert values["a"].tolist() == [1, 1, 1, 4]
    assert values["b"].tolist() == [5, 6, 6, 6]
    assert observed["a"].tolist() == [True, False, False, True]
    assert observed["b"].tolist() == [True, True, False, False]


def test_filling_leaves_the_raw_frame_alone():
    raw = frame(a=[1, NAN, 3, NAN])
    before = raw.copy()
    fill(raw)
    pd.testing.assert_frame_equal(raw, before)


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=30), st.integers(0, 30))
def test_filling_never_looks_ahead(cells, cut):
    cells = [0.0, *cells]
    raw = pd.DataFrame({"a": np.array(cells, dtype="float64")})
    whole = fill(raw)[0]["a"].tolist()
    expected, last = [], NAN
    for cell in cells:
        last = last if cell is None else cell
        expected.append(last)
    assert whole == expected
    part = max(1, min(cut, len(cells)))
    assert fill(raw.iloc[:part])[0]["a"].tolist() == whole[:part]


def test_leading_missing_values_name_their_columns_and_count():
    with pytest.raises(DataError) as caught:
        fill(frame(a=[NAN, NAN, 3, 4], b=[1, NAN, 3, 4], c=[NAN, 2, 3, 4]))
    message = str(caught.value)
    assert "a (2), c (1)" in message
    assert "b (" not in message
    assert "row 2, 2020-01-05 00:00:00, is the first with every column" in message


def test_many_columns_with_leading_missing_values_stay_a_short_message():
    raw = pd.DataFrame(np.full((3, 500), NAN), columns=[f"column_{i}" for i in range(500)])
    raw.iloc[2] = 1
    with pytest.raises(DataError, match="and 488 more") as caught:
        fill(raw)
    assert len(str(caught.value).splitlines()) <= 10
    assert len(str(caught.value)) < 1000


def test_a_column_without_any_value_is_named():
    with pytest.raises(DataError, match="no value at all: b\n"):
        fill(frame(a=[1, 2], b=[NAN, NAN]))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (pd.DataFrame(), "at least one row and one column"),
        (frame(a=[]), "at least one row and one column"),
        (pd.DataFrame({"a": ["1", "2"]}), r"real numbers.* a \("),
        (pd.DataFrame({"a": [1j]}), r"real numbers.* a \(complex128\)"),
        (frame(a=[1, np.inf]), r"finite.* a \(1\)"),
        (frame(a=[1, -np.inf]), r"finite.* a \(1\)"),
        (pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]), "double: a"),
    ],
)
def test_frames_that_cannot_be_filled_are_refused(raw, text):
    with pytest.raises(DataError, match=text):
        fill(raw)


def test_integers_and_nullable_numbers_become_floats():
    values, observed = fill(pd.DataFrame({"a": [1, 2], "b": pd.array([1.5, pd.NA], dtype="Float64")}))
    assert set(values.dtypes) == {np.dtype("float64")}
    assert values["b"].tolist() == [1.5, 1.5]
    assert observed["b"].tolist() == [True, False]


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


def test_reindexing_inserts_the_missing_steps_as_missing_values():
    raw = frame(a=[1, 2, NAN, 4])
    whole = reindex(raw, "D")
    assert whole.index.tolist() == pd.date_range("2020-01-01", "2020-01-07").tolist()
    assert whole.index.name == "Date"
    np.testing.assert_array_equal(whole["a"], [1, NAN, NAN, 2, NAN, NAN, 4])
    values, observed = fill(whole)
    assert values["a"].tolist() == [1, 1, 1, 2, 2, 2, 4]
    assert observed["a"].tolist() == [True, False, False, True, False, False, True]


@given(st.sets(st.integers(0, 200), min_size=1, max_size=40))
def test_reindexing_keeps_every_row_and_adds_exactly_the_gaps(days):
    times = pd.Timestamp("2020-01-01") + pd.to_timedelta(sorted(days), unit="D")
    raw = pd.DataFrame({"a": np.arange(float(len(times)))}, index=times)
    whole = reindex(raw, "D")
    assert len(whole) == len(raw) + gaps(times, "D")["missing"].sum()
    pd.testing.assert_frame_equal(whole.dropna(), raw, check_freq=False)


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
        reindex(pd.DataFrame({"a": [1.0, 2.0]}, index=pd.DatetimeIndex(["1998-01-01", "2004-12-31"])), "s")


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
    table = Table.from_raw("city", frame(a=[1, NAN, 3, 4]), "D")
    assert table.name == "city"
    assert table.frequency == "D"
    assert table.times.equals(TIMES)
    assert table.values["a"].tolist() == [1, 1, 3, 4]
    assert table.observed["a"].tolist() == [True, False, True, True]


def test_a_table_of_calendar_steps_has_the_inserted_rows():
    table = Table.from_raw("city", frame(a=[1, NAN, 3, 4]), "D", regular=True)
    assert len(table.times) == 7
    assert table.values["a"].tolist() == [1, 1, 1, 1, 3, 3, 4]
    assert table.observed["a"].sum() == 3


def test_a_raw_frame_without_times_is_refused():
    with pytest.raises(DataError, match="indexed by times"):
        Table.from_raw("city", pd.DataFrame({"a": [1.0]}), "D")


@pytest.mark.parametrize(
    ("values", "observed", "text"),
    [
        (frame(a=[1, 2, 3, NAN]), frame(a=[1, 1, 1, 1]).astype(bool), "finite"),
        (frame(a=[1, 2, 3, np.inf]), frame(a=[1, 1, 1, 1]).astype(bool), "finite"),
        (frame(a=[1, 2, 3]), frame(a=[1, 1, 1]).astype(bool), "`values` must be indexed by `times`"),
        (frame(a=[1, 2, 3, 4]), frame(b=[1, 1, 1, 1]).astype(bool), "`observed` must be indexed"),
        (frame(a=[1, 2, 3, 4]), frame(a=[1, 1, 1, 1]), "must be bool"),
        (frame(a=[1, 2, 3, 4]).astype("float32"), frame(a=[1, 1, 1, 1]).astype(bool), "must be float64"),
    ],
)
def test_a_table_refuses_parts_that_do_not_fit(values, observed, text):
    with pytest.raises(DataError, match=text):
        Table("city", TIMES, values, observed, "D")
