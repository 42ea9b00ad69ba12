"""A column per time, turned into a row per series and time."""

import numpy as np
import pandas as pd
import pytest

from forecastlab.data.reading.counted import numbers_of
from forecastlab.data.reading.long import long_of
from forecastlab.data.recipe import Recipe
from forecastlab.errors import DataError

DAYS = pd.date_range("2023-01-01", periods=5)


def wide(labels, **columns):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"country": ["a", "b"], **columns})
    for label in labels:
        frame[label] = random.integers(0, 100, 2).astype(float)
    return frame


def long(frame, **settings):
    return long_of(frame, Recipe(**{"time": "", "targets": ("y",), "features": ("y",), **settings}))


@pytest.mark.parametrize(
    "labels",
    [
        list(DAYS),
        [f"{day:%Y-%m-%d}" for day in DAYS],
        [f"{day:%Y%m%d}" for day in DAYS],
        [f"{day.month}/{day.day}/{day.year}" for day in pd.date_range("2023-01-29", periods=5)],
    ],
    ids=["times", "ISO", "digits", "month first"],
)
@pytest.mark.parametrize("series", [None, "country"])
def test_a_column_per_date_is_turned_as_pandas_melt_does(labels, series):
    frame = wide(labels)
    found = long(frame, series=series)
    days = pd.date_range("2023-01-29", periods=5) if "/" in str(labels[0]) else DAYS
    expected = frame.set_axis(["country", *days], axis=1).melt("country", var_name="ds", value_name="y")
    expected = expected.sort_values(["country", "ds"], kind="stable", ignore_index=True)
    assert found.frame["y"].tolist() == expected["y"].tolist()
    assert found.times.tolist() == expected["ds"].tolist()
    assert found.names == ["a", "b"]
    assert found.recipe.series == "country"
    assert "5 columns" in found.notes[0]
    assert "are times" in found.notes[0]


def test_a_column_per_year_is_turned():
    found = long(wide(["1960", "1961", "1962", "1963"], code=["A", "B"]))
    assert found.times.year.tolist() == [1960, 1961, 1962, 1963] * 2
    assert "columns that are not used: code" in found.notes[0]


def test_numbered_columns_are_counted_and_a_series_ends_with_its_last_value():
    frame = pd.DataFrame({"V1": ["H1", "H2"], "V2": [1.0, 5], "V3": [2.0, 6], "V4": [np.nan, 7], "V5": [np.nan, 8.0]})
    found = long(frame)
    assert found.names == ["H1", "H2"]
    assert found.frame["y"].tolist() == [1, 2, 5, 6, 7, 8]
    assert numbers_of(found.times).tolist() == [2, 3, 2, 3, 4, 5]


def test_a_gap_within_a_series_stays_a_missing_value():
    frame = pd.DataFrame({"V1": ["H1"], "V2": [1.0], "V3": [np.nan], "V4": [3.0], "V5": [np.nan]})
    assert np.isnan(long(frame).frame["y"]).tolist() == [False, True, False]


def test_several_columns_can_name_a_series():
    frame = wide([f"{day:%Y-%m-%d}" for day in DAYS]).assign(province=["x", None])
    found = long(frame, series=("country", "province"))
    assert found.names == ["a/x", "b"]


def test_rows_that_no_column_tells_apart_are_refused_with_the_setting():
    frame = wide([f"{day:%Y-%m-%d}" for day in DAYS]).assign(country="a")
    with pytest.raises(DataError, match=r"no column tells the rows apart; there are country: .*--data.series_column"):
        long(frame)


def test_a_file_with_its_target_is_no_such_form():
    frame = pd.DataFrame({"ds": DAYS, "y": range(5), "x1": 0.0, "x2": 0.0, "x3": 0.0, "x4": 0.0})
    assert long(frame).notes == []


def test_columns_without_names_are_no_times():
    frame = pd.DataFrame(np.arange(80.0).reshape(20, 4), columns=["0", "1", "2", "3"])
    found = long(frame, targets=("3",), features=("3",))
    assert found.frame is frame
    with pytest.raises(DataError, match="unknown column y; the data have 0, 1, 2, 3"):
        long(frame)
