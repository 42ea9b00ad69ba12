import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from forecastlab.batch import Schema
from forecastlab.data.calendar import calendar_covariates
from forecastlab.data.panel import Panel, left_out
from forecastlab.errors import ConfigError, DataError
from tests import frames
from tests.series import Series, panel

NAN = np.nan
SPANS = {"a": (0, 40), "b": (6, 33), "c": (12, 40)}
"""Series that begin and end at different times; 40 rows in all."""


def module(raw=None, recipe=None, **arguments):
    """Three splits of the 40 rows, n = 10, 20, 30."""
    raw = panel(**SPANS) if raw is None else raw
    return Series(raw, recipe={"series": "id", "regular": True, **(recipe or {})}, **arguments)


def batches(data, name):
    """The batches of a range."""
    data.setup({"fit": "fit", "validation": "validate"}.get(name, name))
    return list(getattr(data, {"fit": "train", "validation": "val"}.get(name, name) + "_dataloader")())


def scored(data, name):
    """The rows of the targets that are scored, in order, for each series."""
    found = {table.name: [] for table in data.tables}
    for batch in batches(data, name):
        for number, target, weight in zip(batch.series.tolist(), batch.target, batch.weight, strict=True):
            found[data.panel.names[number]] += (target[weight > 0] - 100 - 1000 * number).int().tolist()
    return {name: sorted(rows) for name, rows in found.items()}


def table(name, values, start="2020-01-01", frequency="D"):
    times = pd.date_range(start, periods=len(values), freq=frequency)
    return frames.table(pd.DataFrame({"y": values}, index=times, dtype="float64"), name, frequency=frequency)


SCHEMA = Schema(("y",), ("y",), horizon=2)


# ---- one axis for all ----


def test_the_axis_of_several_series_reaches_from_the_first_row_of_any_to_the_last():
    found = Panel.of([table("a", [1, 2, 3], "2020-01-03"), table("b", [4, 5], "2020-01-01")], SCHEMA)
    assert found.names == ["a", "b"]
    assert found.times.equals(pd.date_range("2020-01-01", periods=5 + 2))
    assert found.rows.first.tolist() == [2, 0]
    assert found.rows.stop.tolist() == [5, 2]
    flat = found.rows.base + found.rows.first
    assert found.rows.target[flat, 0].tolist() == [1, 4]
    assert found.rows.target.flatten().tolist() == [1, 2, 3, 3, 3, 4, 5, 5, 5]
    assert found.rows.observed.flatten().tolist() == [1, 1, 1, 0, 0, 1, 1, 0, 0]
    assert found.rows.elapsed.tolist() == [2, 3, 4, 5, 6, 0, 1, 2, 3]


def test_the_axis_of_one_series_is_its_own_rows_also_where_it_leaves_days_out():
    times = pd.DatetimeIndex(["2020-01-01", "2020-01-04"])
    one = frames.table(pd.DataFrame({"y": [1.0, 2.0]}, index=times), "a")
    found = Panel.of([one], SCHEMA)
    assert found.times.tolist() == [*times, pd.Timestamp("2020-01-05"), pd.Timestamp("2020-01-06")]
    assert found.rows.elapsed.tolist() == [0, 3, 4, 5]


def test_the_columns_of_each_series_are_found_by_name():
    times = pd.date_range("2020-01-01", periods=2)
    one = frames.table(pd.DataFrame({"y": [1, 2], "x": [3, 4]}, index=times), "a")
    other = frames.table(pd.DataFrame({"x": [7, 8], "unused": [0, 0], "y": [5, 6]}, index=times), "b")
    found = Panel.of([one, other], Schema(("x", "y"), ("y",), horizon=1)).rows
    assert found.features.tolist() == [[3, 1], [4, 2], [4, 2], [7, 5], [8, 6], [8, 6]]
    assert found.target.flatten().tolist() == [1, 2, 2, 5, 6, 6]


def test_a_series_with_no_row_in_common_with_another_has_its_place():
    found = Panel.of([table("a", [1, 2]), table("b", [3, 4], "2020-01-11")], SCHEMA)
    assert len(found.times) == 12 + 2
    assert found.rows.first.tolist() == [0, 10]


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ([], "there is no series in the data"),
        ([table("a", [1, 2]), table("b", [1]), table("a", [1])], "the names of series must differ; duplicates: a"),
        (
            [table("a", [1, 2]), table("b", [1, 2], frequency="h")],
            "the series differ in frequency: a has D, b h: give it, --data.frequency D, if that is due to gaps",
        ),
        (
            [table("a", [1, 2]), table("b", [1, 2], "2020-01-01 06:00")],
            "series b is not on the calendar of the others, D from 2020-01-01 00:00:00",
        ),
    ],
)
def test_series_that_have_no_common_axis_are_refused(tables, words):
    with pytest.raises(DataError, match=words):
        Panel.of(tables, SCHEMA)


