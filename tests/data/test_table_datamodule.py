import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.errors import ConfigError, DataError

NAN = np.nan


def days(rows, start="2020-01-01", frequency="D"):
    """Column x holds the number of the row, column y a hundred more."""
    times = pd.date_range(start, periods=rows, freq=frequency)
    return pd.DataFrame({"ds": times, "x": np.arange(float(rows)), "y": 100 + np.arange(float(rows))})


@pytest.fixture
def written(tmp_path):
    """Writes a frame and gives the path of the file."""

    def write(frame, name="data.csv", **arguments):
        path = tmp_path / name
        if name.endswith(".csv"):
            frame.to_csv(path, index=False, **arguments)
        else:
            frame.to_parquet(path)
        return str(path)

    return write


@pytest.fixture
def module(written):
    """A data module of a frame that is written to a file."""

    def make(frame, **arguments):
        settings = {"lookback": 2, "splits": 3, "validation": "test"}
        return TableDataModule(written(frame), **{"fold": 1, **settings, **arguments})

    return make


def batches(data, name):
    """The batches of a range."""
    data.setup({"fit": "fit", "validation": "validate"}.get(name, name))
    return list(getattr(data, {"fit": "train", "validation": "val"}.get(name, name) + "_dataloader")())


def targets(data, name):
    """The rows of the targets that are scored, in order."""
    return sorted(int(y) - 100 for batch in batches(data, name) for y in batch.target[batch.weight > 0].tolist())


def window(data, origin, name="fit"):
    """The window of one series that ends at a row, time by features."""
    for batch in batches(data, name):
        for index, history in zip(batch.index[:, -1].tolist(), batch.history, strict=True):
            if index == origin:
                return history
    raise AssertionError(f"no window ends at row {origin}")


# ---- files ----


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
def test_a_wide_file_is_one_series(written, name):
    data = TableDataModule(
        written(days(40), name), fold=1, features=["x", "y"], lookback=2, splits=3, validation="test"
    )
    assert data.table.name == "series"
    assert data.table.frequency == "D"
    assert data.schema["features"] == ["x", "y"]
    assert data.schema["targets"] == ["y"]
    assert targets(data, "fit") == list(range(2, 10))
    assert targets(data, "test") == list(range(10, 20))
    assert window(data, 5).tolist() == [[4, 104], [5, 105]]


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
def test_a_long_file_is_a_panel(written, name):
    long = pd.concat([days(40).assign(unique_id="b"), days(30, "2020-01-05").assign(unique_id="a", x=7.0)])
    data = TableDataModule(
        written(long, name), series_column="unique_id", features=["x"], lookback=2, splits=3, validation="test"
    )
    assert data.panel.names == ["b", "a"]
    assert data.rows.first.tolist() == [0, 4]
    assert data.rows.stop.tolist() == [40, 34]
    assert {batch.series.unique().numel() for batch in batches(data, "test")} <= {1, 2}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_does_not_matter(written, separator):
    data = TableDataModule(written(days(40), sep=separator), fold=1, lookback=2, splits=3, validation="test")
    assert targets(data, "test") == list(range(10, 20))


def test_columns_have_any_names_and_any_order(written):
    frame = days(40).rename(columns={"ds": "Tag", "y": "Last in GWh", "x": "Wind"})[["Wind", "Last in GWh", "Tag"]]
    data = TableDataModule(
        written(frame), targets=["Last in GWh"], features=["Wind"], time_column="Tag", name="grid", splits=3, lookback=2
    )
    assert data.table.name == "grid"
    assert data.schema["recipe"]["frequency"] == "D"
    assert targets(data, "test") == list(range(30, 40))


def test_only_the_targets_are_inputs_unless_more_are_named(module):
    assert module(days(40)).schema["features"] == ["y"]
    assert module(days(40), features=[], calendar=["day_of_week"]).schema["features"] == [
        "day_of_week_sin",
        "day_of_week_cos",
    ]


def test_start_and_end_cut_the_rows_that_are_used(module):
    data = module(days(60), start="2020-01-11", end="2020-02-19")
    assert data.table.times[[0, -1]].tolist() == [pd.Timestamp("2020-01-11"), pd.Timestamp("2020-02-19")]
    with pytest.raises(DataError, match=r"no row of the data lies within start and end; their times are 2020-01-01"):
        _ = module(days(60), start="2021-01-01").tables
    with pytest.raises(ConfigError, match="start, end: expected times such as 2020-01-01"):
        _ = module(days(60), start="2020-01-11T00:00Z").tables


