import numpy as np
import pandas as pd
import pytest

from forecastlab.explanation.attention import Attention

TIMES = pd.date_range("2020-01-01", periods=4, freq="D")
SEQUENCE = Attention(
    np.array([[[0.25, 0.75, 0.0, 0.0]], [[0.5, 0.0, 0.5, 0.0]], [[0.1, 0.2, 0.3, 0.4]]]),
    ["head 1"],
    np.array([1, 2, 3]),
    TIMES,
)
"""Three origins of one sequence, at the steps 1, 2 and 3."""


def test_the_mean_by_lag_is_over_the_origins_that_have_such_a_step():
    found = SEQUENCE.by_lag()
    assert list(found.index) == [0, 1, 2, 3]
    np.testing.assert_allclose(found["head 1"], [(0.75 + 0.5 + 0.4) / 3, (0.25 + 0 + 0.3) / 3, (0.5 + 0.2) / 2, 0.1])


def test_the_last_origin_stands_alone():
    np.testing.assert_allclose(SEQUENCE.last()["head 1"], [0.4, 0.3, 0.2, 0.1])


def test_windows_have_the_origin_in_the_last_column():
    windows = Attention(np.array([[[0.2, 0.8], [1.0, 0.0]], [[0.4, 0.6], [0.5, 0.5]]]), ["a", "b"], np.array([1, 1]))
    np.testing.assert_allclose(windows.by_lag()["a"], [0.7, 0.3])
    np.testing.assert_allclose(windows.by_lag()["b"], [0.25, 0.75])


def test_a_queue_begins_one_step_back():
    queue = Attention(np.array([[[0.0, 0.4, 0.6]]]), ["head 1"], np.array([3]))
    found = queue.by_lag()["head 1"]
    assert dict(found) == {1: 0.6, 2: 0.4, 3: 0.0}


def test_reach_of_even_weights_and_of_one_step():
    even = Attention(np.full((2, 1, 8), 0.125), ["head 1"], np.array([7, 7])).reach().loc["head 1"]
    assert even.to_dict() == pytest.approx({"mean lag": 3.5, "half within": 4, "even": 8, "steps": 8})
    one = np.zeros((1, 1, 8))
    one[..., 5] = 1
    single = Attention(one, ["head 1"], np.array([7])).reach().loc["head 1"]
    assert single.to_dict() == pytest.approx({"mean lag": 2, "half within": 3, "even": 1, "steps": 8})


def test_reach_counts_only_what_an_origin_can_see():
    found = SEQUENCE.reach().loc["head 1"]
    assert found["steps"] == 3
    assert found["mean lag"] == pytest.approx((0.25 + 1.0 + (0.3 + 0.4 + 0.3)) / 3)
    assert found["half within"] == pytest.approx((1 + 1 + 2) / 3)


def test_the_table_names_times_of_a_sequence_and_lags_of_windows():
    table = SEQUENCE.table(TIMES[1:])
    assert list(table) == ["cutoff", "head", "2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"]
    assert list(table["cutoff"]) == list(TIMES[1:])
    assert table.loc[1, "2020-01-03"] == 0.5
    windows = Attention(np.full((2, 2, 3), 1 / 3), ["head 1", "head 2"], np.array([2, 2]))
    table = windows.table(TIMES[:2])
    assert list(table) == ["cutoff", "head", "2", "1", "0"]
    assert list(table["head"]) == ["head 1", "head 2", "head 1", "head 2"]
