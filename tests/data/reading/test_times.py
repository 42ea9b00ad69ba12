import datetime as dt
import re
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from forecastlab.data.reading.forms import parse
from forecastlab.data.reading.places import row_name
from forecastlab.data.reading.times import are_row_numbers, read_times, time_of
from forecastlab.errors import ConfigError, DataError

HOURS = pd.date_range("2024-03-01", periods=60, freq="h")
MONTHS = pd.date_range("2010-01-01", periods=40, freq="MS")


def read(values, time_format=None):
    """Reads one column, and once more by the form that was found."""
    frame = pd.DataFrame({"ds": values})
    found = read_times(frame, ["ds"], time_format)
    again = read_times(frame.iloc[:1], ["ds"], found.form or None)
    assert again.times[0] == found.times[0]
    return found


def together(**columns):
    frame = pd.DataFrame(columns)
    found = read_times(frame, list(columns))
    again = read_times(frame.iloc[-1:], list(columns), found.form)
    assert (again.times[0], again.form) == (found.times[-1], found.form)
    return found


def refused(values, time_format=None, error=DataError):
    with pytest.raises(error) as caught:
        read(values, time_format)
    assert len(str(caught.value).splitlines()) <= 10
    return str(caught.value)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2024-02-01", "2024-03-31"], ["2024-02-01", "2024-03-31"]),
        (["2024-02-01 13:00", "2024-03-31 14:30"], ["2024-02-01 13:00", "2024-03-31 14:30"]),
        (["2024-02-01T13:00:05", "2024-03-31T14:30:00"], ["2024-02-01 13:00:05", "2024-03-31 14:30"]),
        (
            ["2024-02-01", "2024-02-01T13:00", "2024-02-01T13:00:00.5"],
            ["2024-02-01", "2024-02-01 13:00", "2024-02-01 13:00:00.5"],
        ),
        (["20240201T130005", "20240331T143000"], ["2024-02-01 13:00:05", "2024-03-31 14:30"]),
        (["2024-2-1", "2024-11-30"], ["2024-02-01", "2024-11-30"]),
        (["2024/02/01", "2024/03/31"], ["2024-02-01", "2024-03-31"]),
        (["1949-01", "1949-02"], ["1949-01-01", "1949-02-01"]),
        (["01/1949", "02/1949"], ["1949-01-01", "1949-02-01"]),
        (["2023", "2024"], ["2023-01-01", "2024-01-01"]),
        (["20240131", "20240201"], ["2024-01-31", "2024-02-01"]),
        (["31012024", "01022024"], ["2024-01-31", "2024-02-01"]),
        (["Jan 2020", "Feb 2020"], ["2020-01-01", "2020-02-01"]),
        (["January 2020", "May 2020"], ["2020-01-01", "2020-05-01"]),
        (["May 2020", "June 2020"], ["2020-05-01", "2020-06-01"]),
        (["2020-Jan", "2020-Feb"], ["2020-01-01", "2020-02-01"]),
        (["31-Jan-2020", "1-Feb-2020"], ["2020-01-31", "2020-02-01"]),
        (["31JAN2020", "01FEB2020"], ["2020-01-31", "2020-02-01"]),
        (["January 31, 2020", "February 1, 2020"], ["2020-01-31", "2020-02-01"]),
        (["Fri, 31 Jan 2020", "Sat, 01 Feb 2020"], ["2020-01-31", "2020-02-01"]),
        (["31.01.2024", "01.02.2024"], ["2024-01-31", "2024-02-01"]),
        (["01.02.2024", "02.02.2024"], ["2024-02-01", "2024-02-02"]),  # nobody writes a month and a dot first
        (["1.2.2024 13:00", "2.2.2024 13:00"], ["2024-02-01 13:00", "2024-02-02 13:00"]),
        (["31.01.2024 23.30.00", "01.02.2024 00.30.00"], ["2024-01-31 23:30", "2024-02-01 00:30"]),
        (["31.01.2024 23:00", "31.01.2024 24:00"], ["2024-01-31 23:00", "2024-02-01"]),
        (["2024-01-31 24:00:00", "2024-02-01 01:00:00"], ["2024-02-01", "2024-02-01 01:00"]),
        (["01/31/2024", "02/01/2024"], ["2024-01-31", "2024-02-01"]),
        (["1/31/2024 11:30 PM", "2/1/2024 12:30 AM"], ["2024-01-31 23:30", "2024-02-01 00:30"]),
        (["02/01/2024", "31/01/2024"], ["2024-01-02", "2024-01-31"]),
        (["01/01/2024", "02/02/2024"], ["2024-01-01", "2024-02-02"]),  # the same by both readings
        (["1700-01-01", "2900-01-01"], ["1700-01-01", "2900-01-01"]),
        (["1959Q1", "1959Q4"], ["1959-01-01", "1959-10-01"]),
        (["1959-Q1", "1959-Q2"], ["1959-01-01", "1959-04-01"]),
        (["Q1 1959", "Q3 1959"], ["1959-01-01", "1959-07-01"]),
        (["1959M01", "1959M12"], ["1959-01-01", "1959-12-01"]),
        (["2020-S1", "2020-S2"], ["2020-01-01", "2020-07-01"]),
        (["2020-W05", "2020-W53"], ["2020-01-27", "2020-12-28"]),
        (["2020-W05-7", "2020-W53-7"], ["2020-02-02", "2021-01-03"]),
    ],
)
def test_times_are_read_in_the_forms_that_people_write(texts, expected):
    found = read(texts)
    assert found.times.tolist() == [pd.Timestamp(time) for time in expected]
    assert found.notes == []


