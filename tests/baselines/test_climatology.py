import numpy as np
import pandas as pd
import pytest

from forecastlab.baselines import Climatology
from forecastlab.errors import ConfigError, DataError
from tests.series import Series


def series(times, values, train, frequency="D", **arguments):
    """A series whose first `train` rows train."""
    raw = pd.DataFrame({"y": np.asarray(values, dtype=float)}, index=times)
    settings = {"features": ["y"], "splits": 2, "fold": 2, "test_size": len(raw) - train, "lookback": 1}
    return Series(raw, frequency, **{**settings, **arguments})


def forecast(baseline, data, origins):
    baseline.fit(data)
    return baseline.forecast(data, origins)[..., 0]


def test_a_day_is_the_mean_of_its_years():
    times = pd.date_range("2001-01-01", "2003-12-31")  # three years of 365 days
    values = np.where(times.year == 2001, 10.0, 20.0) + times.day_of_year
    data = series(times, values, 730)
    np.testing.assert_allclose(forecast(Climatology(0), data, range(729, 1094))[:, 0], 15 + np.arange(1, 366))


def test_neighbouring_days_count_also_around_the_turn_of_the_year():
    times = pd.date_range("2004-01-01", periods=366 + 10)  # a leap year
    values = np.zeros(376)
    values[[0, 1, 2, 363, 364, 365]] = [1, 2, 3, 4, 5, 6]
    data = series(times, values, 366, horizon=1)
    found = forecast(Climatology(2), data, range(365, 375))[:, 0]
    # 1 January: 30 December .. 3 January = 5, 6, 1, 2, 3; 2 January: 6, 1, 2, 3, 0; 3 January: 1, 2, 3, 0, 0; ...
    np.testing.assert_allclose(found[:6], [17 / 5, 12 / 5, 6 / 5, 5 / 5, 3 / 5, 0], atol=1e-12)


def test_days_that_training_never_saw_are_as_the_nearest_that_it_saw():
    times = pd.date_range("2004-01-01", "2004-12-31")
    values = np.zeros(366)
    values[0], values[99] = 7, 9
    data = series(times, values, 100, fold=1, test_size=133)
    found = forecast(Climatology(0), data, range(99, 365))[:, 0]  # for the days 101 .. 366 of the year
    expected = np.where(np.arange(101, 367) < 233.5, 9, 7)  # day 233 is 133 days from day 100 and 134 from day 1
    np.testing.assert_allclose(found, expected)


def test_every_hour_has_its_own_mean():
    times = pd.date_range("2010-06-01", periods=24 * 12, freq="h")
    values = times.hour + 100.0 * (times.day % 2)
    data = series(times, values, 24 * 10, "h", horizon=24)
    found = forecast(Climatology(20), data, range(24 * 10 - 1, 24 * 10))[0]
    np.testing.assert_allclose(found, 50 + np.arange(24))  # five even days and five odd ones


def test_months_are_forecast_too():
    times = pd.date_range("2000-01-01", periods=48, freq="MS")
    data = series(times, times.month + 10.0 * (times.year - 2000), 36, "MS")
    np.testing.assert_allclose(forecast(Climatology(3), data, range(35, 47))[:, 0], 10 + np.arange(1, 13))


def test_missing_values_do_not_count():
    times = pd.date_range("2001-01-01", "2003-12-31")
    values = np.where(times.year == 2001, 10.0, 20.0)
    values[730 - 1] = np.nan  # 31 December 2002; it is filled with 20
    values[5] = np.nan  # 6 January 2001; it is filled with 10
    values[365 + 5] = 50  # 6 January 2002
    data = series(times, values, 730)
    found = forecast(Climatology(0), data, range(729, 1094))[:, 0]
    assert found[364] == 10
    assert found[5] == 50
    assert set(np.delete(found, [5, 364])) == {15}


def test_test_rows_before_the_origin_do_not_count():
    times = pd.date_range("2001-01-01", "2003-12-31")
    values = np.where(times.year < 2003, 10.0, 90.0)
    assert set(forecast(Climatology(3), series(times, values, 730), range(729, 1094)).ravel()) == {10}


def test_an_hour_that_training_never_saw_is_an_error_that_names_it():
    times = pd.date_range("2010-06-01", periods=20, freq="h")
    data = series(times, np.ones(20), 15, "h")
    with pytest.raises(DataError, match=r"no observed value at 15:00:00 .* the forecast for 2010-06-01 15:00:00 needs"):
        forecast(Climatology(), data, range(14, 19))


def test_a_negative_window_is_refused():
    with pytest.raises(ConfigError, match="0 or more, got -1"):
        Climatology(-1)
