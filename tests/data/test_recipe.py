import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecastlab.data.recipe import Recipe, require_plain, unique_names
from forecastlab.data.tables import read_tables
from forecastlab.errors import ConfigError, DataError

NAN = np.nan


def recipe(**arguments):
    return Recipe(**{"time": "ds", "targets": ("y",), "features": ("y",), **arguments})


def daily(start="2024-01-01", **columns):
    """A frame of days."""
    rows = len(next(iter(columns.values())))
    return pd.DataFrame({"ds": pd.date_range(start, periods=rows).astype(str), **columns})


def refused(frame, **arguments):
    """The message with which a frame is refused."""
    with pytest.raises(DataError) as caught:
        read_tables(frame, recipe(**arguments))
    message = str(caught.value)
    assert len(message.splitlines()) <= 10
    assert len(message) < 1000
    return message


def test_a_frame_of_one_series_is_one_table():
    frame = daily(y=[1, 2, 3, 4], x=[5, 6, 7, 8], unused=["a", "b", "c", "d"])
    (table,) = read_tables(frame, recipe(features=("y", "x"), name="city"))
    assert table.name == "city"
    assert table.frequency == "D"
    assert table.times.tolist() == pd.date_range("2024-01-01", periods=4).tolist()
    assert table.values.to_dict("list") == {"y": [1, 2, 3, 4], "x": [5, 6, 7, 8]}
    assert table.observed.to_numpy().all()
    assert table.later is None
    assert (len(table.ahead), table.static) == (0, {})


def test_a_frame_of_several_series_has_a_table_for_each_in_order_of_appearance():
    frame = pd.concat([daily(y=[1, 2, 3]).assign(id="b"), daily("2024-02-01", y=[4, 5, 6, 7]).assign(id="a")])
    mixed = frame.sample(frac=1, random_state=0).sort_values("ds", kind="stable")
    for rows, names in ((frame, ["b", "a"]), (mixed, mixed["id"].drop_duplicates().tolist())):
        tables = {table.name: table for table in read_tables(rows, recipe(series="id"))}
        assert list(tables) == names
        assert tables["b"].values["y"].tolist() == [1, 2, 3]
        assert tables["a"].values["y"].tolist() == [4, 5, 6, 7]
        assert tables["a"].times[0] == pd.Timestamp("2024-02-01")