def test_behind_the_end_only_what_is_known_in_advance_is_read(module):
    frame = days(60).assign(price=np.arange(60.0) ** 2, open=True, area="7")
    frame.loc[52, "x"] = NAN
    settings = {"known": ["price", "twice"], "features": ["y", "x"], "static": ["area"], "end": "2020-02-19"}
    data = module(frame, derive={"twice": {"price": 2}}, horizon=4, **settings)
    assert data.table.times[[0, -1]].tolist() == [pd.Timestamp("2020-01-01"), pd.Timestamp("2020-02-19")]
    assert data.table.values["y"].tolist() == [*range(100, 150)]
    data.setup("predict")
    (batch,) = list(data.predict_dataloader())
    assert batch.known[0, 0].tolist() == [[row**2, 2 * row**2] for row in range(50, 54)]
    assert batch.last.tolist() == [[[149.0]]]


def test_a_series_that_begins_after_the_end_is_no_series_of_the_panel(module):
    frame = pd.concat([days(60).assign(unique_id="a"), days(9, "2020-02-25").assign(unique_id="b")])
    data = module(frame.assign(price=1.0), series_column="unique_id", known=["price"], end="2020-02-19")
    assert [table.name for table in data.tables] == ["a"]
    assert len(data.table.times) == 50


