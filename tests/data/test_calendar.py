import holidays
import numpy as np
import pandas as pd
import pytest

from forecastlab.data.calendar import calendar_covariates, days_of, longer_than_a_day
from forecastlab.errors import ConfigError, DataError


def test_each_cycle_is_a_sine_and_a_cosine_in_the_order_that_is_asked_for():
    frame = calendar_covariates(pd.date_range("2020-01-01", periods=3, freq="h"), ["day_of_week", "hour"])
    assert frame.columns.tolist() == ["day_of_week_sin", "day_of_week_cos", "hour_sin", "hour_cos"]
    assert frame.index.tolist() == pd.date_range("2020-01-01", periods=3, freq="h").tolist()


def test_an_hour_is_a_24th_of_a_turn():
    frame = calendar_covariates(pd.date_range("2020-01-01", periods=24, freq="h"), ["hour"])
    np.testing.assert_allclose(frame.iloc[[0, 3, 6, 12, 18]]["hour_sin"], [0, np.sqrt(0.5), 1, 0, -1], atol=1e-15)
    np.testing.assert_allclose(frame.iloc[[0, 3, 6, 12, 18]]["hour_cos"], [1, np.sqrt(0.5), 0, -1, 0], atol=1e-15)


def test_monday_is_the_start_of_the_week_and_weeks_repeat():
    monday = calendar_covariates(pd.DatetimeIndex(["2024-01-01"]), ["day_of_week"]).to_numpy()
    np.testing.assert_allclose(monday, [[0, 1]], atol=1e-15)
    days = calendar_covariates(pd.date_range("2020-01-01", periods=21), ["day_of_week"]).to_numpy()
    np.testing.assert_allclose(days[7:], days[:-7], atol=1e-14)
    assert len(np.unique(days[:7].round(6), axis=0)) == 7


def test_the_first_of_january_is_day_1_of_a_year_of_365_and_a_quarter_days():
    frame = calendar_covariates(pd.DatetimeIndex(["2021-01-01", "2021-07-02", "2020-12-31"]), ["day_of_year"])
    angles = 2 * np.pi * np.array([1, 183, 366]) / 365.25
    np.testing.assert_allclose(frame.to_numpy(), np.stack([np.sin(angles), np.cos(angles)], 1), atol=1e-12)


@pytest.mark.parametrize("cycle", ["hour", "day_of_week", "day_of_year"])
def test_sine_and_cosine_lie_on_the_unit_circle_and_neighbours_are_near(cycle):
    columns = calendar_covariates(pd.date_range("2019-11-01", periods=5000, freq="h"), [cycle]).to_numpy()
    np.testing.assert_allclose((columns**2).sum(1), 1, atol=1e-12)
    largest_step = {"hour": 2 * np.pi / 24, "day_of_week": 2 * np.pi / 7, "day_of_year": 2 * 2 * np.pi / 365.25}[cycle]
    assert np.linalg.norm(np.diff(columns, axis=0), axis=1).max() <= largest_step


def test_times_are_read_in_their_own_zone():
    times = pd.DatetimeIndex(["2021-06-01 06:00"], tz="Europe/Berlin")
    np.testing.assert_allclose(calendar_covariates(times, ["hour"]).to_numpy(), [[1, 0]], atol=1e-15)


def test_without_cycles_there_are_rows_but_no_columns():
    assert calendar_covariates(pd.date_range("2020-01-01", periods=4), []).shape == (4, 0)


@pytest.mark.parametrize(
    ("day", "states"),
    [
        ("2017-10-03", 16),  # German Unity Day
        ("2017-12-25", 16),
        ("2017-12-24", 0),  # Christmas Eve is none
        ("2017-04-14", 16),  # Good Friday
        ("2017-06-15", 6),  # Corpus Christi: BW, BY, HE, NW, RP, SL
        ("2017-01-06", 3),  # Epiphany: BW, BY, ST
        ("2017-11-01", 5),  # All Saints: BW, BY, NW, RP, SL
        ("2016-10-31", 5),  # Reformation Day: BB, MV, SN, ST, TH ...
        ("2017-10-31", 16),  # ... and once everywhere, 500 years after it
        ("2018-10-31", 9),  # ... and HB, HH, NI, SH from then on
        ("2017-11-22", 1),  # Repentance Day: SN
        ("2018-03-08", 0),
        ("2019-03-08", 1),  # Women's Day: BE
        ("2020-05-08", 1),  # 75 years after the war: BE
        ("2017-10-04", 0),
    ],
)
def test_german_holidays_count_by_the_share_of_states_that_have_them(day, states):
    frame = calendar_covariates(pd.DatetimeIndex([day]), ["day_of_week"], "DE")
    assert frame.columns.tolist() == ["day_of_week_sin", "day_of_week_cos", "holiday"]
    assert frame["holiday"].tolist() == [states / 16]


def test_every_hour_of_a_holiday_is_one_in_the_zone_of_the_data():
    times = pd.date_range("2017-10-02 22:00", periods=28, freq="h", tz="Europe/Berlin")
    expected = [0, 0, *[1] * 24, 0, 0]
    assert calendar_covariates(times, [], "DE")["holiday"].tolist() == expected


def test_a_country_without_states_has_holidays_everywhere_or_nowhere():
    times = pd.DatetimeIndex(["2023-12-25", "2023-12-27"])
    assert calendar_covariates(times, [], "DK")["holiday"].tolist() == [1, 0]