@given(
    spans=st.lists(st.tuples(st.integers(0, 30), st.integers(3, 20)), min_size=1, max_size=5),
    frequency=st.sampled_from(["h", "D", "2D", "B", "MS", "2MS", "W-WED"]),
    zone=st.sampled_from([None, "UTC", "Europe/Berlin"]),
    missing=st.sampled_from(["ffill", "interpolate", "mask"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_the_table_of_a_series_is_the_same_whatever_other_series_are_in_the_frame(
    spans, frequency, zone, missing, seed
):
    generator = np.random.default_rng(seed)
    axis = pd.date_range("2021-03-01", periods=50, freq=frequency, tz=zone)
    series = []
    for number, (start, rows) in enumerate(spans):
        columns = {"y": generator.normal(size=rows), "x": generator.normal(size=rows), "k": np.arange(float(rows))}
        frame = pd.DataFrame({"id": f"s{number}", "ds": axis[start : start + rows], **columns})
        frame.loc[generator.random(rows) < 0.2, "x"] = NAN
        frame.loc[0, "x"] = 0
        frame.loc[rows - 1, "y"] = NAN
        series.append(frame)
    arguments = {"features": ("y", "x"), "known": ("k",), "frequency": frequency, "missing": missing}
    mixed = pd.concat(series).sort_values("ds", kind="stable")
    tables = {table.name: table for table in read_tables(mixed, recipe(series="id", **arguments))}
    for number, frame in enumerate(series):
        (alone,) = read_tables(frame, recipe(**arguments))
        together = tables.pop(f"s{number}")
        for part in ("values", "observed", "later", "ahead"):
            found, expected = getattr(together, part), getattr(alone, part)
            assert (found is None) == (expected is None)
            if expected is not None:
                pd.testing.assert_frame_equal(found, expected, check_exact=True)
        assert alone.times.equals(pd.DatetimeIndex(frame["ds"][:-1]))
        np.testing.assert_array_equal(alone.observed["x"], frame["x"][:-1].notna())
        np.testing.assert_array_equal(alone.values["x"], frame["x"][:-1].ffill())
    assert not tables


@pytest.mark.parametrize("names", [[7, 7, 7, 12, 12, 12], ["7"] * 3 + ["12"] * 3])
def test_series_may_be_called_by_numbers(names):
    frame = pd.concat([daily(y=[1, 2, 3]), daily(y=[4, 5, 6])]).assign(id=names)
    assert [table.name for table in read_tables(frame, recipe(series="id"))] == ["7", "12"]


@given(order=st.permutations(["ds", "y", "x", "k", "unused"]))
@settings(max_examples=20)
def test_columns_are_found_by_name_in_any_order(order):
    frame = daily(y=[1.0, 2, 3], x=[4.0, 5, 6], k=[7.0, 8, 9], unused=[0, 0, 0])
    made = recipe(features=("y", "x"), known=("k",))
    (expected,), (found,) = read_tables(frame, made), read_tables(frame[order], made)
    pd.testing.assert_frame_equal(found.values, expected.values)


def test_a_derived_column_is_the_signed_sum_of_others():
    frame = daily(load=[10.0, 20, 30], wind=[1.0, NAN, 3], solar=[0.5, 0.5, 0.5])
    made = recipe(
        targets=("imbalance",),
        features=("imbalance", "load"),
        derive={"imbalance": {"load": 1, "wind": -1, "solar": -2}},
        missing="ffill",
    )
    (table,) = read_tables(frame, made)
    assert table.values["imbalance"].tolist() == [8, 8, 26]  # missing where a part of it is
    assert table.observed["imbalance"].tolist() == [True, False, True]
    assert list(table.values) == ["imbalance", "load"]


def test_numbers_of_every_kind_are_taken():
    frame = daily(
        int=[1, 2, 3],
        bool=[True, False, True],
        text=["1.5", " 2 ", "-3e2"],
        decimal=[decimal.Decimal("0.5"), decimal.Decimal(1), decimal.Decimal(2)],
        nullable=pd.array([1, 2, 3], dtype="Int64"),
        category=pd.Categorical(["1", "2", "1"]),
        float32=np.array([0.5, 1, 2], dtype=np.float32),
    )
    names = tuple(frame.columns[1:])
    (table,) = read_tables(frame, recipe(targets=("int",), features=names))
    assert table.values.to_dict("list") == {
        "int": [1, 2, 3],
        "bool": [1, 0, 1],
        "text": [1.5, 2, -300],
        "decimal": [0.5, 1, 2],
        "nullable": [1, 2, 3],
        "category": [1, 2, 1],
        "float32": [0.5, 1, 2],
    }


@pytest.mark.parametrize(
    "times",
    [
        pd.date_range("2024-01-01", periods=3),
        pd.date_range("2024-01-01", periods=3, unit="ns"),
        [datetime.date(2024, 1, day) for day in (1, 2, 3)],
        [datetime.datetime(2024, 1, day) for day in (1, 2, 3)],
        [pd.Timestamp(2024, 1, day) for day in (1, 2, 3)],
        ["2024-01-01", "2024-01-02", "2024-01-03"],
    ],
)
def test_times_may_be_of_any_type(times):
    (table,) = read_tables(pd.DataFrame({"ds": times, "y": [1, 2, 3]}), recipe())
    assert table.times.tolist() == pd.date_range("2024-01-01", periods=3).tolist()


def test_without_a_time_column_the_index_tells_the_times():
    frame = pd.DataFrame({"y": [1, 2, 3]}, index=pd.date_range("2024-01-01", periods=3))
    assert read_tables(frame, recipe(time=None))[0].times.equals(frame.index)
    with pytest.raises(DataError, match="the index holds numbers such as 0"):
        read_tables(frame.reset_index(drop=True), recipe(time=None))


# ---- zones and summer time ----


def test_days_in_a_zone_are_days_of_the_calendar_on_both_sides_of_summer_time():
    times = pd.date_range("2021-03-26", periods=5, tz="Europe/Berlin")
    (table,) = read_tables(pd.DataFrame({"ds": times, "y": range(5)}).drop(2), recipe(missing="ffill"))
    assert table.frequency == "D"
    assert table.times.equals(times.rename("ds"))
    assert table.observed["y"].tolist() == [True, True, False, True, True]


def test_hours_in_a_zone_are_hours_that_pass():
    times = pd.date_range("2021-10-31 00:00", periods=5, freq="h", tz="Europe/Berlin")  # 02:00 comes twice
    (table,) = read_tables(pd.DataFrame({"ds": times, "y": range(5)}), recipe())
    assert (table.frequency, len(table.times)) == ("h", 5)


def test_hours_of_the_wall_clock_without_a_zone_double_and_lack_one():
    autumn = pd.DataFrame({"ds": ["2021-10-31 01:00", "2021-10-31 02:00", "2021-10-31 02:00"], "y": [1, 2, 3]})
    assert "1 of 3 rows have the time of another row, such as 2021-10-31 02:00:00" in refused(autumn)
    spring = pd.DataFrame({"ds": [f"2021-03-28 0{hour}:00" for hour in (0, 1, 3, 4)], "y": [1, 2, 3, 4]})
    assert "2021-03-28 02:00:00" in refused(spring)  # the hour that was left out is a missing value


# ---- what is known in advance, and what does not change ----


def test_rows_after_the_last_target_are_what_is_known_in_advance():
    frame = daily(y=[1, 2, 3, NAN, NAN], k=[5, 6, 7, 8, 9], x=[1, 1, 1, 4, 4])
    (table,) = read_tables(frame, recipe(features=("y", "x"), known=("k",)))
    assert len(table.times) == 3
    assert table.values["k"].tolist() == [5, 6, 7]
    assert table.ahead["k"].tolist() == [8, 9]
    assert table.ahead.index.tolist() == [pd.Timestamp("2024-01-04"), pd.Timestamp("2024-01-05")]


def test_a_row_of_a_part_of_the_targets_is_the_last_one():
    frame = daily(y=[1, 2, NAN, NAN], z=[1, 2, 3, NAN])
    (table,) = read_tables(frame, recipe(targets=("y", "z"), features=("y",), missing="ffill"))
    assert table.values["y"].tolist() == [1, 2, 2]
    assert table.observed["y"].tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("known", "at"),
    [([5, NAN, 7, 8, 9], "2024-01-02"), ([NAN, 6, 7, 8, 9], "2024-01-01"), ([5, 6, 7, NAN, 9], "2024-01-04")],
)
def test_a_hole_in_what_was_promised_as_known_is_refused(known, at):
    for missing in ("error", "ffill", "interpolate", "mask"):
        message = refused(daily(y=[1, 2, 3, NAN, NAN], k=known), known=("k",), missing=missing)
        assert f"k is promised as known in advance, but has no value at {at}" in message


def test_what_is_known_may_end_before_the_rows_do():
    (table,) = read_tables(daily(y=[1, 2, 3, NAN, NAN], k=[5, 6, 7, 8, NAN]), recipe(known=("k",)))
    assert table.ahead["k"].tolist() == [8]


def test_a_gap_among_the_rows_to_come_is_a_hole():
    frame = daily(y=[1, 2, 3, NAN, NAN, NAN], k=[1, 2, 3, 4, 5, 6]).drop(4)
    assert "k is promised as known in advance, but has no value at 2024-01-05" in refused(frame, known=("k",))


def test_static_covariates_have_one_value_in_each_series():
    frame = pd.concat([daily(y=[1, 2, 3], area=[5, 5, NAN]).assign(id="a"), daily(y=[4, 5, 6], area=7).assign(id="b")])
    tables = read_tables(frame, recipe(series="id", static=("area",)))
    assert [table.static for table in tables] == [{"area": 5}, {"area": 7}]
    assert all(list(table.values) == ["y"] for table in tables)
    for area, count in (([5, 5, 6], 2), ([NAN, NAN, NAN], 0)):
        message = refused(daily(y=[1, 2, 3], area=area), static=("area",))
        assert f"series series: static covariate area must have one value in a series, got {count}" in message


# ---- missing values ----

GAPPED = [1, NAN, NAN, 4, NAN]


def test_missing_values_are_refused_unless_a_policy_is_chosen():
    message = refused(daily(y=[1, 2, 3, 4, 5], x=GAPPED), features=("y", "x"))
    assert "series series: values are missing, of 5 rows: x (3); the first is in row 1 (2024-01-02 00:00:00)" in message
    assert "--data.missing ffill, interpolate or mask" in message


def test_a_step_that_has_no_row_is_a_missing_value():
    frame = daily(y=[1, 2, 3, 4, 5]).drop([1, 2])
    assert "y (2); the first is in row 1 (2024-01-02" in refused(frame, frequency="D")
    (table,) = read_tables(frame, recipe(missing="ffill", frequency="D"))
    assert table.values["y"].tolist() == [1, 1, 1, 4, 5]
    assert table.observed["y"].tolist() == [True, False, False, True, True]


def test_forward_filling_holds_the_last_value():
    (table,) = read_tables(daily(y=[1, 2, 3, 4, 5], x=GAPPED), recipe(missing="ffill", features=("x",)))
    assert table.values["x"].tolist() == [1, 1, 1, 4, 4]
    assert table.later is None


def test_interpolation_is_kept_apart_from_what_was_known_at_the_time():
    (table,) = read_tables(daily(y=[1, 2, 3, 4, 5], x=GAPPED), recipe(missing="interpolate", features=("x",)))
    assert table.values["x"].tolist() == [1, 1, 1, 4, 4]
    assert table.later["x"].tolist() == [1, 2, 3, 4, 4]  # nothing closes the last gap


def test_interpolation_is_linear_in_time_and_not_in_rows():
    times = pd.date_range("2024-01-01", periods=4, freq="MS")
    frame = pd.DataFrame({"ds": times, "y": [0.0, NAN, NAN, 91.0]})
    (table,) = read_tables(frame, recipe(missing="interpolate"))
    np.testing.assert_allclose(table.later["y"], [0, 31, 60, 91])  # 2024 is a leap year


def test_a_mask_begins_with_the_first_target_and_fills_other_columns_with_zeros():
    frame = daily(y=[NAN, NAN, 3, NAN, 5], x=[NAN, 9, NAN, 4, NAN], never=[NAN] * 5)
    (table,) = read_tables(frame, recipe(missing="mask", features=("y", "x", "never")))
    assert table.times[0] == pd.Timestamp("2024-01-03")
    assert table.values.to_dict("list") == {"y": [3, 3, 5], "x": [0, 4, 4], "never": [0, 0, 0]}
    assert table.observed["x"].tolist() == [False, True, False]


@pytest.mark.parametrize("missing", ["ffill", "interpolate"])
def test_values_that_are_missing_at_the_beginning_cannot_be_filled(missing):
    message = refused(daily(y=[1, 2, 3], x=[NAN, NAN, 3]), features=("x",), missing=missing)
    assert "begin with missing values, which forward-filling cannot reach (rows of 3): x (2)" in message
    assert "row 2, 2024-01-03 00:00:00, is the first with every column" in message
    message = refused(daily(y=[1, 2, 3], x=[NAN] * 3), features=("x",), missing=missing)
    assert "no value at all: x" in message


# ---- refusals: every message names the row and the column ----


@pytest.mark.parametrize(
    ("frame", "arguments", "words"),
    [
        (daily(y=[1, 2]), {"targets": ("Y",)}, "unknown column Y; the data have ds, y"),
        (daily(y=[1, 2]), {"time": "date"}, "unknown column date; the data have ds, y"),
        (daily(y=[1, 2]), {"series": "id"}, "unknown column id; the data have ds, y"),
        (daily(y=[1, 2]), {"known": ("k",), "static": ("s",)}, "unknown column k, s; the data have ds, y"),
        (
            daily(y=[1, 2]),
            {"targets": ("z",), "derive": {"z": {"y": 1, "w": -1}}},
            "unknown column w; the data have ds, y",
        ),
        (daily(**{f"c{i}": [1] for i in range(500)}), {}, "unknown column y; the data have ds, c0, c1"),
        (daily(y=[]), {}, "expected at least one row of data, got none"),
        (
            daily(y=["1", "2", "many"]),
            {},
            "row 3 (line 4 of a file with one header line), column y: expected a number, got 'many'",
        ),
        (daily(y=["1", "1,5 m"]), {}, "row 2 (line 3 of a file with one header line), column y: expected a number"),
        (daily(y=[1, "?" * 999]), {}, "column y: expected a number, got '???"),
        (daily(y=[1, [2]]), {}, "row 2 (line 3 of a file with one header line), column y: expected a number, got [2]"),
        (daily(y=[1j, 2]), {}, "column y: expected numbers, got values of type complex128"),
        (daily(y=pd.date_range("2024", periods=2)), {}, "column y: expected numbers, got values of type datetime64"),
        (
            daily(y=[1, np.inf, 3]),
            {},
            "row 2 (line 3 of a file with one header line), column y: expected a finite number below 3.4e38, got inf",
        ),
        (daily(y=[1, 2, 3], x=["1", "1", "-1e400"]), {"features": ("x",)}, "row 3 (line 4 of a file with one header"),
        (daily(y=[1, 2, 4e38]), {}, "column y: expected a finite number below 3.4e38, got 4e+38"),
        (
            daily(a=[1, np.inf], b=[1, np.inf]),
            {"targets": ("y",), "derive": {"y": {"a": 1, "b": -1}}},
            "row 2 (line 3 of a file with one header line), column a: expected a finite number",
        ),
        (
            daily(a=[3e38, 3e38], b=[1, 3e38]),
            {"targets": ("y",), "derive": {"y": {"a": 1, "b": 1}}},
            "row 2 (line 3 of a file with one header line), column y: expected a finite number",
        ),
        (daily(y=[1, 2, NAN], k=[1, 2, np.inf]), {"known": ("k",)}, "column k: expected a finite number"),
        (daily(y=[1, 2], s=[np.inf, np.inf]), {"static": ("s",)}, "column s: expected a finite number"),
        (daily(y=[NAN, NAN]), {"frequency": "D"}, "series series: the targets (y) have no value at all"),
        (
            pd.DataFrame({"ds": ["2024-01-01", None], "y": [1, 2]}),
            {},
            "row 2 (line 3 of a file with one header line): no time in column ds",
        ),
        (pd.DataFrame({"ds": [19.5, 20.5], "y": [1, 2]}), {}, "column ds holds numbers such as 19.5; expected times"),
        (
            pd.DataFrame({"ds": ["2024-01-01", "soon"], "y": [1, 2]}),
            {},
            "row 2 (line 3 of a file with one header line): cannot read 'soon' in column ds as a time",
        ),
        (
            pd.DataFrame({"ds": ["2024-01-01", "2024-01-01", "2024-01-02"], "y": [1, 2, 3]}),
            {},
            "1 of 3 rows have the time of another row, such as 2024-01-01 00:00:00: row 1 (line 2 of a file with one "
            "header line) and row 2 (line 3 of a file with one header line).\nChoose what becomes of them, "
            "--data.duplicates first, last, mean or sum; for several series, name their column: --data.series_column",
        ),
        (
            daily(y=[1, 2], id=["a", None]),
            {"series": "id"},
            "row 2 (line 3 of a file with one header line): no name of a series in id",
        ),
        (
            pd.concat([daily(y=[1, 2, 3], id="a"), daily(y=[1, 2, 2], id="b").assign(ds="2024-01-01")]),
            {"series": "id"},
            "2 of 6 rows have the time of another row of series b, such as 2024-01-01 00:00:00",
        ),
        (daily(y=[1, 2]), {}, "series series: 2 rows do not tell the frequency: give it, --data.frequency D"),
        (daily(y=[1, 2, 3]), {"frequency": "MS"}, "row 1 is at 2024-01-02 00:00:00, and 2 of 3 rows are not on it"),
        (
            daily(y=[1, 2, 3, 4, 5, 6]),
            {"frequency": "h"},
            "the frequency 'h' is too fine: all rows are 24 of its steps",
        ),
        (pd.DataFrame([["2024-01-01", 1, 2]], columns=["ds", "y", "y"]), {}, "must differ; duplicates: y"),
    ],
)
def test_bad_input_is_refused_by_row_and_column(frame, arguments, words):
    assert words in refused(frame, **arguments)


def test_lines_are_counted_in_the_file_also_when_rows_were_left_out():
    frame = daily(y=["1", "2", "3", "x"])[2:]
    assert "row 4 (line 5 of a file with one header line), column y" in refused(frame)


def test_an_unknown_frequency_is_refused():
    with pytest.raises(ConfigError, match=r"expected a frequency of positive length .*, got 'fortnight'"):
        read_tables(daily(y=[1, 2, 3]), recipe(frequency="fortnight"))


# ---- plain data ----


def test_a_recipe_survives_what_a_checkpoint_can_hold():
    made = recipe(
        series="id",
        features=("y", "x"),
        known=("k",),
        static=("s",),
        derive={"y": {"a": 1.0, "b": -1.0}},
        frequency="h",
        missing="mask",
    )
    assert Recipe.from_dict(json.loads(json.dumps(made.as_dict()))) == made


@pytest.mark.parametrize(
    ("derive", "words"),
    [
        ({"z": {}}, "derive.z: expected columns and their factors"),
        ({"z": ["a"]}, "derive.z: expected columns and their factors"),
        ({"z": {"a": 1}, "w": {"z": 1}}, "derive.w: z is itself derived; write its own columns instead"),
        ({"z": {"z": 1}}, "derive.z: z is itself derived"),
        ({"z": {"a": "1"}}, "derive.z: expected a number as the factor of a, got '1'"),
        ({"z": {"a": True}}, "expected a number as the factor of a, got True"),
        ({"z": {"a": NAN}}, "expected a number as the factor of a, got nan"),
    ],
)
def test_derived_columns_are_signed_sums_of_plain_ones(derive, words):
    with pytest.raises(ConfigError, match=words):
        require_plain(derive)


def test_a_name_that_is_given_twice_is_refused():
    with pytest.raises(ConfigError, match="targets: y is given twice"):
        unique_names("targets", ["y", "x", "y"])