# ---- folds go by time ----


def test_every_series_has_its_share_of_the_rows_of_a_fold():
    data = module(fold=2, lookback=3)  # n = 20, size 10
    assert scored(data, "fit") == {
        "a": list(range(3, 20)),
        "b": list(range(9, 20)),  # after its own first three rows
        "c": list(range(15, 20)),
    }
    assert scored(data, "test") == {name: list(range(20, 30)) for name in "abc"}
    last = module(fold=3, lookback=3)
    assert scored(last, "test") == {"a": list(range(30, 40)), "b": [30, 31, 32], "c": list(range(30, 40))}


def test_the_validation_tail_is_the_same_time_for_all():
    data = module(fold=3, lookback=3, validation="tail", val_size=6)
    assert scored(data, "validation") == {name: list(range(24, 30)) for name in "abc"}
    assert scored(data, "fit")["b"] == list(range(9, 24))


def test_a_series_that_begins_after_the_training_rows_is_tested_only():
    data = module(panel(a=(0, 40), late=(12, 40)), fold=1, lookback=3)
    assert scored(data, "fit") == {"a": list(range(3, 10)), "late": []}
    assert scored(data, "test") == {"a": list(range(10, 20)), "late": list(range(15, 20))}


def test_a_series_that_ended_before_is_not_tested():
    data = module(panel(a=(0, 40), gone=(0, 15)), fold=2, lookback=3)
    assert scored(data, "fit") == {"a": list(range(3, 20)), "gone": list(range(3, 15))}
    assert scored(data, "test") == {"a": list(range(20, 30)), "gone": []}


@pytest.mark.parametrize("horizon", [1, 4])
@pytest.mark.parametrize("context", ["carried", "cold"])
def test_no_window_reaches_into_another_series(horizon, context):
    data = module(fold=3, lookback=4, horizon=horizon, context=context)
    for name in ("fit", "validation", "test", "predict"):
        for batch in batches(data, name):
            for number, history, index in zip(batch.series.tolist(), batch.history, batch.index, strict=True):
                (origin,) = index.tolist()
                assert history[:, 0].tolist() == [1000 * number + row for row in range(origin - 3, origin + 1)]
                first, stop = SPANS[data.panel.names[number]]
                assert first <= origin - 3
                assert origin < stop


def test_the_rows_of_a_gap_in_a_series_are_steps_of_it():
    raw = panel(a=(0, 40), b=(0, 40))
    raw = raw[~((raw["id"] == "b") & (raw["x"] % 1000).between(22, 24))]
    assert scored(module(raw, fold=2), "test") == {"a": list(range(20, 30)), "b": [20, 21, *range(25, 30)]}


@pytest.mark.parametrize("stride", [1, 3, 7])
def test_training_windows_are_a_stride_apart_and_the_others_are_not(stride):
    data = module(fold=3, lookback=3, stride=stride)
    assert scored(data, "fit") == {
        "a": list(range(3, 30))[::stride],
        "b": list(range(9, 30))[::stride],
        "c": list(range(15, 30))[::stride],
    }
    assert scored(data, "test")["a"] == list(range(30, 40))


# ---- one sequence of each series ----


