import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecastlab.data.table import elapsed
from forecastlab.data.times import find_frequency, parse_times, require_steady, row_name, time_of
from forecastlab.errors import ConfigError, DataError


def read(*texts):
    return parse_times(pd.Series(texts), "column ds")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2024-02-01", "2024-03-31"], ["2024-02-01", "2024-03-31"]),
        (["2024-02-01 13:00", "2024-03-31 14:30"], ["2024-02-01 13:00", "2024-03-31 14:30"]),
        (["2024-02-01T13:00:05", "2024-03-31T14:30:00"], ["2024-02-01 13:00:05", "2024-03-31 14:30"]),
        (["1949-01", "1949-02"], ["1949-01-01", "1949-02-01"]),
        (["2023", "2024"], ["2023-01-01", "2024-01-01"]),
        (["20240131", "20240201"], ["2024-01-31", "2024-02-01"]),
        (["Jan 2020", "Feb 2020"], ["2020-01-01", "2020-02-01"]),
        (["31.01.2024", "01.02.2024"], ["2024-01-31", "2024-02-01"]),
        (["01.02.2024", "02.02.2024"], ["2024-02-01", "2024-02-02"]),  # nobody writes a month and a dot first
        (["1.2.2024 13:00", "2.2.2024 13:00"], ["2024-02-01 13:00", "2024-02-02 13:00"]),
        (["01/31/2024", "02/01/2024"], ["2024-01-31", "2024-02-01"]),
        (["02/01/2024", "31/01/2024"], ["2024-01-02", "2024-01-31"]),
        (["01/01/2024", "02/02/2024"], ["2024-01-01", "2024-02-02"]),  # the same by both readings
        (["1700-01-01", "2900-01-01"], ["1700-01-01", "2900-01-01"]),
    ],
)
def test_times_are_read_in_the_forms_that_people_write(texts, expected):
    assert read(*texts).tolist() == [pd.Timestamp(time) for time in expected]


def test_a_zone_is_kept():
    assert read("2024-01-31T00:00Z", "2024-01-31T01:00Z").tolist() == [
        pd.Timestamp("2024-01-31", tz="UTC"),
        pd.Timestamp("2024-01-31 01:00", tz="UTC"),
    ]
    assert read("2024-01-31T00:00+0100", "2024-01-31T01:00+0100")[0] == pd.Timestamp("2024-01-30 23:00", tz="UTC")


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["2024-01-31", "soon"], r"row 2 \(line 3 of a file with one header line\): cannot read 'soon' in column ds"),
        (["abc", "def"], r"row 1 .*cannot read 'abc'"),
        (["2024-01-31", "2024-02-30"], r"row 2 .*cannot read '2024-02-30'"),
        (["2024-01-31", "99999-01-01"], r"row 2 .*cannot read '99999-01-01'"),
        (["2024-01-31", "1 Feb 2024"], "several forms, such as '2024-01-31'; expected one form throughout"),
        (
            ["01/02/2024", "02/02/2024"],
            "may mean 02 January 2024 or 01 February 2024 by '01/02/2024': write 2024-01-31",
        ),
        (["3-4-2024", "4-4-2024"], "may mean 04 March 2024 or 03 April 2024"),
        (["2021-03-28T01:00+01:00", "2021-03-28T03:00+02:00"], "several zones or offsets.*write all in UTC"),
        (["2021-03-28T01:00", "2021-03-28T02:00Z"], "several zones or offsets"),
    ],
)
def test_times_that_are_none_or_mean_two_things_are_refused(texts, words):
    with pytest.raises(DataError, match=words) as caught:
        read(*texts)
    assert len(str(caught.value).splitlines()) <= 10


def test_rows_are_called_by_their_line_or_label():
    assert row_name(pd.RangeIndex(9), 4) == "row 5 (line 6 of a file with one header line)"
    assert row_name(pd.Index([7, 9]), 1) == "row 10 (line 11 of a file with one header line)"
    assert row_name(pd.DatetimeIndex(["2024-01-01", "2024-01-02"]), 1) == "row 2 (2024-01-02 00:00:00)"


@pytest.mark.parametrize("value", ["tomorrow-ish", "2024-13-01", "", "NaT"])
def test_a_setting_that_is_no_time_is_refused(value):
    with pytest.raises(ConfigError, match="start: expected a time such as 2017-01-01, got"):
        time_of("start", value)


# ---- the frequency ----

# pandas' own names of calendars; 24 h and 7 D are those of days and weeks.
CALENDARS = ["D", "h", "2h", "15min", "s", "5D", "MS", "ME", "QS-JAN", "QE-DEC", "QS-FEB", "QE-NOV", "QE-OCT", "QS-MAR"]
CALENDARS += ["YS-JAN", "YS-JUL", "YE-DEC", "YE-JUN", "2MS", "B", "W-SUN", "W-WED", "2W-TUE", "36h"]


