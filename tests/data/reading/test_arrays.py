"""Arrays of NumPy in the place of a file."""

import numpy as np
import pandas as pd
import pytest

from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.errors import ConfigError, DataError

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")
VALUES = np.arange(60.0) % 7


def module(array, **settings):
    return TableDataModule(array, lookback=4, test_size=5, splits=2, **settings)


def test_the_first_value_lies_at_the_start_and_the_others_follow_by_the_frequency():
    table = module(VALUES, start="2024-01-31", frequency="ME").table
    expected = pd.date_range("2024-01-31", periods=60, freq="ME")
    assert table.times.tolist() == expected.tolist()
    assert table.values["y"].tolist() == VALUES.tolist()


def test_no_date_is_invented_without_a_start():
    data = module(VALUES)
    assert data.panel.labels.tolist() == list(range(61))
    assert data.recipe.time_format == "number"
    assert any("rows are counted" in note for note in data.notes)


def test_the_columns_of_two_dimensions_are_numbered():
    array = np.stack([VALUES, VALUES[::-1]], 1)
    data = module(array, targets=[1], features=[0, 1], start="2024-01-01 05:00", frequency="h")
    assert data.table.values["1"].tolist() == VALUES[::-1].tolist()
    assert data.schema["features"] == ["0", "1"]
    assert data.table.times[-1] == pd.Timestamp("2024-01-03 16:00")


def test_a_structured_array_has_its_own_names():
    array = np.zeros(30, [("load", "f4"), ("price", "i8")])
    array["load"], array["price"] = np.arange(30) % 4, np.arange(30) % 5
    assert module(array, targets=["price"]).table.values["price"].tolist() == array["price"].tolist()


def test_masked_and_missing_values_are_missing():
    array = np.ma.array(VALUES.astype(int), mask=np.arange(60) == 3)
    table = module(array, missing="ffill").table
    assert table.observed["y"].tolist() == [row != 3 for row in range(60)]
    assert table.values["y"].iloc[3] == table.values["y"].iloc[2]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"start": "2024-01-01"}, "has no frequency: give it, --data.frequency"),
        ({"frequency": "h"}, "beside the frequency h give its start"),
        (
            {"start": "2024-01-01", "frequency": "ME"},
            "of frequency 'ME'; the next on it is 2024-01-31",
        ),
        ({"start": "2024-01-01", "frequency": "soon"}, "cannot count times from its start"),
    ],
)
def test_times_that_nobody_can_know_are_refused(settings, said):
    with pytest.raises((DataError, ConfigError), match=said):
        _ = module(VALUES, **settings).tables


@pytest.mark.parametrize("array", [np.zeros((3, 3, 3)), np.array(["a", "b"]), np.array(3.0)])
def test_what_is_no_series_is_refused(array):
    with pytest.raises(DataError, match="expected numbers"):
        _ = module(array).tables
