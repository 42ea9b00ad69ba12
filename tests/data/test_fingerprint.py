from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from forecastlab.data.fingerprint import CONTEXT, fingerprint, nanoseconds, row_keys
from forecastlab.data.table_datamodule import TableDataModule
from tests.series import Series, counting, noise, panel


def table(raw, **settings):
    return Series(raw, **settings).tables


def changed(raw, row, column="y"):
    raw = raw.copy()
    raw.iloc[row, raw.columns.get_loc(column)] += 1e-9
    return raw


def test_the_same_data_have_the_same_fingerprint_in_every_process_and_version():
    assert fingerprint(table(counting(5))) == fingerprint(table(counting(5)))
    assert fingerprint(table(counting(5))) == "e0e0d16e4c0eaedfedc61af51561bc48"


@pytest.mark.parametrize(
    "other",
    [
        changed(counting(30), 0),
        changed(counting(30), 29),
        changed(counting(30), 3, "x"),
        counting(31),
        counting(30, start="2020-01-02"),
        counting(30, frequency="h"),
        counting(30).assign(y=[float(np.nan) if row == 5 else 104.0 + row for row in range(-4, 26)]),
    ],
    ids=["first value", "last value", "a feature", "a row more", "later", "hours", "a gap"],
)
def test_any_change_of_the_data_is_another_fingerprint(other):
    assert fingerprint(table(other)) != fingerprint(table(counting(30)))


def test_the_order_in_which_a_sum_is_written_down_does_not_matter(tmp_path):
    numbers = np.random.default_rng(0).normal(size=(50, 3)) * 1000
    frame = pd.DataFrame(numbers, columns=["load", "wind", "solar"]).assign(ds=pd.date_range("2024-01-01", periods=50))
    frame.to_csv(tmp_path / "sums.csv", index=False)
    signs = {"load": 1.0, "wind": -1.0, "solar": -1.0}
    assert not np.array_equal(numbers @ [1, -1, -1], numbers[:, ::-1] @ [-1, -1, 1])  # the last bit differs
    found = {
        TableDataModule(
            str(tmp_path / "sums.csv"), targets=["rest"], derive={"rest": {name: signs[name] for name in order}}
        ).fingerprint
        for order in permutations(signs)
    }
    assert len(found) == 1


def test_a_value_that_was_filled_differs_from_one_that_was_observed():
    raw = counting(30)
    filled = raw.copy()
    filled.iloc[5] = filled.iloc[4]
    missing = raw.copy()
    missing.iloc[5] = np.nan
    (one,), (other,) = table(filled), table(missing)
    assert one.values.equals(other.values)
    assert fingerprint([one]) != fingerprint([other])


def test_times_count_and_not_the_unit_that_they_are_kept_in():
    times = pd.date_range("2020-01-01", periods=3, tz="Europe/Berlin")
    expected = [int(time.timestamp()) * 10**9 for time in times]
    for unit in ("s", "ms", "us", "ns"):
        assert nanoseconds(times.as_unit(unit)).tolist() == expected


def keyed(data):
    """The keys of the rows that have one, by series and row of the axis."""
    keys, has = row_keys(data.rows, data.times)
    found = {}
    for number, name in enumerate(data.panel.names):
        base = int(data.rows.base[number])
        for row in range(int(data.rows.first[number]), int(data.rows.stop[number])):
            if has[base + row]:
                found[name, row] = int(keys[base + row])
    return found


def test_every_row_that_changes_has_a_key_of_its_own_behind_the_first_few():
    found = keyed(Series(noise(60)))
    assert sorted(row for _, row in found) == list(range(CONTEXT - 1, 60))
    assert len(set(found.values())) == len(found)


def test_rows_keep_their_keys_whatever_the_series_and_its_first_row_are_called():
    whole = keyed(Series(noise(60)))
    later = keyed(Series(noise(60).iloc[20:], recipe={"name": "other"}))
    assert {row: key for (_, row), key in whole.items() if row >= 20 + CONTEXT - 1} == {
        row + 20: key for (_, row), key in later.items()
    }


def test_a_copy_in_single_precision_has_the_same_keys():
    assert keyed(Series(noise(60).astype("float32").astype("float64"))) == keyed(Series(noise(60)))


def test_series_of_a_panel_have_the_keys_that_they_have_alone():
    raw = panel(a=(0, 40), b=(10, 30))
    both = keyed(Series(raw, recipe={"series": "id"}))
    alone = keyed(Series(raw[raw["id"] == "b"].drop(columns="id"), recipe={"name": "b"}))
    assert {row: key for (name, row), key in both.items() if name == "b"} == {
        row + 10: key for (_, row), key in alone.items()
    }


def test_rows_without_a_change_or_a_value_have_no_key():
    raw = noise(40)
    raw.iloc[20:25, 1] = 0.0
    raw.iloc[30, 1] = np.nan
    rows = {row for _, row in keyed(Series(raw))}
    assert rows == set(range(CONTEXT - 1, 40)) - {21, 22, 23, 24, 30}


@pytest.mark.parametrize("change", ["value", "time"])
def test_another_value_or_time_is_another_key(change):
    raw = noise(40)
    other = raw.copy()
    if change == "value":
        other.iloc[20, 1] += 1
    else:
        other.index = other.index + pd.Timedelta(days=1)
    ours, theirs = keyed(Series(raw)), keyed(Series(other))
    differing = {row for (name, row), key in ours.items() if theirs[name, row] != key}
    everything = {row for _, row in ours}
    assert differing == ({*range(20, 20 + CONTEXT)} if change == "value" else everything)
