"""`Forecaster.forecast`: a checkpoint and a frame are enough."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.decoders import Seq2Seq
from forecastlab.errors import ConfigError, DataError
from forecastlab.losses import Quantile
from forecastlab.network import network
from forecastlab.training.forecaster import Forecaster
from tests.frames import module, panel, wide
from tests.network.fitted import SMALL, fitted
from tests.series import trainer

COLUMNS = ["unique_id", "target", "ds", "cutoff", "y", "forecast"]


def by_hand(model, values, targets=1):
    """The forecast of a window of raw inputs (time, features), (horizon, targets)."""
    s = dict(model.scaling.named_buffers())
    x = (torch.tensor(values.astype(float)) - s["feature_center"]) / s["feature_scale"]
    hidden, _ = model.backbone.rnn(x[None].float())
    raw = model.decoder.linear(hidden[0, -1]).view(-1, targets)
    return (raw * s["target_scale"] + s["target_center"]).detach().numpy()


# ---- what comes out ----


def test_the_steps_beyond_the_frame_are_forecast_from_its_last_rows(tmp_path):
    frame = wide(40)
    model = fitted(tmp_path, frame, features=["x", "y"], horizon=3)
    table = model.forecast(frame)
    assert list(table) == COLUMNS
    assert (table["unique_id"] == "series").all()
    assert (table["target"] == "y").all()
    assert table["ds"].tolist() == pd.date_range("2020-02-10", periods=3).tolist()
    assert table["cutoff"].tolist() == [pd.Timestamp("2020-02-09")] * 3
    assert table["y"].isna().all()
    expected = by_hand(model, frame[["x", "y"]].to_numpy()[-4:])
    np.testing.assert_allclose(table["forecast"], expected[:, 0], rtol=1e-5)


def test_a_full_lookback_reads_the_whole_frame(tmp_path):
    frame = wide(40)
    model = fitted(tmp_path, frame, lookback="full")
    np.testing.assert_allclose(model.forecast(frame)["forecast"], by_hand(model, frame[["y"]].to_numpy())[0], rtol=1e-5)


def test_several_targets_follow_each_other(tmp_path):
    frame = wide(40)
    model = fitted(tmp_path, frame, targets=["y", "x"], horizon=2)
    table = model.forecast(frame)
    assert table["target"].tolist() == ["y", "y", "x", "x"]
    expected = by_hand(model, frame[["y", "x"]].to_numpy()[-4:], targets=2)
    np.testing.assert_allclose(table["forecast"], expected.T.ravel(), rtol=1e-5)


def test_columns_are_matched_by_name_and_further_ones_ignored(tmp_path):
    frame = wide(40)
    model = fitted(tmp_path, frame, features=["x", "y"], known=["price"], horizon=2)
    ahead = pd.DataFrame({"ds": pd.date_range("2020-02-10", periods=2), "price": [0.5, -0.5]})
    frame = pd.concat([frame, ahead])
    expected = model.forecast(frame)
    other = frame[["price", "x", "y", "ds"]].assign(colour="red", z=np.nan)
    pd.testing.assert_frame_equal(model.forecast(other), expected)


def test_a_frame_as_a_file_has_it_gives_the_same(tmp_path):
    frame = wide(40)
    model = fitted(tmp_path, frame)
    frame.to_csv(tmp_path / "new.csv", index=False)
    again = model.forecast(pd.read_csv(tmp_path / "new.csv"))
    pd.testing.assert_frame_equal(again, model.forecast(frame), check_dtype=False, rtol=1e-6)


def test_rows_after_the_last_target_tell_what_is_known_in_advance(tmp_path):
    frame = wide(40)
    model = fitted(tmp_path, frame, known=["price"], horizon=2, decoder=Seq2Seq)
    ahead = pd.DataFrame({"ds": pd.date_range("2020-02-10", periods=3), "price": [0.0, 1.0, 7.0]})
    table = model.forecast(pd.concat([frame, ahead]))
    assert table["ds"].tolist() == ahead["ds"].tolist()[:2]
    other = model.forecast(pd.concat([frame, ahead.assign(price=[0.0, 2.0, 7.0])]))
    assert other["forecast"][0] == table["forecast"][0]
    assert other["forecast"][1] != table["forecast"][1], "the second step reads its own price"
    further = model.forecast(pd.concat([frame, ahead.assign(price=[0.0, 1.0, -7.0])]))
    pd.testing.assert_frame_equal(further, table)


def test_calendar_covariates_need_no_rows_ahead(tmp_path):
    frame = wide(40)
    model = fitted(tmp_path, frame, calendar=["day_of_week"], holidays="DE", horizon=2)
    assert model.forecast(frame)["forecast"].notna().all()


def zoned(frame, zone):
    return frame.assign(ds=frame["ds"].dt.tz_localize(zone))


def test_times_of_another_zone_are_turned_to_that_of_the_training(tmp_path):
    hours = wide(60).assign(ds=pd.date_range("2020-01-01", periods=60, freq="h"))
    model = fitted(tmp_path, zoned(hours, "UTC"), frequency="h", calendar=["hour"], horizon=2)
    expected = model.forecast(zoned(hours, "UTC"))
    moved = zoned(hours, "UTC").assign(ds=lambda frame: frame["ds"].dt.tz_convert("Asia/Kolkata"))
    found = model.forecast(moved)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    with pytest.raises(DataError, match=r"without a zone.* trained on times in UTC: write them with their zone"):
        model.forecast(hours)


def test_times_with_a_zone_are_refused_where_the_training_had_none(tmp_path):
    frame = wide(40)
    model = fitted(tmp_path, frame, calendar=["day_of_week"])
    with pytest.raises(DataError, match=r"times in UTC, such as 2020-01-01 00:00:00.00:00; the network was trained on"):
        model.forecast(zoned(frame, "UTC"))


CHANGED = {
    "holidays": ({"holidays": "FR"}, "trained with holidays: DE, but the data have holidays: FR"),
    "zone": ({"time_zone": "UTC"}, "trained with time_zone: Europe/Berlin, but the data have time_zone: UTC"),
    "times": ({"zone": "Asia/Kolkata"}, "trained on times in UTC, but the data have times in Asia/Kolkata"),
}


@pytest.mark.parametrize(("change", "words"), CHANGED.values(), ids=CHANGED)
def test_data_of_another_calendar_than_the_trainings_are_refused(tmp_path, change, words):
    given = {"frequency": "h", "holidays": "DE", "time_zone": "Europe/Berlin"}
    hours = wide(60).assign(ds=pd.date_range("2020-01-01", periods=60, freq="h"))
    model = fitted(tmp_path, zoned(hours, "UTC"), **given)
    change = dict(change)
    frame = zoned(hours, "UTC").assign(ds=lambda each: each["ds"].dt.tz_convert(change.pop("zone", "UTC")))
    frame.to_parquet(tmp_path / "other.parquet")
    data = module(tmp_path, zoned(hours, "UTC"), **given)
    other = TableDataModule(str(tmp_path / "other.parquet"), **{**given, "lookback": 4, "splits": 3, **change})
    trainer().validate(model, data, verbose=False)
    with pytest.raises(ConfigError, match=words):
        trainer().validate(model, other, verbose=False)


def test_a_network_that_knew_first_days_only_is_not_given_whole_weeks(tmp_path):
    weeks = wide(60).assign(ds=pd.date_range("2020-01-06", periods=60, freq="W-MON"))
    given = {"frequency": "W-MON", "calendar": ["day_of_year"]}
    model = fitted(tmp_path, weeks, **given)
    before = model.forecast(weeks)["forecast"].tolist()
    model.schema = replace(model.schema, step="")  # as checkpoints of 0.1 have it
    assert model.forecast(weeks)["forecast"].tolist() != before
    with pytest.raises(ConfigError, match="it has only the first day of each step of W-MON, and now all days"):
        trainer().validate(model, module(tmp_path, weeks, **given), verbose=False)


def test_derived_columns_are_made_of_the_raw_ones(tmp_path):
    frame = wide(40)
    model = fitted(tmp_path, frame, derive={"rest": {"y": 1, "x": -1}}, targets=["rest"], features=["rest"])
    expected = by_hand(model, (frame["y"] - frame["x"]).to_numpy()[-4:, None])
    np.testing.assert_allclose(model.forecast(frame)["forecast"], expected[:, 0], rtol=1e-5)


def test_quantiles_ascend_in_every_row(tmp_path):
    quantiles = partial(Quantile, quantiles=[0.05, 0.25, 0.5, 0.75, 0.95])
    frame = panel(60)
    model = fitted(
        tmp_path,
        frame,
        series_column="unique_id",
        scale_by="series",
        loss=quantiles,
        intervals=[0.5],
        horizon=4,
        fold=3,
    )
    table = model.forecast(frame)
    columns = ["forecast-lo-90", "forecast-lo-50", "forecast", "forecast-hi-50", "forecast-hi-90"]
    assert (np.diff(table[[name for name in columns if name != "forecast"]], axis=1) >= 0).all()


def test_dropout_is_off_also_straight_after_the_training(tmp_path):
    data = module(tmp_path, wide(40))
    model = Forecaster(SMALL, dropout=0.5, schema=data.schema)
    trainer(max_epochs=1).fit(model, data)
    assert model.training
    pd.testing.assert_frame_equal(model.forecast(wide(40)), model.forecast(wide(40)))
    assert model.training


# ---- several series ----


def test_a_long_frame_gives_each_series_its_forecast(tmp_path):
    frame = panel(40)
    model = fitted(tmp_path, frame, series_column="unique_id", horizon=2, frequency="D")
    table = model.forecast(frame)
    assert table["unique_id"].tolist() == ["a", "a", "b", "b", "c", "c"]
    for name, part in frame.groupby("unique_id"):
        alone = model.forecast(part)
        ours = table[table["unique_id"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(ours, alone, rtol=1e-5)
        np.testing.assert_allclose(alone["forecast"], by_hand(model, part[["y"]].to_numpy()[-4:])[:, 0], rtol=1e-4)


@pytest.mark.parametrize("lookback", [4, "full"])
def test_series_may_end_at_different_times(tmp_path, lookback):
    frame = panel(40)
    model = fitted(tmp_path, frame, series_column="unique_id", lookback=lookback)
    ragged = frame[(frame["unique_id"] != "b") | (frame["ds"] < "2020-01-21")]
    table = model.forecast(ragged).set_index("unique_id")
    assert table["cutoff"].tolist() == [pd.Timestamp(day) for day in ("2020-02-09", "2020-01-20", "2020-02-09")]
    alone = model.forecast(ragged[ragged["unique_id"] == "b"])
    assert table.loc["b", "forecast"] == pytest.approx(alone["forecast"].item(), rel=1e-6)


def test_rows_of_several_series_may_be_mixed_and_series_come_in_any_order(tmp_path):
    frame = panel(40)
    model = fitted(tmp_path, frame, series_column="unique_id", scale_by="series")
    expected = model.forecast(frame).set_index("unique_id")
    for other in (frame.sort_values("ds", kind="stable"), frame.iloc[::-1].sort_values("ds", kind="stable")):
        found = model.forecast(other).set_index("unique_id")
        pd.testing.assert_frame_equal(found.loc[["a", "b", "c"]], expected, rtol=1e-6)
    some = model.forecast(frame[frame["unique_id"].isin(["c", "b"])]).set_index("unique_id")
    pd.testing.assert_frame_equal(some, expected.loc[["b", "c"]], rtol=1e-6)


def test_each_series_is_scaled_by_itself_where_the_training_did_so(tmp_path):
    frame = panel(40)
    model = fitted(tmp_path, frame, series_column="unique_id", scale_by="series")
    table = model.forecast(frame).set_index("unique_id")["forecast"]
    for number, (name, part) in enumerate(frame.groupby("unique_id")):
        seen = part["y"].to_numpy()[:20]  # of forty rows two of four parts train, their last fifth only to stop
        center, scale = (model.scaling.get_buffer(f"target_{of}")[number].item() for of in ("center", "scale"))
        assert seen.min() < center < seen.max()
        assert scale < seen.max() - seen.min()
        assert abs(table[name] - center) < 3 * scale


def test_a_series_that_has_no_scaling_is_named_and_forecast_where_one_serves_all(tmp_path):
    frame = panel(40)
    new = frame[frame["unique_id"] == "a"].assign(unique_id="z")
    (tmp_path / "own").mkdir()
    own = fitted(tmp_path / "own", frame, series_column="unique_id", scale_by="series")
    with pytest.raises(ConfigError, match=r"series z was not among .* train with scale_by: global"):
        own.forecast(new)
    with pytest.warns(UserWarning, match=r"not forecast: series z was not among"):
        some = own.forecast(pd.concat([new, frame]))
    pd.testing.assert_frame_equal(some, own.forecast(frame))
    model = fitted(tmp_path, frame, series_column="unique_id")
    table = model.forecast(pd.concat([frame, new])).set_index("unique_id")["forecast"]
    assert table["z"] == pytest.approx(table["a"])


def test_series_that_cannot_be_forecast_do_not_stop_the_others(tmp_path):
    frame = panel(40)
    model = fitted(tmp_path, frame, series_column="unique_id")
    expected = model.forecast(frame)
    short = frame[frame["unique_id"] == "a"].assign(unique_id="short").iloc[-3:]
    empty = frame[frame["unique_id"] == "a"].assign(unique_id="empty", y=np.nan)
    with pytest.warns(UserWarning, match=r"not forecast: series short has 3 rows, fewer than the lookback of 4"):
        found = model.forecast(pd.concat([short, frame]))
    pd.testing.assert_frame_equal(found, expected)
    with pytest.warns(UserWarning, match=r"left out, for the targets \(y\) have no value at all: series empty"):
        found = model.forecast(pd.concat([empty, frame]))
    pd.testing.assert_frame_equal(found, expected)


def test_more_series_than_are_taken_together_are_all_forecast(tmp_path, monkeypatch):
    frame = panel(40)
    model = fitted(tmp_path, frame, series_column="unique_id")
    expected = model.forecast(frame)
    monkeypatch.setattr(network, "WINDOWS_IN_A_BATCH", 2)
    pd.testing.assert_frame_equal(model.forecast(frame), expected, rtol=1e-6)


# ---- what is refused ----


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.drop(columns="x"), "unknown column x; the data have ds, y, price"),
        (lambda frame: frame.drop(columns="ds"), "unknown column ds"),
        (lambda frame: frame.iloc[:3], "series series has 3 rows, fewer than the lookback of 4"),
        (lambda frame: frame.iloc[:0], "expected at least one row"),
        (lambda frame: frame.assign(x=["a"] * 40), "column x: expected a number, got 'a'"),
        (lambda frame: frame.assign(y=np.nan), r"the targets \(y\) have no value at all"),
        (lambda frame: frame.drop(index=[30]), "values are missing"),
        (lambda frame: frame.iloc[::2], "values are missing|too fine"),
    ],
)
def test_a_frame_that_cannot_be_used_is_refused(tmp_path, change, words):
    model = fitted(tmp_path, wide(40), features=["x", "y"])
    with pytest.raises(DataError, match=words):
        model.forecast(change(wide(40)))


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        ([], r"known in advance end at 2020-02-09 .*, but the forecast reaches to 2020-02-11 .*: append rows"),
        ([1.0], "known in advance end at 2020-02-10"),
        ([1.0, np.nan], "known in advance end at 2020-02-10"),
        ([np.nan, 1.0], "price is promised as known in advance, but has no value at 2020-02-10"),
    ],
)
def test_what_is_promised_as_known_and_missing_is_named(tmp_path, ahead, words):
    frame = wide(40)
    model = fitted(tmp_path, frame, known=["price"], horizon=2)
    after = pd.DataFrame({"ds": pd.date_range("2020-02-10", periods=len(ahead)), "price": ahead})
    with pytest.raises(DataError, match=words):
        model.forecast(pd.concat([frame, after]) if ahead else frame)