@pytest.mark.parametrize(
    ("numbers", "expected", "form"),
    [
        ([1900, 1901, 1999], ["1900-01-01", "1901-01-01", "1999-01-01"], "%Y"),
        ([1959.0, 1960.0], ["1959-01-01", "1960-01-01"], "%Y"),
        ([195901, 195912], ["1959-01-01", "1959-12-01"], "%Y%m"),
        ([20230131, 20230201], ["2023-01-31", "2023-02-01"], "%Y%m%d"),
        ([20230131.0, 20230201.0], ["2023-01-31", "2023-02-01"], "%Y%m%d"),
        ([2023013123, 2023020100], ["2023-01-31 23:00", "2023-02-01"], "%Y%m%d%H"),
    ],
)
def test_numbers_that_are_all_dates_are_read_as_such(numbers, expected, form):
    found = read(numbers)
    assert found.times.tolist() == [pd.Timestamp(time) for time in expected]
    assert (found.form, found.notes) == (form, [])


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
@pytest.mark.parametrize("kind", [int, str, float])
def test_counts_since_1970_that_are_steady_are_times_in_utc_and_that_is_said(unit, factor, kind):
    seconds = [int(dt.datetime(2024, 3, 31, hour, tzinfo=dt.UTC).timestamp()) for hour in range(5)]
    found = read([kind(second * factor) for second in seconds])
    assert found.times.tolist() == [pd.Timestamp(2024, 3, 31, hour, tz="UTC") for hour in range(5)]
    assert found.form == f"epoch-{unit}"
    assert "5 numbers are read as" in found.notes[0]
    assert "since 1970 in UTC" in found.notes[0]


def test_numbers_of_the_size_of_seconds_are_no_times_unless_they_are_steady_or_it_is_said():
    numbers = [1_700_000_000, 1_700_000_001, 1_700_500_077, 1_711_000_000]
    assert "epoch-s" in refused(numbers)
    assert read(numbers, "epoch-s").times[0] == pd.Timestamp("2023-11-14 22:13:20", tz="UTC")