def by_series(data, name):
    """The batch rows of a range by series: history, index, target and weight."""
    found = {}
    for batch in batches(data, name):
        for position, number in enumerate(batch.series.tolist()):
            found[data.panel.names[number]] = [part[position] for part in batch]
    return found


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("fold", [1, 2, 3])
@pytest.mark.parametrize("name", ["fit", "validation", "test"])
def test_sequences_of_unequal_length_are_padded_on_the_right_and_scored_as_each_alone(name, fold, horizon):
    raw = panel(a=(0, 40), b=(6, 33), c=(3, 40))
    data = module(raw, fold=fold, lookback="full", horizon=horizon, batch_size=3)
    together = by_series(data, name)
    views = {view.table.name: view for view in data.views()}
    assert set(together) <= set(views)
    for name_of, (history, known, static, last, target, weight, index, _) in together.items():
        first = int(data.rows.first[data.panel.names.index(name_of)])
        (alone,) = batches(views[name_of], name)
        time, origins = alone.history.shape[1], alone.index.shape[1]
        assert torch.equal(history[:time], alone.history[0])
        assert (history[time:] == history[time - 1]).all(), "padding repeats the last row"
        counts = weight.flatten(1).any(1)
        assert counts.sum() == origins
        rows = torch.nonzero(counts).flatten()
        assert rows.tolist() == list(range(int(rows[0]), int(rows[-1]) + 1))
        assert torch.equal(index[rows] - first, alone.index[0])
        for ours, theirs in ((last, alone.last), (target, alone.target), (weight, alone.weight)):
            assert torch.equal(ours[rows], theirs[0])
        assert all(torch.isfinite(part).all() for part in (history, known, static, last, target, weight))


def test_the_full_sequences_of_ten_rows_in_two_series():
    # Ten rows, n = 4, size 2: series b has the rows 2 .. 8.
    data = module(panel(a=(0, 10), b=(2, 9)), lookback="full", batch_size=2)
    (fit,) = batches(data, "fit")
    order = fit.series.argsort()
    assert fit.history[order, :, 0].tolist() == [[0, 1, 2], [1002, 1002, 1002]]
    assert fit.weight[order].flatten(1).tolist() == [[1, 1, 1], [1, 0, 0]]
    assert fit.index[order].tolist() == [[0, 1, 2], [2, 2, 2]]
    (test,) = batches(data, "test")
    assert test.series.tolist() == [0, 1]
    assert test.history[..., 0].tolist() == [[0, 1, 2, 3, 4], [1002, 1003, 1004, 1004, 1004]]
    # a's origins are its positions 3 and 4, those of b its positions 1 and 2
    assert test.index.tolist() == [[1, 2, 3, 4], [3, 4, 4, 4]]
    assert test.weight.flatten(1).tolist() == [[0, 0, 1, 1], [1, 1, 0, 0]]
    assert test.target.flatten(1)[test.weight.flatten(1) > 0].tolist() == [104, 105, 1104, 1105]


def test_several_sequences_may_be_spread_over_devices_and_one_may_not():
    module(lookback="full").require_devices(2)
    with pytest.raises(ConfigError, match="one sequence of a fold, which 2 devices cannot share"):
        module(panel(a=(0, 40)), lookback="full").require_devices(2)


# ---- beyond the end ----


def test_prediction_is_from_the_last_row_of_each_series():
    data = module(lookback=4, horizon=3, fold="all", validation="tail")
    (batch,) = batches(data, "predict")
    assert batch.series.tolist() == [0, 1, 2]
    assert batch.index.tolist() == [[39], [32], [39]]
    assert batch.history[:, :, 0].tolist() == [
        [36, 37, 38, 39],
        [1029, 1030, 1031, 1032],
        [2036, 2037, 2038, 2039],
    ]
    assert not batch.weight.any()
    full = batches(module(lookback="full", horizon=3), "predict")
    assert [part.history.shape[1] for part in full] == [40, 27, 28]
    assert [part.index.tolist() for part in full] == [[[39]], [[32]], [[39]]]


def test_a_series_that_is_shorter_than_the_lookback_is_left_out_by_name_and_the_others_are_forecast():
    data = module(panel(a=(0, 40), short=(30, 34), c=(5, 30)), lookback=5, fold=1)
    (batch,) = batches(data, "predict")
    assert batch.series.tolist() == [0, 2]
    assert batch.index.tolist() == [[39], [29]]
    (note,) = data.without_forecast()
    assert note.startswith("not forecast: series short has 4 rows, fewer than the lookback of 5")
    assert data.panel.at_the_end(before=2).series.tolist() == [0, 0, 0, 2, 2, 2]
    assert module(panel(a=(0, 40), short=(30, 34)), lookback=4, fold=1).panel.at_the_end().ends.tolist() == [39, 33]


def test_a_panel_without_a_series_that_can_be_forecast_is_refused():
    data = module(panel(a=(0, 40), b=(2, 40)), lookback=50, fold=1)
    with pytest.raises(DataError, match="series a has 40 rows, fewer than the lookback of 50"):
        data.predict_dataloader()