def test_rows_behind_the_end_change_nothing_that_is_trained_or_scored(module):
    frame = days(60).assign(price=np.arange(60.0))
    other = frame.copy()
    other.loc[50:, ["y", "x"]] = -1e6
    for part in ("fit", "test"):
        found = [batches(module(each, known=["price"], end="2020-02-19"), part) for each in (frame, other)]
        for one, two in zip(*found, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(
    ("frequency", "step"), [("W-MON", "W-MON"), ("MS", "MS"), ("QE-DEC", "QE-DEC"), ("D", ""), ("h", ""), ("B", "")]
)
def test_a_calendar_is_of_all_days_of_a_step_where_it_is_longer_than_a_day(module, frequency, step):
    assert module(days(60, frequency=frequency), calendar=["day_of_year"]).schema["step"] == step
    assert module(days(60, frequency=frequency)).schema["step"] == ""


def hours_in_utc(rows=200, zone="UTC"):
    return days(rows, "2023-09-30", "h").assign(ds=lambda frame: frame["ds"].dt.tz_localize("UTC").dt.tz_convert(zone))


def test_holidays_of_times_in_utc_are_those_of_the_zone_that_is_named(module):
    data = module(hours_in_utc(), holidays="DE", time_zone="Europe/Berlin")
    on = data.times[data.rows.known[:, 0].numpy() == 1]
    assert on.tolist() == pd.date_range("2023-10-02 22:00", "2023-10-03 21:00", freq="h", tz="UTC").tolist()


@pytest.mark.parametrize("zone", ["UTC", "Etc/GMT+5", "+02:00"])
def test_holidays_of_times_in_utc_are_refused_where_no_zone_is_named(written, zone):
    path = written(hours_in_utc(zone=zone), "hours.parquet")
    with pytest.raises(ConfigError, match=r"the zone of DE, --data.time_zone Europe/Berlin, or --data.time_zone"):
        _ = TableDataModule(path, holidays="DE", lookback=2).schema
    assert TableDataModule(path, calendar=["hour"], lookback=2).schema["time_zone"] is None


def test_holidays_of_a_regions_own_clocks_need_no_zone(written):
    path = written(hours_in_utc(zone="Europe/Berlin"), "hours.parquet")
    data = TableDataModule(path, holidays="DE", lookback=2)
    assert set(data.times[data.rows.known[:, 0].numpy() == 1].day) == {3}


def test_a_zone_of_times_that_have_none_is_refused(module):
    with pytest.raises(DataError, match="time_zone is Europe/Berlin, but the times, such as 2020-01-01 00:00:00, have"):
        _ = module(days(60), time_zone="Europe/Berlin").tables
    with pytest.raises(ConfigError, match="expected a zone such as Europe/Berlin or UTC, got 'Berlin'"):
        module(days(60), time_zone="Berlin")


def test_start_cuts_a_beginning_whose_cells_are_no_numbers_and_lines_are_still_those_of_the_file(module):
    frame = days(60).astype({"y": object})
    frame.loc[3, "y"] = "off"
    assert len(module(frame, start="2020-01-05").table.times) == 56
    frame.loc[50, "y"] = "off"
    with pytest.raises(DataError, match=r"data.csv, line 52, column y"):
        _ = module(frame, start="2020-01-05").tables


@pytest.mark.parametrize("frequency", ["D", "h", "MS", "ME", "W-SUN", "B", "15min"])
def test_the_frequency_is_found_and_gaps_become_rows(module, frequency):
    frame = days(80, frequency=frequency)
    data = module(frame.drop([30, 31, 55]), missing="ffill")
    assert data.table.frequency == data.schema["recipe"]["frequency"] == frequency
    assert data.table.times.tolist() == frame["ds"].tolist()
    assert np.flatnonzero(~data.table.observed["y"]).tolist() == [30, 31, 55]
    assert data.times[-1] == pd.date_range(frame["ds"].iloc[-1], periods=2, freq=frequency)[1]


def test_a_derived_target_is_the_signed_sum_of_columns(module):
    frame = days(40).assign(wind=3.0, solar=0.5)
    derive = {"imbalance": {"y": 1, "wind": -1, "solar": -1}}
    data = module(frame, targets=["imbalance"], features=["imbalance", "wind"], derive=derive)
    assert data.table.values["imbalance"].tolist() == (frame["y"] - 3.5).tolist()
    assert window(data, 5).tolist() == [[100.5, 3], [101.5, 3]]


# ---- missing values ----


def gapped():
    """y is missing on rows 6 to 8, x on rows 4 to 7."""
    frame = days(40)
    frame.loc[6:8, "y"] = NAN
    frame.loc[4:7, "x"] = NAN
    return frame


def test_missing_values_are_refused_unless_a_policy_is_chosen(module):
    with pytest.raises(DataError, match=r"values are missing, of 40 rows: x \(4\), y \(3\); the first is in row 4"):
        _ = module(gapped(), features=["x", "y"]).tables


@pytest.mark.parametrize(
    ("missing", "lookback"), [("ffill", 3), ("interpolate", 3), ("mask", 3), ("ffill", "full"), ("mask", "full")]
)
def test_filled_targets_are_not_scored_whatever_the_policy(module, missing, lookback):
    data = module(gapped(), features=["x", "y"], missing=missing, lookback=lookback)
    first = 1 if lookback == "full" else 3
    assert targets(data, "fit") == [row for row in range(first, 10) if row not in (6, 7, 8)]


def test_forward_filling_holds_the_last_value(module):
    data = module(gapped(), features=["x", "y"], missing="ffill", lookback=5)
    assert window(data, 8).tolist() == [[3, 104], [3, 105], [3, 105], [3, 105], [8, 105]]


def test_interpolation_shows_no_value_from_behind_the_origin(module):
    frame = days(40)
    frame.loc[4:7, "x"] = NAN
    frame.loc[5:6, "y"] = NAN
    data = module(frame, features=["x", "y"], missing="interpolate", lookback=6)
    # until row 8 nothing is known of x but row 3; the gap in y closes at row 7
    assert window(data, 6).tolist() == [[1, 101], [2, 102], [3, 103], [3, 104], [3, 104], [3, 104]]
    assert window(data, 7).tolist() == [[2, 102], [3, 103], [3, 104], [3, 105], [3, 106], [3, 107]]
    assert window(data, 8).tolist() == [[3, 103], [4, 104], [5, 105], [6, 106], [7, 107], [8, 108]]
    (last,) = [batch.last[batch.index == 6] for batch in batches(data, "fit") if 6 in batch.index]
    assert last.flatten().tolist() == [104]  # persistence knows no more than the network


def test_interpolation_and_sequences_of_every_step_exclude_each_other(module):
    with pytest.raises(ConfigError, match="every step in the gap is an origin that must not see that"):
        module(gapped(), missing="interpolate", lookback="full")


def test_a_mask_tells_the_network_what_was_observed(module):
    data = module(gapped(), features=["x", "y"], missing="mask", lookback=3, calendar=["day_of_week"])
    names = ["x", "y", "x_observed", "y_observed", "day_of_week_sin", "day_of_week_cos"]
    assert data.schema["features"] == names
    assert window(data, 8)[:, :4].tolist() == [[3, 105, 0, 0], [3, 105, 0, 0], [8, 105, 1, 0]]


def test_what_a_mask_filled_in_does_not_count_in_the_scaling(module):
    frame = gapped()
    frame.loc[:1, "x"] = NAN
    data = module(frame, features=["x", "y"], missing="mask", fold=2)  # rows 0 .. 19 train
    for column, number in (("x", 0), ("y", 1)):
        fitted = StandardScaler().fit(frame[column].to_numpy()[:20, None])  # which leaves missing values out
        np.testing.assert_allclose(data.scaling.feature_center[0, number], fitted.mean_[0], rtol=1e-6)
        np.testing.assert_allclose(data.scaling.feature_scale[0, number], fitted.scale_[0], rtol=1e-6)
    y = frame["y"][:20].dropna()
    np.testing.assert_allclose(data.scaling.target_center[0], [y.mean()], rtol=1e-6)


def test_a_mask_takes_a_column_that_begins_late_and_one_that_never_does(module):
    frame = days(40).assign(late=np.where(np.arange(40) < 15, NAN, 5.0), never=NAN)
    data = module(frame, features=["y", "late", "never"], missing="mask", fold=2)
    assert window(data, 15)[:, 1:].tolist() == [[0, 0, 1, 0, 0], [5, 0, 1, 1, 0]]
    assert data.scaling.feature_center[0, 2] == 0
    assert data.scaling.feature_scale[0, 2] == 1
    assert all(torch.isfinite(buffer).all() for buffer in data.scaling.state_dict().values())


# ---- what is known in advance ----


def test_known_columns_are_there_in_the_past_and_at_the_steps_ahead(module):
    frame = days(43).assign(price=lambda frame: 10 * frame["x"])
    frame.loc[40:, "y"] = NAN
    data = module(frame, known=["price"], calendar=["day_of_week"], holidays="DE", horizon=3)
    known = ["price", "day_of_week_sin", "day_of_week_cos", "holiday"]
    assert data.schema["known"] == known
    assert data.schema["features"] == ["y", *known]
    assert len(data.table.times) == 40
    assert targets(data, "test")[-1] == 19
    assert window(data, 5)[:, 1].tolist() == [40, 50]
    (batch,) = batches(data, "predict")
    assert batch.index.tolist() == [[39]]
    assert batch.known[0, 0, :, 0].tolist() == [400, 410, 420]
    new_year = data.panel.rows.known[0, 3].item()
    assert new_year == 1


def test_the_static_covariates_of_a_panel_are_given_with_each_sample(module):
    long = pd.concat([days(40).assign(id="a", area=2.5), days(40).assign(id="b", area=4.0)])
    data = module(long, series_column="id", static=["area"])
    for batch in batches(data, "test"):
        assert batch.static.flatten().tolist() == [[2.5, 4.0][number] for number in batch.series.tolist()]


# ---- folds ----


def test_cutoffs_are_the_first_test_rows_of_the_folds(module):
    cutoffs = ["2020-01-21", "2020-01-26", "2020-02-05"]
    found = [module(days(40), cutoffs=cutoffs, fold=fold) for fold in (1, 2, 3)]
    assert [targets(data, "test") for data in found] == [list(range(20, 25)), list(range(25, 35)), list(range(35, 40))]
    assert [targets(data, "fit") for data in found] == [list(range(2, stop)) for stop in (20, 25, 35)]
    assert [data.splits for data in found] == [3, 3, 3]
    with pytest.raises(ConfigError, match="fold must be a number from 1 to 3"):
        _ = module(days(40), cutoffs=cutoffs, fold=4).ranges


def test_a_cutoff_within_a_gap_is_the_next_row(written):
    data = TableDataModule(
        written(days(40, frequency="W-SUN")), lookback=2, cutoffs=["2020-03-04"], validation="test", missing="ffill"
    )
    assert data.times[data.ranges.test.start] == pd.Timestamp("2020-03-08")


def test_the_test_range_after_a_cutoff_can_be_shorter(module):
    data = module(days(40), cutoffs=["2020-01-21", "2020-01-31"], test_size=4)
    assert targets(data, "test") == [20, 21, 22, 23]
    assert targets(module(days(40), cutoffs=["2020-02-08"], test_size=9), "test") == [38, 39]


def test_the_training_window_slides_if_it_has_a_size(module):
    data = module(days(40), fold=3, train_size=12)  # n = 30
    assert targets(data, "fit") == list(range(20, 30))
    assert data.scaling.target_center.tolist() == [[123.5]]
    assert data.reference.variance.tolist() == [[np.arange(18, 30).var()]]
    assert window(data, 29, "test").tolist() == [[128], [129]]
    assert targets(module(days(40), fold=1, train_size=30), "fit") == list(range(2, 10)), "there are no more"


def test_a_sliding_window_leaves_a_gap_and_a_tail_where_they_are(module):
    data = module(days(40), fold=3, train_size=12, gap=5, validation="tail", val_size=4)
    assert (data.ranges.train_start, data.ranges.train_stop) == (13, 25)
    assert targets(data, "fit") == list(range(15, 21))
    assert targets(data, "validation") == list(range(21, 25))
    assert targets(data, "test") == list(range(30, 40))
    assert data.scaling.target_center.tolist() == [[100 + np.arange(13, 21).mean()]]


def test_the_tail_has_a_number_of_rows_or_a_share(module):
    assert targets(module(days(40), fold=3, validation="tail", val_size=7), "validation") == list(range(23, 30))
    assert targets(module(days(40), fold=3, validation="tail", val_fraction=0.25), "validation") == list(range(23, 30))


def test_a_stride_thins_out_the_training_windows_and_no_others(module):
    data = module(days(40), fold=3, stride=4)
    assert targets(data, "fit") == list(range(2, 30, 4))
    assert targets(data, "test") == list(range(30, 40))


# ---- published series ----


def test_the_airline_series_is_part_of_the_package():
    data = TableDataModule(dataset="airline", targets=["passengers"], lookback=24, horizon=12, cutoffs=["1958-01-01"])
    data.prepare_data()
    assert (data.table.name, data.table.frequency, len(data.table.times)) == ("airline", "MS", 144)
    assert data.table.values["passengers"].iloc[[0, -1]].tolist() == [112, 432]
    assert data.ranges.test == range(108, 144)
    assert data.times[-1] == pd.Timestamp("1961-12-01")


@pytest.mark.real
def test_the_standard_split_of_etth1_is_a_cutoff_an_end_and_a_tail(real_data, monkeypatch):
    monkeypatch.setenv("FORECASTLAB_DATA", str(real_data))
    whole = TableDataModule(dataset="etth1", targets=["OT"], horizon=24, lookback=336)
    assert (whole.table.name, whole.table.frequency, len(whole.table.times)) == ("etth1", "h", 17420)
    data = TableDataModule(
        dataset="etth1",
        targets=["OT"],
        horizon=24,
        lookback=336,
        cutoffs=["2017-10-24"],
        test_size=2880,
        val_size=2880,
    )
    month = 30 * 24
    assert data.ranges.fit == range(336, 12 * month)
    assert data.ranges.validation == range(12 * month, 16 * month)
    assert data.ranges.test == range(16 * month, 20 * month)
    raw = pd.read_csv(real_data / "ett" / "ETTh1.csv")["OT"].to_numpy()
    fitted = StandardScaler().fit(raw[: 12 * month, None])
    np.testing.assert_allclose(data.scaling.target_center[0], fitted.mean_, rtol=1e-6)
    np.testing.assert_allclose(data.scaling.target_scale[0], fitted.scale_, rtol=1e-6)
    origins = torch.cat([batch.index.flatten() for batch in batches(data, "test")])
    assert origins.tolist() == list(range(16 * month - 1, 20 * month - 24))


@pytest.mark.real
@pytest.mark.parametrize(("horizon", "origins"), [(7, 359), (28, 338)])
def test_the_test_year_of_electricity_has_the_origins_of_its_horizons(real_data, monkeypatch, horizon, origins):
    monkeypatch.setenv("FORECASTLAB_DATA", str(real_data))
    data = TableDataModule(
        dataset="electricity",
        targets=["imbalance"],
        features=["imbalance", "Consumption", "Wind"],
        derive={"imbalance": {"Consumption": 1, "Wind": -1, "Solar": -1}},
        missing="mask",
        calendar=["day_of_week", "day_of_year"],
        holidays="DE",
        horizon=horizon,
        lookback=28,
        cutoffs=["2017-01-01"],
    )
    raw = pd.read_csv(real_data / "electricity" / "opsd_germany_daily.csv", parse_dates=["Date"], index_col="Date")
    imbalance = raw["Consumption"] - raw["Wind"] - raw["Solar"]
    assert data.table.times[0] == imbalance.first_valid_index()
    found = data.table.values["imbalance"].where(data.table.observed["imbalance"])
    np.testing.assert_allclose(found, imbalance[found.index[0] :])
    assert sum(len(batch.index) for batch in batches(data, "test")) == origins


def test_a_file_takes_the_place_of_a_published_one(tmp_path):
    newer = pd.DataFrame({"month": pd.date_range("1961-01-01", periods=40, freq="MS"), "passengers": np.arange(40.0)})
    newer.to_csv(tmp_path / "newer.csv", index=False)
    data = TableDataModule(str(tmp_path / "newer.csv"), "airline", targets=["passengers"])
    assert data.table.name == "airline"
    assert data.table.values["passengers"].tolist() == newer["passengers"].tolist()
    assert data.table.times[0] == pd.Timestamp("1961-01-01")


# ---- settings ----


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "either path, a file, folder or frame, or dataset, one of airline, electricity, etth1"),
        ({"dataset": "etth2"}, "dataset must be one of airline, electricity, etth1, ozone, got 'etth2'"),
        ({"path": "a.csv", "targets": []}, "targets: expected at least one column"),
        ({"path": "a.csv", "targets": ["y", "y"]}, "targets: y is given twice"),
        ({"path": "a.csv", "features": ["x", "y", "x"]}, "inputs, .*: x is given twice"),
        ({"path": "a.csv", "features": ["x"], "known": ["x"]}, "inputs, .*: x is given twice"),
        ({"path": "a.csv", "features": ["x"], "static": ["x"]}, "inputs, .*: x is given twice"),
        ({"path": "a.csv", "known": ["holiday"], "holidays": "DE"}, "inputs, .*: holiday is given twice"),
        ({"path": "a.csv", "known": ["hour_sin"], "calendar": ["hour"]}, "inputs, .*: hour_sin is given twice"),
        (
            {"path": "a.csv", "features": ["x", "x_observed"], "missing": "mask"},
            "inputs, .*: x_observed is given twice",
        ),
        (
            {"path": "a.csv", "features": ["x"], "known": ["y"]},
            "y is a target: it cannot be known in advance or static",
        ),
        ({"path": "a.csv", "features": ["x"], "static": ["y"]}, "y is a target: it cannot be known"),
        ({"path": "a.csv", "derive": {"z": {}}}, "derive.z: expected columns and their factors"),
        ({"path": "a.csv", "start": "soon"}, "start: expected a time such as 2017-01-01, got 'soon'"),
        ({"path": "a.csv", "end": "soon"}, "end: expected a time such as 2017-01-01, got 'soon'"),
        ({"path": "a.csv", "cutoffs": ["soon"]}, "cutoffs: expected a time such as 2017-01-01, got 'soon'"),
        ({"path": "a.csv", "cutoffs": ["2017-10-01", "2017-9-01"]}, "cutoffs must increase, got 2017-10-01, 2017-9-01"),
        ({"path": "a.csv", "cutoffs": ["2017-01-01", "2017-01-01"]}, "cutoffs must increase"),
        ({"path": "a.csv", "stride": 0}, "stride must be a whole number, 1 or more, got 0"),
        ({"path": "a.csv", "stride": 2, "lookback": "full"}, "stride is the distance of windows"),
        ({"path": "a.csv", "scale_by": "row"}, "scale_by must be one of global, series, got 'row'"),
        ({"path": "a.csv", "train_size": 0}, "train_size must be a number of rows, 1 or more, got 0"),
        ({"path": "a.csv", "val_size": 0}, "val_size must be a number of rows, 1 or more, got 0"),
        ({"path": "a.csv", "holidays": "XX"}, "holidays: there are none for 'XX'"),
    ],
)
def test_an_impossible_setting_is_refused_before_the_file_is_read(arguments, words):
    with pytest.raises(ConfigError, match=words) as caught:
        TableDataModule(**arguments)
    assert len(str(caught.value).splitlines()) <= 10