@pytest.mark.parametrize("phase", [0.0, 0.5])
@pytest.mark.parametrize(("parts", "what"), [(12, "months"), (4, "quarters")])
def test_decimal_years_are_the_parts_that_they_lie_in(phase, parts, what):
    years = [round(1959 + (number + phase) / parts, 3) for number in range(3 * parts)]
    found = read(years)
    months = 12 // parts
    assert found.times.tolist() == [
        pd.Timestamp(1959 + number // parts, 1 + months * (number % parts), 1) for number in range(3 * parts)
    ]
    assert f"the first of the {what} that they lie in" in found.notes[0]


def test_decimal_years_a_week_apart_are_days():
    days = [dt.date(1974, 5, 19) + dt.timedelta(days=7 * number) for number in range(150)]
    lengths = [(dt.date(day.year + 1, 1, 1) - dt.date(day.year, 1, 1)).days for day in days]
    years = [
        round(day.year + ((day - dt.date(day.year, 1, 1)).days + 0.5) / length, 4)
        for day, length in zip(days, lengths, strict=True)
    ]
    assert read(years).times.date.tolist() == days


@pytest.mark.parametrize(
    "numbers", [[1959.1, 1959.17, 1959.9], [1.5, 2.5], [-1900, -1899], [np.inf, 1.0], [1e300, 2.0]]
)
def test_numbers_that_are_no_times_are_refused_with_the_forms_that_there_are(numbers):
    assert f"column ds holds numbers such as {numbers[0]}" in refused(numbers)


# ---- two readings ----


@pytest.mark.parametrize(
    ("format_", "wrong"),
    [("%m/%d/%Y", "%d/%m/%Y"), ("%d/%m/%Y", "%m/%d/%Y"), ("%m-%d-%Y", ""), ("%b-%y", ""), ("%y-%b", ""), ("%m/%y", "")],
)
def test_of_two_readings_the_one_that_alone_is_a_steady_calendar_is_taken_and_that_is_said(format_, wrong):
    found = read(MONTHS.strftime(format_))
    assert found.times.tolist() == MONTHS.tolist()
    assert "only so do the rows follow each other steadily" in found.notes[0]
    gappy = MONTHS.delete([3, 7, 20])
    assert read(gappy.strftime(format_)).times.tolist() == gappy.tolist()
    if wrong:
        assert found.form == format_


@pytest.mark.parametrize(
    ("texts", "settings"),
    [
        (["01/02/2024", "02/02/2024"], ["01 February 2024", "02 January 2024", "%d/%m/%Y", "%m/%d/%Y"]),
        (["3-4-2024", "4-4-2024"], ["03 April 2024", "04 March 2024", "%d-%m-%Y", "%m-%d-%Y"]),
        (MONTHS[:12].strftime("%m/%d/%Y"), ["--data.time_format", "%d/%m/%Y", "%m/%d/%Y"]),
        (["Jan-10", "Jan-11", "Jan-12"], ["01 January 2010", "10 January of no year", "%b-%y"]),
        (["01/02/03", "02/02/03"], ["%d/%m/%y", "%m/%d/%y", "%y/%m/%d"]),
        (["1-01", "1-02", "1-03"], ["of no year"]),
    ],
)
def test_if_two_readings_are_steady_neither_is_taken_and_the_settings_are_named(texts, settings):
    said = refused(texts)
    assert all(word in said for word in ("may mean", *settings))


def test_the_time_format_decides_between_two_readings():
    texts = ["01/02/2024", "02/02/2024"]
    assert read(texts, "%d/%m/%Y").times.tolist() == [pd.Timestamp("2024-02-01"), pd.Timestamp("2024-02-02")]
    assert read(texts, "%m/%d/%Y").times.tolist() == [pd.Timestamp("2024-01-02"), pd.Timestamp("2024-02-02")]


def test_years_of_two_digits_are_those_of_the_last_hundred_years():
    months = pd.date_range("1949-01-01", periods=144, freq="MS")
    found = read(months.strftime("%b-%y"))
    assert found.times.tolist() == months.tolist()
    assert found.notes == ["column ds: years of two digits are read as 1949 to 1960"]
    assert read(["Jan-48"], found.form).times[0] == pd.Timestamp("1948-01-01")
    assert read(["Feb-24"], found.form).times[0] == pd.Timestamp("2024-02-01")


@pytest.mark.parametrize("texts", [["00:15", "00:30"], ["9:30 AM", "10:00 AM"], ["13:00:00", "14:00:00"]])
def test_no_date_is_invented_for_times_of_day(texts):
    assert "times of day without a date" in refused(texts)


@pytest.mark.parametrize("texts", [["31 Jan", "1 Feb"], ["31/1", "1/2"], ["1-01", "3-31"]])
def test_no_year_is_invented(texts):
    said = refused(texts)
    assert "without a year" in said or "of no year" in said


# ---- zones ----


def test_a_zone_is_kept():
    assert read(["2024-01-31T00:00Z", "2024-01-31T01:00Z"]).times.tolist() == [
        pd.Timestamp("2024-01-31", tz="UTC"),
        pd.Timestamp("2024-01-31 01:00", tz="UTC"),
    ]
    found = read(["2024-01-31T00:00+0100", "2024-01-31T01:00+0100"])
    assert found.times[0] == pd.Timestamp("2024-01-30 23:00", tz="UTC")
    assert found.times[0].utcoffset() == dt.timedelta(hours=1)
    assert read(["2024-01-31 00:00:00 UTC"]).times[0] == pd.Timestamp("2024-01-31", tz="UTC")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
def test_offsets_that_change_in_summer_time_are_one_hour_after_the_other_in_utc(zone):
    instants = [dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=13 * number) for number in range(600)]
    texts = [instant.astimezone(ZoneInfo(zone)).isoformat() for instant in instants]
    found = read(texts)
    assert [time.to_pydatetime() for time in found.times] == instants
    changes = len({text[-6:] for text in texts}) > 1
    assert found.notes == (
        [f"column ds: times of 2 offsets, such as {texts[0]}, are read as UTC, in 600 rows"] if changes else []
    )


