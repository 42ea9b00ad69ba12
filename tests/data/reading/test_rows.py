"""The order of rows, rows of the same time, and steps that have no row."""

import numpy as np
import pandas as pd
import pytest

from forecastlab.data.reading.order import merged, order_of
from forecastlab.data.recipe import Recipe
from forecastlab.data.tables import read_tables
from forecastlab.errors import DataError, ReadingNote

NAN = np.nan


def recipe(**settings):
    return Recipe(**{"time": "ds", "targets": ("y",), "features": ("y",), **settings})


def daily(y, **columns):
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=len(y)), "y": y, **columns})


def test_the_newest_row_first_is_turned_round_and_that_is_said():
    with pytest.warns(ReadingNote, match="every row is earlier than the row before: the 4 rows were sorted by time"):
        (table,) = read_tables(daily([1.0, 2, 3, 4]).iloc[::-1], recipe())
    assert table.values["y"].tolist() == [1, 2, 3, 4]


def test_mixed_rows_are_sorted_and_counted():
    frame = daily([1.0, 2, 3, 4, 5]).iloc[[0, 3, 1, 2, 4]]
    with pytest.warns(ReadingNote, match="1 of 5 rows are earlier than the row before"):
        (table,) = read_tables(frame, recipe())
    assert table.values["y"].tolist() == [1, 2, 3, 4, 5]


def test_series_may_take_turns_without_a_word():
    frame = pd.concat([daily([1.0, 2, 3]).assign(id="a"), daily([4.0, 5, 6]).assign(id="b")]).sort_values("ds")
    tables = read_tables(frame, recipe(series="id"))  # a warning would be an error
    assert {table.name: table.values["y"].tolist() for table in tables} == {"a": [1, 2, 3], "b": [4, 5, 6]}


@pytest.mark.parametrize("seed", range(5))
def test_the_order_is_that_of_a_stable_sort_by_series_and_time(seed):
    random = np.random.default_rng(seed)
    codes, stamps = random.integers(0, 3, 40), random.integers(0, 15, 40)
    order = order_of(codes, stamps)
    expected = pd.DataFrame({"code": codes, "stamp": stamps}).sort_values(["code", "stamp"], kind="stable")
    np.testing.assert_array_equal(order.rows, expected.index)
    np.testing.assert_array_equal(order.first, ~expected.duplicated())


@pytest.mark.parametrize("how", ["first", "last", "mean", "sum"])
def test_rows_of_one_time_are_taken_together_as_pandas_does(how):
    frame = daily([1.0, 2, 3, 4, 5, 6])
    frame["ds"] = frame["ds"].iloc[[0, 0, 1, 2, 2, 2]].to_numpy()
    with pytest.warns(ReadingNote, match=rf"3 of 6 rows have the series and time of another row.*duplicates: {how}"):
        (table,) = read_tables(frame, recipe(duplicates=how))
    assert table.values["y"].tolist() == frame.groupby("ds")["y"].agg(how).tolist()


def test_what_is_missing_does_not_count_among_rows_of_one_time():
    values = np.array([[1.0], [NAN], [NAN], [NAN], [2.0], [4.0]])
    first = np.array([True, False, True, False, True, False])
    everything = np.array([True])
    np.testing.assert_array_equal(merged(values, first, "mean", everything), [[1], [NAN], [3]])
    np.testing.assert_array_equal(merged(values, first, "sum", everything), [[1], [NAN], [6]])


def test_the_sum_adds_no_price_and_no_area():
    frame = daily([1.0, 2, 3, 4], price=[7.0, 7, 8, 9], area=[5.0] * 4)
    frame["ds"] = frame["ds"].iloc[[0, 0, 1, 2]].to_numpy()
    with pytest.warns(ReadingNote):
        (table,) = read_tables(frame, recipe(duplicates="sum", known=("price",), static=("area",)))
    assert table.values["y"].tolist() == [3, 3, 4]
    assert table.values["price"].tolist() == [7, 8, 9]
    assert table.static == {"area": 5.0}