def test_months_without_leading_zeros_are_ordered_as_times(module):
    data = module(days(400), cutoffs=["2020-9-01", "2020-10-01"], fold=2)
    assert data.times[data.ranges.test.start] == pd.Timestamp("2020-10-01")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"missing": "drop"}, "missing must be one of error, ffill, interpolate, mask, got 'drop'"),
        ({"cutoffs": ["2019-01-01"]}, "cutoffs: 2019-01-01 is not within the data, 2020-01-01 .* 2020-02-09"),
        ({"cutoffs": ["2020-01-01"]}, "cutoffs: 2020-01-01 is not within the data"),
        ({"cutoffs": ["2020-02-10"]}, "cutoffs: 2020-02-10 is not within the data"),
        ({"cutoffs": ["2020-01-20 06:00", "2020-01-20 07:00"]}, "cutoffs: fold 1 has no row to test on"),
        ({"cutoffs": ["2020-01-20T00:00Z"]}, "cutoffs: expected times such as 2020-01-01 00:00:00, got '2020-01-20T00"),
        ({"cutoffs": ["2020-01-05"], "gap": 9}, "fold 1 trains on rows 0 .. -6"),
        ({"train_size": 2}, "the first row that can be a target is 10"),
        ({"fold": 3, "validation": "tail", "val_size": 28}, "of which val_size=28 leaves none to fit"),
        ({"frequency": "fortnight"}, "expected a frequency of positive length"),
    ],
)
def test_a_setting_that_does_not_fit_the_rows_is_refused(module, arguments, words):
    with pytest.raises((ConfigError, DataError), match=words) as caught:
        module(days(40), **arguments).setup("fit")
    assert len(str(caught.value).splitlines()) <= 10