@pytest.mark.parametrize("texts", [["2024-03-28T01:00", "2024-03-28T02:00Z"], ["2024-03-28", "2024-03-28T02:00+01:00"]])
def test_times_with_and_without_a_zone_are_refused(texts):
    said = refused(texts)
    assert "without one" in said
    assert texts[0] in said
    assert texts[1] in said


# ---- columns of times ----


def test_columns_that_hold_times_are_taken_as_they_are():
    for values in (HOURS, HOURS.tz_localize("Europe/Berlin"), HOURS.tolist(), HOURS.to_pydatetime()):
        found = read(pd.Series(values))
        assert found == (found.times, "", [])
        assert found.times.tolist() == list(values)
    days = [dt.date(2024, 1, 31), dt.date(2024, 2, 1)]
    assert read(days).times.date.tolist() == days
    assert read(pd.Categorical(["2024-01-31", "2024-02-01"])).times.date.tolist() == days


def test_times_of_a_form_are_no_condition_for_columns_of_times():
    assert read(HOURS, "%d/%m/%Y").times.tolist() == HOURS.tolist()


@pytest.mark.parametrize("as_object", [False, True])
def test_periods_are_their_begin(as_object):
    periods = pd.Series(pd.period_range("2024Q1", periods=3, freq="Q"))
    found = read(periods.astype(object) if as_object else periods)
    assert found.times.tolist() == [pd.Timestamp(2024, month, 1) for month in (1, 4, 7)]
    frame = pd.DataFrame({"y": 1}, index=pd.PeriodIndex(periods))
    assert read_times(frame, None).times.tolist() == found.times.tolist()


def test_the_index_holds_the_times_if_no_column_does():
    frame = pd.DataFrame({"y": [1, 2]}, index=["2024-01-31", "2024-02-01"])
    assert read_times(frame, None).times.tolist() == [pd.Timestamp("2024-01-31"), pd.Timestamp("2024-02-01")]


# ---- several columns ----


