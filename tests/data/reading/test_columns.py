"""Which columns hold the times, rows without times, and covariates that are text."""

import numpy as np
import pandas as pd
import pytest

from forecastlab.data.reading.counted import numbers_of
from forecastlab.data.reading.long import long_of
from forecastlab.data.recipe import Recipe
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.data.tables import read_tables
from forecastlab.errors import ConfigError, DataError, ReadingNote

DAYS = pd.date_range("2024-01-01", periods=60)


def long(frame, **settings):
    return long_of(frame, Recipe(**{"time": "", "targets": ("y",), "features": ("y",), **settings}))


def frame(**columns):
    return pd.DataFrame({**columns, "y": np.arange(60.0)})


@pytest.mark.parametrize("name", ["Unnamed: 0", "Date", "when"])
def test_the_only_column_of_times_is_found_and_named(name):
    found = long(frame(**{name: DAYS.astype(str), "place": "here"}))
    assert found.times.tolist() == DAYS.tolist()
    assert found.notes[0] == f"times are read from column {name}"
    assert found.recipe.time == name


def test_ds_is_taken_before_any_other():
    found = long(frame(ds=DAYS, also=DAYS + pd.Timedelta(days=1)))
    assert found.times.tolist() == DAYS.tolist()


def test_several_columns_of_times_are_refused_by_name():
    with pytest.raises(DataError, match=r"several columns hold times: sold, paid.*--data.time_column sold"):
        long(frame(sold=DAYS, paid=DAYS))


def test_an_index_of_times_is_taken():
    found = long(frame().set_index(DAYS))
    assert found.times.tolist() == DAYS.tolist()
    assert found.recipe.time is None


def test_rows_without_times_are_counted():
    found = long(frame())
    assert numbers_of(found.times).tolist() == list(range(60))
    assert "rows are counted in their order, from 0" in found.notes[0]


def test_rows_without_times_are_counted_within_each_series():
    both = pd.concat([frame(id="a")[:3], frame(id="b")[:2]], ignore_index=True)
    found = long(both, series="id")
    assert numbers_of(found.times).tolist() == [0, 1, 2, 0, 1]


def test_a_column_that_counts_is_taken_for_the_order():
    assert numbers_of(long(frame(ds=range(5, 65))).times).tolist() == list(range(5, 65))


def test_counted_rows_have_no_half_numbers():
    with pytest.raises(DataError, match="expected a whole number in column ds"):
        long(frame(ds=np.arange(60) / 2), time="ds", time_format="number")


def test_counted_rows_are_forecast_by_their_numbers_and_bounded_by_them():
    module = TableDataModule(frame(ds=range(100, 160)), start=110, end="149", lookback=4, frequency="1")
    assert len(module.table.times) == 40
    assert module.panel.labels.tolist() == [*range(110, 150), 150]


def test_a_bound_of_counted_rows_is_a_number():
    with pytest.raises(ConfigError, match="end: the rows are counted; expected a whole number, got '2024-01-01'"):
        TableDataModule(frame(), end="2024-01-01").read()


# ---- text ----


def test_a_covariate_of_text_becomes_a_column_for_each_of_its_values():
    data = frame(ds=DAYS, promo=["none", "big", "none"] * 20, wet=["yes", "no"] * 30)
    recipe = Recipe(time="ds", targets=("y",), features=("y", "wet"), known=("promo",))
    with pytest.warns(ReadingNote) as said:
        (table,) = read_tables(data, recipe)
    assert "column promo holds text: its 2 values (big, none) are inputs of 0 and 1" in str(said[1].message)
    expected = pd.get_dummies(data[["wet", "promo"]], prefix_sep="=", dtype=float)
    pd.testing.assert_frame_equal(table.values[list(expected)].reset_index(drop=True), expected, check_like=True)


def test_a_static_text_is_a_number_for_each_of_its_values():
    both = pd.concat([frame(ds=DAYS).assign(id=name, kind=kind) for name, kind in (("a", "big"), ("b", "small"))])
    recipe = Recipe(time="ds", series="id", targets=("y",), features=("y",), static=("kind",))
    with pytest.warns(ReadingNote):
        tables = read_tables(both, recipe)
    assert [table.static for table in tables] == [{"kind=big": 1, "kind=small": 0}, {"kind=big": 0, "kind=small": 1}]


def test_given_values_of_text_are_the_inputs_and_others_have_none():
    data = frame(ds=DAYS, promo=["none", "big", "odd"] * 20)
    module = TableDataModule(data, known=["promo"], categories={"promo": ["small", "big", "none"]}, lookback=4)
    with pytest.warns(ReadingNote, match=r"column promo has 20 values that the training had not \(odd\)"):
        (table,) = module.tables
    assert module.schema["known"] == ["promo=small", "promo=big", "promo=none"]
    assert module.schema["recipe"]["categories"] == {"promo": ["small", "big", "none"]}
    assert table.values.iloc[:3][["promo=small", "promo=big", "promo=none"]].to_numpy().tolist() == [
        [0, 0, 1],
        [0, 1, 0],
        [0, 0, 0],
    ]


@pytest.mark.parametrize(
    ("categories", "words"),
    [
        ({"price": ["low"]}, "categories: price is no input; expected one of promo"),
        ({"promo": "big"}, "categories.promo: expected different texts"),
        ({"promo": []}, "categories.promo: expected different texts"),
        ({"promo": ["big", "big"]}, "categories.promo: expected different texts"),
        ({"promo": ["big", 1]}, "categories.promo: expected different texts"),
    ],
)
def test_values_of_text_that_cannot_be_inputs_are_refused(categories, words):
    with pytest.raises(ConfigError, match=words):
        TableDataModule(frame(ds=DAYS, promo=["none", "big", "odd"] * 20), known=["promo"], categories=categories)


def test_a_number_with_a_wrong_cell_is_no_text():
    data = frame(ds=DAYS, x=["1.5"] * 59 + ["many"])
    with pytest.raises(DataError, match=r"row 60 .*column x: expected a number, got 'many'.*--data.na_values"):
        read_tables(data, Recipe(time="ds", targets=("y",), features=("x",)))


def test_free_text_is_refused():
    data = frame(ds=DAYS).iloc[:0]
    data = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=150), "y": range(150)})
    data["remark"] = [f"remark {n}." for n in range(150)]
    with pytest.raises(DataError, match="column remark holds text of 150 different values"):
        read_tables(data, Recipe(time="ds", targets=("y",), features=("remark",)))