# ---- bad input ----


def bad(change):
    frame = days(40).astype({"y": object, "ds": str})
    change(frame)
    return frame


@pytest.mark.parametrize(
    ("frame", "arguments", "words"),
    [
        (days(40), {"targets": ["z"]}, "unknown column z; the data have ds, x, y"),
        (days(40), {"time_column": "time"}, "unknown column time; the data have ds, x, y"),
        (bad(lambda f: f.__setitem__("y", ["?", *f["y"][1:]])), {}, "data.csv, line 2, column y: expected a number"),
        (pd.concat([days(20), days(20)]), {}, "20 of 40 rows have the time of another row, such as 2020-01-01"),
        (days(40).iloc[[0, 1, 1, 2]], {}, "1 of 4 rows have the time of another row, such as 2020-01-02 00:00:00"),
        (days(40), {"frequency": "h"}, "the frequency 'h' is too fine: all rows are 24 of its steps apart"),
        (days(40), {"frequency": "MS"}, "row 1 is at 2020-01-02 00:00:00, and 38 of 40 rows are not on it"),
        (
            pd.concat([days(30, frequency="h"), days(9, "2020-02-01")]),
            {},
            "the frequency changes: most rows follow each other by 'h'",
        ),
        (
            days(40).assign(y=5.0),
            {},
            "target y never changes: it is 5.0 throughout series series; there is nothing",
        ),
        (days(40).assign(y=np.inf), {}, "data.csv, line 2, column y: expected a finite number"),
        (
            days(40).assign(k=1.0).iloc[:-1].assign(k=[1.0] * 20 + [NAN] * 19),
            {"known": ["k"]},
            "k is promised as known",
        ),
        (days(40).assign(s=range(40)), {"static": ["s"]}, "static covariate s must have one value in a series, got 40"),
        (days(3), {"lookback": 5}, "3 rows cannot be split"),
        (days(1), {}, "1 rows do not tell the frequency"),
        (days(0), {}, "expected at least one row of data"),
    ],
)
def test_bad_input_is_refused_clearly(module, frame, arguments, words):
    with pytest.raises((DataError, ConfigError), match=words) as caught:
        module(frame, **arguments).setup("fit")
    assert len(str(caught.value).splitlines()) <= 10