def test_parts_of_times_are_known_by_their_names_in_any_order():
    parts = {"year": HOURS.year, "month": HOURS.month, "day": HOURS.day, "hour": HOURS.hour}
    assert together(**parts).times.tolist() == HOURS.tolist()
    assert together(**{name: parts[name] for name in ("year", "day", "month", "hour")}).times.tolist() == HOURS.tolist()
    assert together(**{**parts, "hour": parts["hour"] + 1}).times.tolist() == (HOURS + pd.Timedelta(hours=1)).tolist()
    assert together(Year=[1959, 1959], Quarter=[1.0, 4.0]).times.month.tolist() == [1, 10]
    assert together(year=[1959, 1959], month=["Jan", "December"]).times.month.tolist() == [1, 12]
    assert together(year=[2024, 2023], doy=[60, 60]).times.tolist() == [
        pd.Timestamp("2024-02-29"),
        pd.Timestamp("2023-03-01"),
    ]
    weeks = together(year=[2020, 2020], week=[5, 53]).times
    assert [time.date() for time in weeks] == [dt.date.fromisocalendar(2020, week, 1) for week in (5, 53)]


def test_parts_of_other_names_are_known_by_their_order():
    assert together(a=HOURS.year, b=HOURS.month, c=HOURS.day, d=HOURS.hour).times.tolist() == HOURS.tolist()
    assert together(a=["1959", "1960"], b=["M01", "M12"]).times.month.tolist() == [1, 12]
    assert together(a=[1959, 1960], b=["Q1", "Q4"]).times.month.tolist() == [1, 10]


def test_a_year_and_a_number_up_to_four_may_be_months_or_quarters():
    frame = pd.DataFrame({"a": [1959, 1959], "b": [1, 2]})
    with pytest.raises(DataError, match=r"--data\.time_format 'parts: year month' or 'parts: year quarter'"):
        read_times(frame, ["a", "b"])
    assert read_times(frame, ["a", "b"], "parts: year quarter").times.month.tolist() == [1, 4]
    assert read_times(frame, ["a", "b"], "parts: year month").times.month.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"year": [2023], "month": [2], "day": [29]}, "row 1 .*: there is no such day: year 2023, month 2, day 29"),
        (
            {"year": [2023, 2023], "month": [1, 13]},
            "row 2 .*, column month: expected the month as a whole number from 1",
        ),
        (
            {"year": [2023], "month": [2], "day": [1], "hour": [25]},
            "cannot read .*25.* in column hour as a time of day",
        ),
        ({"year": [2021], "week": [53]}, "row 1 .*: there is no such day"),
        ({"year": [2023.0, None], "month": [1, 2]}, "row 2 .*: no time in column year"),
        ({"date": ["2024-01-01"], "time": ["25:00"]}, "cannot read '25:00' in column time as a time of day"),
        ({"date": ["2024-01-01"], "time": ["24:01"]}, "cannot read '24:01' in column time as a time of day"),
        ({"date": ["2024-01-01"], "time": [1361]}, "cannot read .*1361.* in column time as a time of day"),
        ({"date": ["2024-01-01", "2024-01-02"], "time": ["1:00", None]}, "no time in column time"),
    ],
)
def test_parts_that_make_no_time_are_refused(columns, words):
    with pytest.raises(DataError, match=words):
        read_times(pd.DataFrame(columns), list(columns))


@pytest.mark.parametrize(
    "clock",
    [
        *(HOURS.strftime("%H:%M:%S"), HOURS.strftime("%H.%M.%S"), HOURS.strftime("%I:%M %p"), HOURS.strftime("%H%M")),
        *(HOURS.hour, HOURS.hour.astype(float), 100 * HOURS.hour, HOURS.time, HOURS - HOURS.normalize()),
    ],
    ids=["colons", "dots", "halves", "text of digits", "hours", "floats", "numbers of hhmm", "Python's", "durations"],
)
@pytest.mark.parametrize("date", ["%d/%m/%Y", "%Y-%m-%d", "%Y%m%d", "%d %b %Y"])
def test_a_date_and_a_time_of_day_are_put_together(date, clock):
    found = together(date=HOURS.strftime(date), time=clock)
    assert found.times.tolist() == HOURS.tolist()
    assert found.form == f"{'ISO' if date == '%Y-%m-%d' else date} + {found.form.rpartition(' + ')[2]}"


