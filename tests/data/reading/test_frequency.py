import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecastlab.data.reading.frequency import canonical, find_frequency, require_steady, share_of_steps
from forecastlab.data.table import elapsed
from forecastlab.errors import DataError

# pandas' own names of calendars; 24 h and 7 D are those of days and weeks.
CALENDARS = ["D", "h", "2h", "15min", "s", "5D", "MS", "ME", "QS-JAN", "QE-DEC", "QS-FEB", "QE-NOV", "QE-OCT", "QS-MAR"]
CALENDARS += [
    "BME",
    "BMS",
    "BQE-DEC",
    "BQS-JAN",
    "BYE-DEC",
    "BYS-JAN",
    "SMS-15",
    "SME-15",
    "2ME",
    "YS-JAN",
    "YS-JUL",
    "YE-DEC",
    "YE-JUN",
    "2MS",
    "B",
    "W-SUN",
    "W-WED",
    "2W-TUE",
    "36h",
]


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
    with pytest.raises(
        DataError, match=r"days of the month \(15\) that make no calendar: .*Write the month's first day"
    ):
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


@pytest.mark.parametrize("frequency", CALENDARS)
def test_rows_of_equal_times_do_not_hide_the_frequency(frequency):
    calendar = pd.date_range("2020-02-29 07:30", periods=30, freq=frequency)
    assert find_frequency(calendar.repeat(3)) == frequency


@pytest.mark.parametrize(
    ("old", "today"),
    [
        *(("H", "h"), ("2H", "2h"), ("T", "min"), ("30T", "30min"), ("S", "s"), ("L", "ms"), ("1H30T", "1h30min")),
        *(("M", "ME"), ("3M", "3ME"), ("Q", "QE"), ("Q-MAR", "QE-MAR"), ("A", "YE"), ("A-JUN", "YE-JUN"), ("Y", "YE")),
        *(("BM", "BME"), ("AS", "YS"), ("AS-APR", "YS-APR"), ("BQ", "BQE"), ("SM", "SME"), ("d", "D")),
    ],
)
def test_old_names_of_frequencies_are_read_as_those_of_today_and_that_is_said(old, today):
    assert canonical(old) == (today, [f"the frequency {old} is called {today} today, and is read as that"])


@pytest.mark.parametrize("frequency", [*CALENDARS, "W", "MS", "ME", "QS", "30min", "BMS"])
def test_todays_names_of_frequencies_stay_without_a_word(frequency):
    assert canonical(frequency) == (frequency, [])


@pytest.mark.parametrize("frequency", ["rubbish", "", "1", "M M", "-"])
def test_what_is_no_frequency_is_left_to_the_calendar(frequency):
    assert canonical(frequency) == (frequency, [])


def test_the_share_of_steps_with_a_row_is_that_of_the_calendar():
    days = pd.date_range("2024-01-01", periods=11)
    assert share_of_steps(days) == share_of_steps(days[::-1]) == share_of_steps(days.repeat(2)) == 1
    assert share_of_steps(days.delete([3, 4])) == 0.8
    months = pd.date_range("2024-01-31", periods=11, freq="ME")
    assert share_of_steps(months) == share_of_steps(months + pd.Timedelta(hours=5)) == 1
    assert share_of_steps(months.delete([3, 4])) == 0.8
    assert share_of_steps(pd.to_datetime(["2024-01-01", "2024-01-03", "2024-01-05", "2024-01-06"])) == pytest.approx(
        2 / 3
    )
    assert share_of_steps(days[:2]) == 0