def test_a_series_shorter_than_lookback_and_horizon_says_what_it_lacks(module):
    with pytest.raises(ConfigError, match=r"trains on rows 0 .. 9, but the first row that can be a target is 30"):
        module(days(40), lookback=30).setup("fit")
    with pytest.raises(ConfigError, match="the test range of fold 1 has 10 target rows, which leave no"):
        module(days(40), horizon=12, lookback=1).setup("test")
    with pytest.raises(DataError, match="series series has 40 rows, fewer than the lookback of 50"):
        module(days(40), lookback=50).predict_dataloader()


def test_a_constant_series_of_a_panel_is_no_error_unless_all_are(module):
    long = pd.concat([days(40).assign(id="a"), days(40).assign(id="b", y=5.0)])
    assert len(module(long, series_column="id").tables) == 2
    with pytest.raises(
        DataError, match=r"target y never changes: it is 5\.0 throughout series a, and constant in the others"
    ):
        _ = module(long.assign(y=5.0), series_column="id").tables


def test_covariates_known_in_advance_may_end_with_the_targets_while_training(module):
    data = module(days(40).assign(k=1.0), known=["k"], horizon=2)
    assert targets(data, "test")
    with pytest.raises(DataError, match="series series: the covariates known in advance end at 2020-02-09"):
        data.predict_dataloader()