@pytest.mark.parametrize("frequency", CALENDARS)
@pytest.mark.parametrize("start", ["2019-11-29", "2020-02-29 07:30"])
def test_the_frequency_of_every_calendar_is_found_also_with_gaps(frequency, start):
    calendar = pd.date_range(start, periods=40, freq=frequency)
    assert find_frequency(calendar) == frequency
    assert find_frequency(calendar[[0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 20, 39]]) == frequency


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("frequency", ["D", "h", "15min", "MS", "W-SUN", "B"])
def test_the_frequency_of_times_with_a_zone_is_that_of_the_clock_on_the_wall(zone, frequency):
    calendar = pd.date_range("2021-03-10", periods=400, freq=frequency, tz=zone)
    assert find_frequency(calendar) == frequency


def test_days_of_a_week_and_of_weeks_without_weekends_are_told_apart():
    monday = "2024-01-01"
    assert find_frequency(pd.date_range(monday, periods=5, freq="D")) == "D"
    assert find_frequency(pd.date_range(monday, periods=6, freq="B")) == "B"
    assert find_frequency(pd.date_range(monday, periods=8, freq="D")) == "D"


@pytest.mark.parametrize("rows", [1, 2])
def test_one_or_two_rows_do_not_tell_a_frequency(rows):
    with pytest.raises(DataError, match=f"{rows} rows do not tell the frequency: give it, --data.frequency"):
        find_frequency(pd.date_range("2024", periods=rows))


def test_months_that_are_counted_from_their_middle_have_none():
    with pytest.raises(DataError, match="neither on its first nor on its last day"):
        find_frequency(pd.date_range("2024-01-15", periods=20, freq=pd.DateOffset(months=1)))


def steady(times, frequency, inferred):
    """Judges times by the steps that they are apart."""
    require_steady(times, elapsed(times, frequency), frequency, inferred)


@given(
    frequency=st.sampled_from(CALENDARS),
    start=st.datetimes(pd.Timestamp("1950").to_pydatetime(), pd.Timestamp("2050").to_pydatetime()),
    missing=st.sets(st.integers(3, 38), max_size=4),
)
def test_times_of_a_calendar_lie_on_the_one_that_is_found(frequency, start, missing):
    start = pd.Timestamp(start).floor("s")
    times = pd.date_range(start, periods=40, freq=frequency).delete(sorted(missing))
    steady(times, find_frequency(times), inferred=True)


def test_a_frequency_that_changes_is_refused():
    hours = pd.date_range("2024-01-01", periods=100, freq="h")
    days = pd.date_range("2024-02-01", periods=10, freq="D")
    for times, after in ((hours.append(days), "2024-02-01"), (days.append(hours + pd.Timedelta(days=90)), days[0])):
        with pytest.raises(
            DataError, match=f"the frequency changes: .*'h', but the 9 after {after}.* by 24 such steps"
        ):
            steady(times, "h", inferred=True)
        steady(times, "h", inferred=False)  # whoever gives it knows about the gaps
    middle = hours[:50].append(days).append(hours + pd.Timedelta(days=90))
    steady(middle, "h", inferred=True)
    several = hours[:50].append(pd.date_range("2024-02-01", periods=11, freq="D")).append(hours + pd.Timedelta(days=90))
    with pytest.raises(DataError, match="the frequency changes"):
        steady(several, "h", inferred=True)


def test_gaps_here_and_there_are_no_change_of_frequency():
    kept = np.random.default_rng(0).random(1000) < 0.7
    kept[[0, 1, -2, -1]] = True
    steady(pd.date_range("2024", periods=1000, freq="h")[kept], "h", inferred=True)


def test_a_frequency_that_is_too_fine_is_refused_with_the_factor():
    with pytest.raises(DataError, match="'h' is too fine: all rows are 24 of its steps apart, or a multiple"):
        steady(pd.date_range("2024", periods=10, freq="D"), "h", inferred=False)
    with pytest.raises(DataError, match="'MS' is too fine: all rows are 3 of its steps apart"):
        steady(pd.date_range("2024", periods=10, freq="QS-JAN"), "MS", inferred=False)


def test_a_frequency_that_is_too_coarse_names_a_row_that_is_not_on_its_calendar():
    with pytest.raises(DataError, match="row 1 is at 2024-01-01 01:00:00, and 9 of 10 rows are not on it"):
        steady(pd.date_range("2024", periods=10, freq="h"), "D", inferred=False)