def test_of_many_series_without_a_forecast_some_are_named():
    found = left_out([str(number) for number in range(30)], dict.fromkeys(range(2, 27), ": why"))
    assert found[0] == "not forecast: series 2: why"
    assert found[9:] == ["not forecast: series 11: why", "nor of 15 more"]


def test_how_many_rows_of_each_series_a_fold_scores():
    data = module(panel(a=(0, 40), ends=(0, 25), late=(28, 40)), lookback=3, fold=1)  # tests rows 10, 20, 30 .. 39
    assert data.scored(1) == [10, 10, 0]
    assert data.scored(2) == [10, 5, 0]
    assert data.scored(3) == [10, 0, 9]
    assert data.fold == 1


def known_ahead(rows, ahead):
    """Two series of some rows, and what is known of the steps behind them: ten times the number of the row."""
    parts = []
    for number, steps in enumerate(ahead):
        part = panel(a=(0, rows + steps)).assign(id="ab"[number])
        part["k"] = 10 * part["x"]
        part.iloc[rows:, [1, 2]] = NAN
        parts.append(part)
    return pd.concat(parts)


def test_what_is_known_in_advance_is_taken_from_the_rows_behind_the_end():
    data = module(known_ahead(20, [3, 5]), {"known": ("k",)}, lookback=2, horizon=3, splits=2)
    assert data.rows.known_stop.tolist() == [23, 23]
    (batch,) = batches(data, "predict")
    assert batch.known[..., 0].tolist() == [[[200, 210, 220]], [[200, 210, 220]]]
    assert batch.history[0, :, 2].tolist() == [180, 190]
    for batch in batches(data, "test"):
        expected = 10 * (batch.index[:, :, None] + torch.arange(1, 4))
        assert torch.equal(batch.known[..., 0], expected.double())


def test_what_was_promised_and_is_not_there_is_named_when_it_is_needed():
    data = module(known_ahead(20, [3, 2]), {"known": ("k",)}, lookback=2, horizon=3, splits=2)
    assert batches(data, "test"), "the training needs none of it"
    words = "series b: the covariates known in advance end at 2020-01-22 .*, but the forecast reaches to 2020-01-23"
    (note,) = data.without_forecast()
    assert re.search(words, note)
    assert [batch.series.tolist() for batch in batches(data, "predict")] == [[0]]
    data = module(known_ahead(20, [2, 2]), {"known": ("k",)}, lookback=2, horizon=3, splits=2)
    with pytest.raises(DataError, match=words.replace("series b", "series a")):
        data.predict_dataloader()


# ---- each by itself ----


def test_a_view_is_a_series_by_itself_with_its_share_of_the_rows():
    data = module(fold=3, lookback=3, validation="tail")
    for number, view in enumerate(data.views()):
        name = view.table.name
        first, stop = SPANS[name]
        assert name == "abc"[number]
        assert len(view.times) == stop - first + 1
        assert view.ranges.train_stop == 30 - first
        assert view.ranges.test == range(30 - first, stop - first)
        for part in ("fit", "validation", "test"):
            assert [row - 1000 * number for row in scored(view, part)[name]] == scored(data, part)[name]
        assert torch.equal(view.reference.variance[0], data.reference.variance[number])


def test_the_one_series_is_its_own_view():
    data = module(panel(a=(0, 40)))
    assert data.views() == [data]
    assert data.table.name == "a"
    with pytest.raises(ConfigError, match="expected one series, the data hold 3"):
        _ = module().table


# ---- units ----

SCALERS = {"standard": StandardScaler, "minmax": MinMaxScaler, "robust": RobustScaler}


def varied(seed=0):
    """The three series, with noise of different levels and spreads."""
    raw = panel(**SPANS)
    generator = np.random.default_rng(seed)
    for number, name in enumerate(SPANS):
        own = raw["id"] == name
        raw.loc[own, ["x", "y"]] = generator.normal(10**number, 1 + number, size=(own.sum(), 2))
    return raw


def seen(raw, name, stop=24, start=0):
    """The columns of a series before a row of the axis."""
    first, last = SPANS[name]
    own = raw[raw["id"] == name][["x", "y"]].to_numpy()
    return own[max(start - first, 0) : max(min(stop, last) - first, 0)]