# ---- size ----


def test_nothing_is_made_for_each_sample_but_its_place(module):
    """Windows are cut when they are asked for: a sample costs four numbers, whatever the lookback and horizon."""
    rows = 20_000
    for lookback, horizon in ((2, 1), (500, 100)):
        data = module(days(rows, frequency="min"), features=["x", "y"], lookback=lookback, horizon=horizon, fold=3)
        data.setup("fit")
        windows = data.train_dataloader().dataset
        held = sum(part.nbytes for part in vars(windows).values() if isinstance(part, torch.Tensor))
        assert held <= 32 * len(windows) + 8 * horizon
        # eight bytes for each of two features and a target, one for its being observed, four for its time
        tensors = [part for part in vars(data.rows).values() if isinstance(part, torch.Tensor)]
        assert sum(part.nbytes for part in tensors) <= (8 * 3 + 1 + 4) * (rows + horizon) + 64


def test_gaps_that_are_interpolated_cost_twelve_bytes_a_feature_more(module):
    frame = days(20_000, frequency="min")
    frame.loc[5:8, "x"] = NAN
    held = {}
    for missing in ("ffill", "interpolate"):
        data = module(frame, features=["x", "y"], missing=missing)
        held[missing] = sum(part.nbytes for part in vars(data.rows).values() if isinstance(part, torch.Tensor))
    assert held["interpolate"] - held["ffill"] == (20_000 + 1) * 2 * 12


