import numpy as np
import pytest

from forecastlab.data.levels import beyond_training
from tests.data.test_panel import module
from tests.series import Series, counting, panel


def test_values_above_all_that_trained_are_beyond_it():
    data = Series(counting(10))
    assert beyond_training(data.rows, data.folds, data.targets) == {"y": 1.0}  # rows 4 and 5 after rows 0 .. 3


def test_each_series_is_compared_with_itself_and_missing_values_do_not_count():
    raw = panel(a=(0, 40), b=(0, 40))
    raw.loc[raw["id"] == "b", "y"] = np.tile([1.0, 2.0], 20)
    raw.iloc[10, raw.columns.get_loc("y")] = np.nan  # of a, in the test range 10 .. 19
    data = module(raw)
    assert beyond_training(data.rows, data.folds, data.targets) == {"y": pytest.approx(9 / 19)}