def test_what_is_known_in_advance_holds_its_last_value_where_there_is_no_row():
    frame = daily([1.0, 2, 3, 4, 5, 6], open=[1.0, 1, 0, 0, 1, 1]).drop(index=[1, 3])
    with pytest.warns(ReadingNote, match="open is known in advance, but 2 steps of the calendar have no row"):
        (table,) = read_tables(frame, recipe(known=("open",), missing="ffill", frequency="D"))
    assert table.values["open"].tolist() == [1, 1, 0, 0, 1, 1]
    assert table.observed["y"].tolist() == [True, False, True, False, True, True]


def test_a_cell_that_is_empty_in_a_row_that_is_there_is_still_refused():
    frame = daily([1.0, 2, 3, 4], open=[1.0, NAN, 0, 1])
    with pytest.raises(DataError, match="open is promised as known in advance, but has no value at 2024-01-02"):
        read_tables(frame, recipe(known=("open",), missing="ffill"))


def test_texts_and_numbers_can_mark_missing_values():
    frame = daily(["1.5", "?", "-999.990", "4", "5"])
    (table,) = read_tables(frame, recipe(na_values=("?", -999.99), missing="ffill"))
    assert table.values["y"].tolist() == [1.5, 1.5, 1.5, 4, 5]
    assert table.observed["y"].tolist() == [True, False, False, True, True]


def test_a_marker_that_nobody_named_is_shown_with_its_count_and_stays():
    values = [*np.linspace(313, 430, 40), -999.99, -999.99]
    with pytest.warns(
        ReadingNote, match=r"column y is -999.99 in 2 rows, far from .* 313 .. 430.*na_values \[-999.99\]"
    ):
        (table,) = read_tables(daily(values), recipe())
    assert (table.values["y"] == -999.99).sum() == 2


@pytest.mark.parametrize(
    "values",
    [
        [*range(40), 41, 41],  # not far away
        [*range(40), 1000],  # one row is an outlier, and no marker
        [0.0, 1.0] * 20,  # nothing else to be far from
    ],
)
def test_other_values_are_not_called_markers(values):
    read_tables(daily([float(value) for value in values]), recipe())  # a warning would be an error


def test_names_that_are_equal_numbers_and_other_words_stay_apart():
    ids = pd.Series([1, "1", 1.0, True, 1], dtype=object)
    tables = read_tables(daily([1.0, 2, 3, 4, 5]).assign(id=ids), recipe(series="id", missing="ffill", frequency="D"))
    there = {table.name: table.values["y"][table.observed["y"]].tolist() for table in tables}
    assert there == {"1": [1, 2, 5], "1.0": [3], "True": [4]}


@pytest.mark.parametrize("kind", ["int64", "Int16", "str", "category", "float64", object])
def test_names_of_every_kind_of_column_are_their_texts_in_the_order_of_their_first_rows(kind):
    ids = pd.Series([30, 7, 30, 7, 12]).astype(kind)
    if kind == "category":
        ids = pd.Series(["30", "7", "30", "7", "12"], dtype="category")
    tables = read_tables(daily([1.0, 2, 3, 4, 5]).assign(id=ids), recipe(series="id", missing="ffill", frequency="D"))
    ending = ".0" if kind == "float64" else ""
    assert [table.name for table in tables] == [f"{name}{ending}" for name in (30, 7, 12)]


def test_series_of_the_same_times_and_of_others_are_laid_out_as_each_alone():
    whole = daily([float(row) for row in range(8)])
    parts = {
        "a": whole,
        "b": whole.assign(y=-whole["y"]),  # the times of the one before
        "c": whole.drop(index=[3]),
        "d": whole.drop(index=[3]).assign(y=7.0),
        "h": whole.drop(index=[5]),  # as many rows, at other times
        "e": whole.iloc[2:],
        "f": whole.assign(y=[1.0, 2, 3, 4, 5, 6, NAN, NAN]),  # ends before its times do
        "g": whole,
    }
    frame = pd.concat([part.assign(id=name) for name, part in parts.items()], ignore_index=True)
    tables = read_tables(frame, recipe(series="id", missing="ffill"))
    for table, (name, part) in zip(tables, parts.items(), strict=True):
        (alone,) = read_tables(part, recipe(name=name, missing="ffill"))
        assert table.name == name
        for of in ("values", "observed", "ahead"):
            pd.testing.assert_frame_equal(getattr(table, of), getattr(alone, of), check_freq=False)
        pd.testing.assert_index_equal(table.times, alone.times)