def test_the_last_fold_is_the_default_and_counts_splits_or_cutoffs():
    assert TableDataModule(dataset="airline", targets=["passengers"], splits=3).fold == 3
    cutoffs = ["1957-01-01", "1959-01-01"]
    assert TableDataModule(dataset="airline", targets=["passengers"], cutoffs=cutoffs).fold == 2
    assert TableDataModule(dataset="airline", targets=["passengers"], cutoffs=cutoffs, fold=1).fold == 1


@pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")
class TestKnownColumnsWithoutARow:
    """What is known in advance of steps that have no row."""

    @staticmethod
    def module(**settings):
        frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=80), "y": np.arange(80) % 7.0})
        frame = frame.assign(promotion=1.0, price=np.arange(80.0), kind=np.where(frame.index % 2, "a", "b"))
        frame = frame.drop(index=[20, 21, 40])
        known = {"known": ["promotion", "price"], "missing": "ffill", "lookback": 3, "test_size": 5, "splits": 2}
        return TableDataModule(frame, **{**known, **settings})

    def test_a_column_holds_its_last_value_or_is_what_fill_says(self):
        data = self.module(fill={"promotion": 0, "price": "ffill"})
        values = data.table.values
        assert values["promotion"].iloc[[19, 20, 21, 22, 40]].tolist() == [1, 0, 0, 1, 0]
        assert values["price"].iloc[[19, 20, 21, 22, 40]].tolist() == [19, 19, 19, 22, 39]
        assert any(
            "promotion is known in advance, but 3 steps" in note and "it is 0 there" in note for note in data.notes
        )

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"fill": {"y": 0}}, "y is not known in advance"),
            ({"fill": {"price": "mean"}}, "expected a number"),
            ({"fill": {"price": True}}, "expected a number"),
            ({"fill": {"kind": 0}, "known": ["kind"]}, "kind holds text"),
            ({"fill": {"both": 0}, "known": ["both"], "derive": {"both": {"price": 1, "promotion": 1}}}, "is derived"),
        ],
    )
    def test_what_cannot_be_filled_so_is_refused(self, settings, said):
        with pytest.raises(ConfigError, match=said):
            _ = self.module(**settings).tables