@pytest.mark.parametrize("country", ["de", "Atlantis", "XX", ""])
def test_an_unknown_country_is_refused(country):
    with pytest.raises(ConfigError, match=f"there are none for '{country}'; expected a country's code such as DE"):
        calendar_covariates(pd.DatetimeIndex([]), [], country)


SPANS = {
    "W-MON": lambda time: (time, time + pd.Timedelta(days=6)),
    "W-THU": lambda time: (time, time + pd.Timedelta(days=6)),
    "W-FRI": lambda time: (time - pd.Timedelta(days=6), time),
    "W-SUN": lambda time: (time - pd.Timedelta(days=6), time),
    "2W-MON": lambda time: (time, time + pd.Timedelta(days=13)),
    "3D": lambda time: (time, time + pd.Timedelta(days=2)),
    "MS": lambda time: (time, time.replace(day=time.days_in_month)),
    "ME": lambda time: (time.replace(day=1), time),
    "QS-JAN": lambda time: (time, pd.Period(time, "Q").end_time.normalize()),
    "QE-DEC": lambda time: (pd.Period(time, "Q").start_time, time),
    "YS-JAN": lambda time: (time, time.replace(month=12, day=31)),
    "YE-DEC": lambda time: (time.replace(month=1, day=1), time),
}
"""The first and the last day of a step of each frequency."""


@pytest.mark.parametrize("step", SPANS)
def test_a_step_longer_than_a_day_is_the_mean_over_its_days(step):
    times = pd.date_range("2019-03-01", periods=40, freq=step)
    assert longer_than_a_day(step)
    found = calendar_covariates(times, ["day_of_week", "day_of_year"], "DK", step)
    danish = holidays.country_holidays("DK", years=range(2010, 2070))
    expected = []
    for time in times:
        days = pd.date_range(*SPANS[step](time))
        week, year = 2 * np.pi * days.day_of_week / 7, 2 * np.pi * days.day_of_year / 365.25
        columns = [np.sin(week), np.cos(week), np.sin(year), np.cos(year), [day.date() in danish for day in days]]
        expected.append([np.mean(column) for column in columns])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert found["holiday"].max() > 0


def test_every_week_with_a_holiday_has_one():
    weeks = pd.date_range("2020-01-06", periods=160, freq="W-MON")
    found = calendar_covariates(weeks, [], "DE", "W-MON")["holiday"]
    german = holidays.country_holidays("DE", years=range(2020, 2025))
    for week, share in found.items():
        if any((week + pd.Timedelta(days=day)).date() in german for day in range(7)):
            assert share >= 1 / 7 - 1e-12
    christmas = found[pd.Timestamp("2021-12-20")], found[pd.Timestamp("2022-12-26")]
    assert christmas == pytest.approx((2 / 7, 2 / 7))  # the 25th and 26th; the 26th and New Year


@pytest.mark.parametrize("frequency", ["D", "B", "h", "15min", "12h"])
def test_a_step_of_a_day_or_less_is_not_longer_than_a_day(frequency):
    assert not longer_than_a_day(frequency)


def test_the_days_of_a_step_do_not_depend_on_the_hour_of_its_time():
    times = pd.DatetimeIndex(["2024-01-31 18:00"])
    first, last = days_of(times, "ME")
    assert (first[0], last[0]) == (pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-31"))


def test_hours_and_days_are_those_of_a_zone_that_is_named():
    times = pd.DatetimeIndex(["2023-10-02 22:00", "2023-10-03 21:00", "2023-10-03 22:00"], tz="UTC")
    found = calendar_covariates(times, ["hour"], "DE", zone="Europe/Berlin")
    assert found["holiday"].tolist() == [1, 1, 0]
    np.testing.assert_allclose(found["hour_cos"], np.cos(2 * np.pi * np.array([0, 23, 0]) / 24))
    with pytest.raises(DataError, match="have no zone"):
        calendar_covariates(times.tz_localize(None), ["hour"], zone="Europe/Berlin")


def test_days_and_hours_are_read_as_they_always_were():
    # the figures of version 0.1, by its own formulas: networks that were trained then must go on to be right
    for step in ("D", "h"):
        times = pd.date_range("2020-02-27 03:00", periods=800, freq=step)
        found = calendar_covariates(times, ["hour", "day_of_week", "day_of_year"], "DE")
        angles = [
            2 * np.pi * times.hour / 24,
            2 * np.pi * times.day_of_week / 7,
            2 * np.pi * times.day_of_year / 365.25,
        ]
        expected = np.stack([wave(angle) for angle in angles for wave in (np.sin, np.cos)], axis=1)
        np.testing.assert_array_equal(found.to_numpy()[:, :6], expected)


def test_the_hour_of_quarter_hours_takes_ninety_six_values():
    times = pd.date_range("2024-03-01", periods=3 * 96, freq="15min")
    table = calendar_covariates(times, ["hour"])
    assert len(np.unique(table.to_numpy().round(9), axis=0)) == 96
    at = table.loc["2024-03-02 06:45"]
    assert at["hour_sin"] == pytest.approx(np.sin(2 * np.pi * 6.75 / 24))
    assert at["hour_cos"] == pytest.approx(np.cos(2 * np.pi * 6.75 / 24))