def test_hour_24_is_the_next_day():
    assert together(date=["2024-02-29"], time=["24:00"]).times[0] == pd.Timestamp("2024-03-01")
    assert together(date=["2024-02-29"], hr=[24]).times[0] == pd.Timestamp("2024-03-01")
    assert together(date=["2024-02-29"] * 2, time=[100, 2400]).times[1] == pd.Timestamp("2024-03-01")


def test_dates_of_two_readings_are_decided_by_their_times_of_day():
    found = together(date=HOURS.strftime("%d/%m/%Y"), time=HOURS.strftime("%H:%M"))
    assert found.times.tolist() == HOURS.tolist()
    assert "column date: 01/03/2024 00:00" not in found.notes[0]
    assert "column date: 01/03/2024 is read as 01 March 2024" in found.notes[0]


def test_hours_and_minutes_may_have_columns_of_their_own():
    assert together(date=["2024-01-31"], h=[23], m=[30]).times[0] == pd.Timestamp("2024-01-31 23:30")


def test_a_time_format_reads_columns_joined_by_a_blank():
    frame = pd.DataFrame({"a": ["01/02/2024"], "b": ["13.30"]})
    found = read_times(frame, ["a", "b"], "%m/%d/%Y %H.%M")
    assert found.times.tolist() == [pd.Timestamp("2024-01-02 13:30")]


# ---- what cannot be read ----


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["2024-01-31", "soon"], "row 2 (line 3 of a file with one header line): cannot read 'soon' in column ds"),
        (["abc", "def"], "row 1 (line 2 of a file with one header line): cannot read 'abc'"),
        (["2024-01-31", "2024-02-30"], "cannot read '2024-02-30' in column ds as a time; row 1 has '2024-01-31'"),
        (["2024-01-31", "99999-01-01"], "cannot read '99999-01-01'"),
        (["2024-01-31", "1 Feb 2024"], "cannot read '1 Feb 2024' in column ds as a time; row 1 has '2024-01-31'"),
        (["0001-01-01", "0001-01-02"], "cannot read '0001-01-01'"),
        (["2024-01-31", None], "row 2 (line 3 of a file with one header line): no time in column ds"),
        (["2024-01-31", dt.datetime(2024, 2, 1)], "row 2 (line 3 of a file with one header line): cannot read"),
        ([True, False], "column ds holds truth values"),
    ],
)
def test_what_is_no_time_is_named_by_its_row(texts, words):
    assert words in refused(texts)


def test_a_row_that_a_given_form_does_not_read_is_named():
    said = refused(["31/01/2024", "2024-02-01"], "%d/%m/%Y")
    assert "row 2 (line 3 of a file with one header line): cannot read '2024-02-01'" in said
    assert "%d/%m/%Y" in said


@pytest.mark.parametrize("form", ["rubbish", "%Q", "epoch", "yyyy"])
def test_a_time_format_that_is_none_is_refused(form):
    assert f"got {form!r}" in refused(["2024-01-31"], form, ConfigError)


@pytest.mark.parametrize(
    "values", [range(50), range(1, 51), [0, 15, 30], [*range(9)] * 3, ["0", "1", "2"], [0.0, 1.0], [0]]
)
def test_numbers_of_rows_are_known(values):
    assert are_row_numbers(pd.Series(values))


@pytest.mark.parametrize(
    "values", [[1900, 1901], [20240131, 20240201], [0, 1, 90], [0.5, 1.5], ["a", "1"], [True, False]]
)
def test_what_is_a_time_or_not_steady_is_no_number_of_a_row(values):
    assert not are_row_numbers(pd.Series(values))