@pytest.mark.parametrize("scaler", SCALERS)
def test_each_series_is_scaled_by_its_own_training_rows(scaler):
    raw = varied()
    data = module(raw, fold=3, validation="tail", val_size=6, scaler=scaler, scale_by="series")
    assert data.schema["series"] == ["a", "b", "c"]
    assert data.scaling.series == 3
    for number, name in enumerate(SPANS):
        fitted = SCALERS[scaler]().fit(seen(raw, name))
        values = seen(raw, name)
        scaled = data.scaling.scale("feature", torch.tensor(values)[None], torch.tensor([number]))
        np.testing.assert_allclose(scaled[0], fitted.transform(values), atol=1e-12)


@pytest.mark.parametrize("scaler", SCALERS)
def test_all_series_are_scaled_by_their_training_rows_together(scaler):
    raw = varied()
    data = module(raw, fold=3, validation="tail", val_size=6, scaler=scaler)
    assert data.schema["series"] == []
    assert data.scaling.series == 1
    fitted = SCALERS[scaler]().fit(np.concatenate([seen(raw, name) for name in SPANS]))
    values = seen(raw, "b")
    scaled = data.scaling.scale("feature", torch.tensor(values)[None], torch.tensor([2]))
    np.testing.assert_allclose(scaled[0], fitted.transform(values), atol=1e-12)


@pytest.mark.parametrize("scale_by", ["global", "series"])
def test_rows_behind_the_training_rows_change_no_scaling(scale_by):
    raw, other = varied(), varied()
    other.loc[other.index >= raw.index[24], ["x", "y"]] *= 100
    first, second = (
        module(each, fold=3, validation="tail", val_size=6, scale_by=scale_by).scaling.state_dict()
        for each in (raw, other)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_sliding_window_scales_by_the_rows_in_it():
    raw = varied()
    data = module(raw, fold=3, train_size=12, scale_by="series")  # rows 18 .. 29
    for number, name in enumerate(SPANS):
        values = seen(raw, name, start=18, stop=30)
        np.testing.assert_allclose(data.scaling.feature_center[number], values.mean(0), rtol=1e-5)


def test_static_covariates_are_scaled_over_all_series():
    raw = panel(**SPANS)
    raw["area"] = raw["id"].map({"a": 1.0, "b": 5.0, "c": 9.0})
    data = module(raw, {"static": ("area",)}, fold=3)
    assert data.schema["static"] == ["area"]
    for batch in batches(data, "test"):
        assert batch.static.flatten().tolist() == [1 + 4 * number for number in batch.series.tolist()]
    scaled = data.scaling.scale("static", torch.tensor([[1.0], [5.0], [9.0]]), torch.tensor([0, 1, 2]))
    np.testing.assert_allclose(scaled, StandardScaler().fit_transform([[1], [5], [9]]), rtol=1e-6)


def test_a_series_without_a_training_row_cannot_be_scaled_by_itself():
    raw = panel(a=(0, 40), late=(12, 40))
    words = "series late has no row that trains in fold 1, so it cannot be scaled by itself"
    with pytest.raises(ConfigError, match=words):
        _ = module(raw, fold=1, scale_by="series").scaling
    assert module(raw, fold=1).scaling.series == 1


def test_the_units_of_metrics_are_those_of_each_series_on_its_training_rows():
    raw = varied()
    data = module(raw, fold=3, validation="tail", season_length=7)
    for number, name in enumerate(SPANS):
        y = seen(raw, name, stop=30)[:, 1]
        naive = y[7:] - y[:-7]
        np.testing.assert_allclose(data.reference.variance[number], [y.var()])
        np.testing.assert_allclose(data.reference.seasonal_error[number], [np.abs(naive).mean()])
        np.testing.assert_allclose(data.reference.seasonal_squared_error[number], [np.square(naive).mean()])


def test_a_series_that_is_too_short_for_a_season_has_no_unit():
    data = module(panel(a=(0, 40), late=(26, 40)), fold=3, season_length=7)
    assert data.reference.seasonal_error.tolist() == [[7], [0]]


# ---- the calendar ----


def test_calendar_covariates_are_those_of_the_time_whatever_the_series():
    data = module(fold=3, lookback=4, horizon=2, calendar=["day_of_week"])
    expected = calendar_covariates(pd.date_range("2020-01-01", periods=42), ["day_of_week"]).to_numpy()
    for name in ("fit", "test", "predict"):
        for batch in batches(data, name):
            for known, history, index in zip(batch.known, batch.history, batch.index[:, 0].tolist(), strict=True):
                np.testing.assert_array_equal(known[0], expected[index + 1 : index + 3])
                np.testing.assert_array_equal(history[:, 2:], expected[index - 3 : index + 1])