def test_counts_since_1970_are_no_numbers_of_rows():
    assert not are_row_numbers(pd.Series(1_700_000_000 + 3600 * np.arange(5)))


def outcome(texts):
    """The times that are read, or why there are none."""
    try:
        return read_times(pd.DataFrame({"ds": texts}), ["ds"]).times.tolist()
    except DataError as error:
        return str(error)


FORMATS = ["%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d.%m.%Y %H:%M:%S", "%d %b %Y %H:%M:%S"]
FORMATS += ["%Y%m%d%H%M%S", "%Y/%m/%dT%H:%M:%S", "%B %d, %Y %H:%M:%S", "%d-%b-%y %H:%M:%S", "%m-%d-%Y %H:%M:%S"]


@given(
    start=st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2020, 1, 1)),
    frequency=st.sampled_from(["D", "h", "15min", "s", "MS", "ME", "W-SUN", "B", "QS-JAN", "YS-JAN"]),
    format_=st.sampled_from(FORMATS),
    rows=st.integers(3, 80),
    order=st.randoms(use_true_random=False),
)
def test_written_times_are_read_back_or_refused_as_two_readings(start, frequency, format_, rows, order):
    times = pd.date_range(pd.Timestamp(start).floor("s"), periods=rows, freq=frequency).tolist()
    order.shuffle(times)
    assume("%y" not in format_ or max(times).year <= dt.date.today().year)
    found = outcome([time.strftime(format_) for time in times])
    if isinstance(found, str):
        assert "may mean" in found
        assert any(sign in format_ for sign in ("%d/%m", "%m/%d", "%m-%d"))
        assert all(time.day <= 12 for time in times)
    else:
        assert found == times


def test_rows_are_called_by_their_line_or_label():
    assert row_name(pd.Series(range(9)), 4) == "row 5 (line 6 of a file with one header line)"
    assert row_name(pd.Series("ab", [7, 9]), 1) == "row 10 (line 11 of a file with one header line)"
    assert row_name(pd.Series("ab", pd.DatetimeIndex(["2024-01-01", "2024-01-02"])), 1) == "row 2 (2024-01-02 00:00:00)"


@pytest.mark.parametrize("value", ["tomorrow-ish", "2024-13-01", "", "NaT"])
def test_a_setting_that_is_no_time_is_refused(value):
    with pytest.raises(ConfigError, match="start: expected a time such as 2017-01-01, got"):
        time_of("start", value)


@given(
    seconds=st.lists(st.integers(10**7, 2 * 10**9), min_size=1, max_size=40),
    form=st.sampled_from(
        [
            *("%m/%d/%Y %I:%M %p", "%d.%m.%Y %H:%M", "%d/%m/%y %H:%M:%S", "%Y%m%d %H:%M", "%d-%b-%y %I:%M:%S %p"),
            *("%d/%m/%Y %H:%M:%S.%f", "%m/%d/%Y %I %p", "%d/%m/%Y  %I:%M%p", "%Y-%m-%d %H.%M"),
        ]
    ),
    damage=st.sampled_from(
        [str, str.lower, lambda text: text.replace(" ", "   "), lambda text: text.replace(" ", "\t")]
    ),
    other=st.sampled_from(["", "rubbish", "31/31/2020 10:00", "1/2/2003 4:05 PM", "01.02.2003 25:00", "01.02.2003"]),
)
def test_times_that_are_read_in_parts_are_those_that_pandas_reads_whole(seconds, form, damage, other):
    texts = [time.strftime(form) for time in pd.to_datetime(seconds, unit="s")]
    texts = pd.Series([damage(texts[0]), *texts, other], dtype="str")
    whole = pd.to_datetime(texts, format=form, errors="coerce")
    if re.search(r"%[a-zA-Z]%", form):  # whose digits stand side by side: there all texts are as long as the first
        whole = whole.where(texts.str.len() == len(texts[0].strip()))
    assert parse(form, texts).tolist() == whole.tolist()
