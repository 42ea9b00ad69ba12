from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forecastlab.backbones.lstm import LSTM
from forecastlab.data.calendar import calendar_covariates
from forecastlab.data.ozone_datamodule import OzoneDataModule
from forecastlab.errors import ConfigError, DataError
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, counting, noise, trainer

NAN = np.nan
LOADERS = {"fit": "train", "validation": "val", "test": "test", "predict": "predict"}


def batches(data, name):
    """The batches of a range."""
    data.setup({"fit": "fit", "validation": "validate"}.get(name, name))
    return list(getattr(data, f"{LOADERS[name]}_dataloader")())


def origins(data, name):
    """The scored origins of a range, in order, and all rows that its histories hold."""
    found, seen = [], set()
    for batch in batches(data, name):
        found += batch.index[batch.weight.flatten(2).any(2)].tolist()
        seen |= set(batch.history[..., 0].flatten().tolist())
    return sorted(found), sorted(seen)


def targets(data, name):
    """The rows of the targets that are scored, in order."""
    return sorted(
        int(value) - 100 for batch in batches(data, name) for value in batch.target[batch.weight > 0].tolist()
    )


# ---- the example of ten rows: three splits (n = 4, 6, 8, size 2), first fold ----


def test_ten_rows_with_windows_of_two():
    data = Series(counting(10))
    assert origins(data, "fit") == ([1, 2], [0, 1, 2])
    assert targets(data, "fit") == [2, 3]
    assert origins(data, "test") == ([3, 4], [2, 3, 4])
    assert targets(data, "test") == [4, 5]


def test_ten_rows_with_a_horizon_of_two():
    data = Series(counting(10), horizon=2)
    assert origins(data, "fit") == ([1], [0, 1])
    assert targets(data, "fit") == [2, 3]
    assert origins(data, "test") == ([3], [2, 3])
    assert targets(data, "test") == [4, 5]


def test_ten_rows_as_one_sequence():
    data = Series(counting(10), lookback="full")
    (train,) = batches(data, "fit")
    assert train.history[0, :, 0].tolist() == [0, 1, 2]
    assert train.index.tolist() == [[0, 1, 2]]
    assert train.target.flatten().tolist() == [101, 102, 103]
    assert train.last.flatten().tolist() == [100, 101, 102]
    assert train.weight.flatten().tolist() == [1, 1, 1]
    (test,) = batches(data, "test")
    assert test.history[0, :, 0].tolist() == [0, 1, 2, 3, 4]
    assert test.index.tolist() == [[3, 4]]
    assert test.target.flatten().tolist() == [104, 105]
    assert test.weight.flatten().tolist() == [1, 1]


def test_ten_rows_as_one_sequence_with_a_horizon_of_two():
    data = Series(counting(10), lookback="full", horizon=2)
    (train,) = batches(data, "fit")
    assert train.index.tolist() == [[0, 1]]
    assert train.history[0, :, 0].tolist() == [0, 1]
    assert train.target[0, :, :, 0].tolist() == [[101, 102], [102, 103]]
    (test,) = batches(data, "test")
    assert test.index.tolist() == [[3]]
    assert test.history[0, :, 0].tolist() == [0, 1, 2, 3]
    assert test.target[0, :, :, 0].tolist() == [[104, 105]]


@pytest.mark.parametrize("lookback", [2, "full"])
@pytest.mark.parametrize("horizon", [1, 2])
def test_the_scaler_and_the_reference_of_ten_rows_see_rows_0_to_3(lookback, horizon):
    data = Series(counting(10), lookback=lookback, horizon=horizon)
    assert data.scaling.feature_center.tolist() == [[1.5, 101.5]]  # the mean of 0 1 2 3
    assert data.scaling.target_center.tolist() == [[101.5]]
    np.testing.assert_allclose(data.scaling.target_scale.numpy(), [[np.sqrt(1.25)]], rtol=1e-7)
    assert [unit.tolist() for unit in data.reference] == [[[1.25]], [[1]], [[1]]]


@pytest.mark.parametrize(("fold", "n"), [(1, 4), (2, 6), (3, 8)])
@pytest.mark.parametrize("lookback", [1, 2, 3, "full"])
def test_ten_rows_in_every_fold(fold, n, lookback):
    data = Series(counting(10), fold=fold, lookback=lookback)
    first = 1 if lookback == "full" else lookback
    assert targets(data, "fit") == list(range(first, n))
    assert targets(data, "test") == [n, n + 1]
    assert data.scaling.target_center.tolist() == [[100 + (n - 1) / 2]]


# ---- what the example leaves open ----


def test_the_validation_tail_is_scored_apart_and_kept_from_the_scaler_but_not_from_the_reference():
    data = Series(counting(40), splits=3, fold=3, validation="tail", lookback=5)  # n = 30, size 10
    assert targets(data, "fit") == list(range(5, 25))
    assert targets(data, "validation") == list(range(25, 30))  # a fifth of the 25 targets
    assert origins(data, "validation")[1] == list(range(20, 29))  # the true past is carried in
    assert targets(data, "test") == list(range(30, 40))
    assert data.scaling.target_center.tolist() == [[112]]  # the mean of 100 .. 124
    np.testing.assert_allclose(data.reference.variance[0].numpy(), [np.arange(30).var()])


def test_validation_on_the_test_range_is_the_papers_protocol():
    data = Series(counting(40), splits=3, fold=1, lookback="full")
    assert targets(data, "validation") == targets(data, "test") == list(range(10, 20))


def test_fold_all_trains_on_every_row_and_has_nothing_to_test():
    data = Series(counting(40), fold="all", validation="tail", lookback=5)
    assert targets(data, "fit") + targets(data, "validation") == list(range(5, 40))
    np.testing.assert_allclose(data.reference.variance[0].numpy(), [np.arange(40).var()])
    with pytest.raises(ConfigError, match=r"fold: all trains on every row, so that none is left to test: .* crossval"):
        data.setup("test")


def test_a_cold_context_starts_at_the_first_row_of_the_range():
    data = Series(counting(40), splits=3, fold=1, lookback=3, context="cold")
    assert origins(data, "test") == (list(range(12, 19)), list(range(10, 19)))
    assert targets(data, "test") == list(range(13, 20))
    assert targets(data, "fit") == list(range(3, 10))
    full = Series(counting(40), splits=3, fold=1, lookback="full", context="cold")
    assert origins(full, "test") == (list(range(10, 19)), list(range(10, 19)))


def test_a_gap_between_training_and_test_belongs_to_neither():
    data = Series(counting(40), splits=3, fold=2, gap=4)
    assert targets(data, "fit") == list(range(2, 16))
    assert targets(data, "test") == list(range(20, 30))
    np.testing.assert_allclose(data.reference.variance[0].numpy(), [np.arange(16).var()])


@pytest.mark.parametrize("fold", [2, "all"])
@pytest.mark.parametrize("lookback", [3, "full"])
def test_prediction_is_from_the_last_row_whatever_the_fold(lookback, fold):
    data = Series(counting(40), fold=fold, validation="tail", lookback=lookback, horizon=2)
    (batch,) = batches(data, "predict")
    assert batch.index.tolist() == [[39]]
    assert batch.history[0, :, 0].tolist() == list(range(0 if lookback == "full" else 37, 40))
    assert batch.weight.sum() == 0
    assert torch.isfinite(batch.target).all()
    assert data.times[[40, 41]].tolist() == [pd.Timestamp("2020-02-10"), pd.Timestamp("2020-02-11")]


@pytest.mark.parametrize("lookback", [5, "full"])
def test_known_covariates_are_the_calendar_of_the_target_also_beyond_the_data(lookback):
    data = Series(counting(60, "h"), "h", lookback=lookback, horizon=4, calendar=["hour", "day_of_week"])
    expected = calendar_covariates(pd.date_range("2020-01-01", periods=64, freq="h"), ["hour", "day_of_week"])
    expected = torch.tensor(expected.to_numpy())
    assert data.schema["known"] == ["hour_sin", "hour_cos", "day_of_week_sin", "day_of_week_cos"]
    assert data.schema["features"] == ["x", "y", *data.schema["known"]]
    for name in ("fit", "test", "predict"):
        for batch in batches(data, name):
            time = batch.history.shape[1]
            for b, index in enumerate(batch.index.tolist()):
                for o, origin in enumerate(index):
                    assert torch.equal(batch.known[b, o], expected[origin + 1 : origin + 5])
                assert torch.equal(batch.history[b, :, 2:], expected[origin + 1 - time : origin + 1])
    assert origin == 59
    assert data.times[-1] == pd.Timestamp("2020-01-03 15:00")


def test_the_calendar_follows_the_dates_of_the_rows_and_not_their_numbers():
    raw = counting(20).iloc[[*range(8), *range(12, 20)]]  # 9 to 12 January are missing
    data = Series(raw, fold=2, calendar=["day_of_week"])
    (window,) = batches(data, "test")
    sample = window.index[:, 0].tolist().index(7)
    expected = calendar_covariates(pd.DatetimeIndex(["2020-01-13"]), ["day_of_week"]).to_numpy()
    np.testing.assert_allclose(window.known[sample, 0].numpy(), expected, atol=1e-7)


def test_a_missing_target_is_never_scored():
    raw = counting(40)
    raw.iloc[[6, 12, 13], 1] = NAN
    data = Series(raw, splits=3, fold=1)
    assert targets(data, "fit") == [2, 3, 4, 5, 7, 8, 9]
    assert targets(data, "test") == [10, 11, 14, 15, 16, 17, 18, 19]


def test_a_run_of_missing_targets_leaves_no_batch_without_a_score():
    raw = counting(60)
    raw.iloc[4:25, 1] = NAN
    raw.iloc[45:52, 1] = NAN
    data = Series(raw, splits=2, fold=2, batch_size=2, validation="tail", val_fraction=0.3)
    for name in ("fit", "validation", "test"):
        assert all(batch.weight.flatten(1).any(1).all() for batch in batches(data, name))


@pytest.mark.parametrize(
    ("name", "missing", "stage"),
    [("fit", slice(2, 8), "fit"), ("validation", slice(8, 10), "fit"), ("test", slice(10, 20), "test")],
)
@pytest.mark.parametrize("lookback", [2, "full"])
def test_a_range_without_any_target_is_refused(name, missing, stage, lookback):
    raw = counting(40)
    raw.iloc[missing, 1] = NAN
    if lookback == "full":
        raw.iloc[1, 1] = NAN
    data = Series(raw, splits=3, fold=1, validation="tail", lookback=lookback)
    with pytest.raises(ConfigError, match=f"the {name} range of fold 1 .* has no target to score"):
        data.setup(stage)


def test_targets_across_a_gap_are_scored_unless_it_is_turned_off():
    raw = counting(44).iloc[[*range(7), *range(9, 15), *range(17, 44)]]  # gaps before rows 7 and 13
    assert targets(Series(raw, splits=3, fold=1), "test") == sorted(raw["y"].astype(int)[10:20] - 100)
    quiet = Series(raw, splits=3, fold=1, score_gaps=False)
    expected = raw["y"].astype(int) - 100
    assert targets(quiet, "fit") == expected.iloc[[2, 3, 4, 5, 6, 8, 9]].tolist()
    assert targets(quiet, "test") == expected.iloc[[10, 11, 12, 14, 15, 16, 17, 18, 19]].tolist()


def test_reindexing_turns_missing_days_into_rows_that_are_not_scored():
    raw = counting(44).iloc[[*range(7), *range(9, 15), *range(17, 44)]]
    data = Series(raw, splits=3, fold=1, reindex=True)
    assert len(data.table.times) == 44
    assert targets(data, "fit") == [2, 3, 4, 5, 6, 9, 10]
    assert targets(data, "test") == [11, 12, 13, 14, 17, 18, 19, 20, 21]
    (batch,) = [batch for batch in batches(data, "test") if 16 in batch.index]
    sample = batch.index[:, 0].tolist().index(16)
    assert batch.history[sample, :, 0].tolist() == [14, 14]  # filled forward
    assert batch.last[sample].item() == 114


SETTINGS = {
    "rows": st.integers(12, 70),
    "fold": st.integers(1, 3),
    "horizon": st.integers(1, 4),
    "lookback": st.integers(1, 6) | st.just("full"),
    "gap": st.integers(0, 3),
    "context": st.sampled_from(["carried", "cold"]),
    "validation": st.sampled_from(["tail", "test"]),
    "batch_size": st.integers(1, 9),
}


@given(**SETTINGS)
@settings(max_examples=60)
def test_no_history_holds_a_row_after_its_origin_and_every_forecast_is_scored_once(rows, **arguments):
    data = Series(counting(rows), **arguments)
    lookback, horizon = arguments["lookback"], arguments["horizon"]
    for name in ("fit", "validation", "test"):
        try:
            data.setup({"fit": "fit", "validation": "validate"}.get(name, name))
        except ConfigError:
            continue
        allowed = getattr(data.ranges, name)
        scored = []
        for batch in batches(data, name):
            assert all(torch.isfinite(part.float()).all() for part in batch)
            time = batch.history.shape[1]
            assert lookback in ("full", time)
            for history, index, target in zip(batch.history, batch.index, batch.target, strict=True):
                end = int(index[-1])
                assert history[:, 0].tolist() == list(range(end + 1 - time, end + 1))
                assert index.tolist() == list(range(end + 1 - len(index), end + 1))
                for origin, ahead in zip(index.tolist(), target, strict=True):
                    rows_ahead = (ahead[:, 0] - 100).tolist()
                    assert rows_ahead == list(range(origin + 1, origin + 1 + horizon))
                    assert set(rows_ahead) <= set(allowed)
                    scored.append(origin)
            assert batch.weight.all()
        assert len(scored) == len(set(scored))
        carried = arguments["context"] == "carried" or name == "fit"
        earliest = (0 if carried else allowed.start) + (0 if lookback == "full" else lookback - 1)
        possible = range(max(allowed.start - 1, earliest), allowed.stop - horizon)
        assert sorted(scored) == list(possible)


# ---- nothing after the boundary reaches the training ----


@pytest.mark.parametrize("lookback", [6, "full"])
def test_values_after_the_boundary_change_neither_scaler_nor_windows_nor_the_trained_weights(lookback):
    raw = noise(120)
    changed = raw.copy()
    changed.iloc[60:] = np.random.default_rng(1).normal(1000, 300, size=(60, 2))
    changed.iloc[70:75, 1] = NAN
    results = []
    for frame in (raw, changed):
        data = Series(frame, splits=3, fold=2, lookback=lookback, validation="tail", calendar=["day_of_week"])
        assert data.ranges.train_stop == 60
        torch.manual_seed(0)
        model = Forecaster(partial(LSTM, hidden_size=4), dropout=0.2, linear_skip=True, schema=data.schema)
        fitting = trainer(max_epochs=2)
        fitting.fit(model, data)
        results.append((model.state_dict(), fitting.callback_metrics, batches(data, "fit"), data.reference))
    (weights, metrics, windows, reference), (others, other_metrics, other_windows, other_reference) = results
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert metrics == other_metrics
    assert set(metrics) == {"train/loss", "val/loss"}
    assert all(
        torch.equal(a, b) for x, y in zip(windows, other_windows, strict=True) for a, b in zip(x, y, strict=True)
    )
    assert reference == other_reference


def test_the_validation_tail_reaches_neither_the_scaler_nor_the_weights():
    raw = noise(120)
    changed = raw.copy()
    changed.iloc[49:] += 50
    weights = []
    for frame in (raw, changed):
        data = Series(frame, splits=3, fold=2, lookback=6, validation="tail")
        assert data.ranges.validation == range(49, 60)
        torch.manual_seed(0)
        model = Forecaster(partial(LSTM, hidden_size=4), schema=data.schema)
        trainer(max_epochs=2).fit(model, data)
        weights.append(model.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


# ---- loaders ----


def test_worker_processes_cut_the_same_batches():
    alone, shared = (Series(counting(40), num_workers=workers) for workers in (0, 1))
    for name in ("fit", "test"):
        for a, b in zip(batches(alone, name), batches(shared, name), strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_training_batches_are_shuffled_anew_each_epoch_and_evaluation_keeps_its_order():
    data = Series(counting(100), batch_size=100)
    data.setup("fit")
    loader = data.train_dataloader()
    first = next(iter(loader)).index.flatten().tolist()
    loader.sampler.set_epoch(1)
    second = next(iter(loader)).index.flatten().tolist()
    assert first != second
    assert sorted(first) == sorted(second) == list(range(1, 24))
    assert next(iter(data.val_dataloader())).index.flatten().tolist() == list(range(24, 49))


def test_drawing_batches_leaves_the_global_generator_to_the_training():
    data = Series(counting(40))
    data.setup("fit")
    before = torch.get_rng_state()
    list(data.train_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_number_of_batches_is_that_of_all_samples():
    data = Series(counting(40), splits=3, fold=3, lookback=2, batch_size=9)  # 28 samples
    assert [len(batch.index) for batch in batches(data, "fit")] == [9, 9, 10]
    assert [len(batch.index) for batch in batches(data, "test")] == [9, 1]


# ---- refusals ----


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"horizon": 0}, "horizon must be a whole number, 1 or more, got 0"),
        ({"batch_size": 0}, "batch_size must be a whole number, 1 or more, got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number, 1 or more, got 2.5"),
        ({"season_length": 0}, "season_length must be a whole number, 1 or more, got 0"),
        ({"num_workers": -1}, "num_workers must be a whole number, 0 or more, got -1"),
        ({"passes": 0}, "passes must be a whole number, 1 or more, got 0"),
        ({"splits": 1}, "splits must be a number of folds, 2 or more, got 1"),
        ({"gap": -1}, "gap must be a number of rows, 0 or more, got -1"),
        ({"test_size": 0}, "test_size must be a number of rows, 1 or more, got 0"),
        ({"val_fraction": 1}, "val_fraction must be between 0 and 1"),
        ({"validation": "tset"}, "validation must be"),
        ({"context": "warm"}, "context must be one of carried, cold, got 'warm'"),
        ({"scaler": "standrad"}, "scaler must be one of standard, minmax, robust, none, got 'standrad'"),
        ({"calendar": ["month"]}, "calendar must be one of hour, day_of_week, day_of_year, got 'month'"),
        ({"lookback": 0}, "lookback must be a positive number"),
        ({"lookback": "all"}, "lookback must be a positive number"),
        ({"lookback": 4, "min_history": 5}, r"min_history must be a number of rows, 1 .. 4 \(the lookback\), got 5"),
        ({"lookback": 4, "min_history": 0}, "min_history must be a number of rows"),
        ({"lookback": "full", "min_history": 2}, "min_history pads windows, but lookback: full"),
        ({"lookback": 4, "min_history": 2, "context": "cold"}, "min_history pads before the first row of a series"),
    ],
)
def test_an_impossible_setting_is_refused_at_construction(arguments, words):
    with pytest.raises(ConfigError, match=words):
        Series(counting(10), **arguments)


@pytest.mark.parametrize(
    ("arguments", "stage", "words"),
    [
        ({"lookback": 4}, "fit", "the first row that can be a target is 4"),
        ({"horizon": 3}, "fit", "the fit range of fold 1 has 2 target rows, which leave no forecast origin"),
        ({"horizon": 3, "lookback": 1}, "test", "the test range of fold 1 has 2 target rows"),
        ({"context": "cold", "lookback": 2}, "test", "context=cold"),
        (
            {"validation": "tail", "horizon": 2, "lookback": 1, "val_size": 1},
            "fit",
            "the validation range of fold 1 has 1 target rows",
        ),
        ({"fold": 4}, "fit", "fold must be a number from 1 to 3"),
    ],
)
def test_a_fold_without_a_sample_is_refused_before_the_stage_runs(arguments, stage, words):
    with pytest.raises(ConfigError, match=words):
        Series(counting(10), **arguments).setup(stage)


def test_a_season_longer_than_the_training_rows_is_refused():
    with pytest.raises(ConfigError, match="season_length is 4, but fold 1 trains on 4 rows only"):
        _ = Series(counting(10), season_length=4).reference


def test_the_seasonal_error_is_that_of_the_naive_forecast_on_the_training_rows():
    data = Series(noise(120), splits=3, fold=2, season_length=7, validation="tail")
    y = noise(120)["y"].to_numpy()[:60]
    np.testing.assert_allclose(data.reference.seasonal_error.numpy(), [[np.abs(y[7:] - y[:-7]).mean()]])
    np.testing.assert_allclose(data.reference.seasonal_squared_error.numpy(), [[((y[7:] - y[:-7]) ** 2).mean()]])


@pytest.mark.parametrize("devices", [2, 8])
def test_one_sequence_cannot_be_spread_over_devices(devices):
    with pytest.raises(ConfigError, match=f"one sequence of a fold, which {devices} devices cannot share"):
        Series(counting(10), lookback="full").require_devices(devices)
    Series(counting(10), lookback="full").require_devices(1)
    Series(counting(10), lookback=2).require_devices(devices)


class EightDevices:
    world_size, global_rank, current_epoch = 8, 7, 0


def test_fewer_samples_than_devices_are_refused():
    data = Series(counting(10))
    data.trainer = EightDevices()
    with pytest.raises(ConfigError, match="2 training samples, fewer than there are devices"):
        data.setup("fit")


# ---- the ozone data ----


def test_the_sample_has_the_columns_of_the_real_file_without_its_label():
    data = OzoneDataModule(source="sample", rows=100)
    assert len(data.schema["features"]) == 72
    assert "class" not in data.schema["features"]
    assert data.schema["targets"] == ["T_PK"]
    assert len(data.table.times) == 100


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"features": ["T0", "T24"]}, "features: unknown column T24"),
        ({"features": []}, "none given"),
        ({"target": "TPK"}, "target: unknown column TPK"),
        ({"rows": 0}, "rows must be a positive number"),
        ({"source": "uic"}, "source must be one of uci, sample, got 'uic'"),
    ],
)
def test_an_unknown_column_source_or_number_of_rows_is_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        OzoneDataModule(**arguments)


@pytest.mark.real
def test_the_real_file_has_fewer_rows_than_are_asked_for(real_ozone):
    with pytest.raises(DataError, match="the file has 2534 rows, but rows is 3000"):
        OzoneDataModule(path=str(real_ozone), rows=3000).read()


@pytest.mark.real
@pytest.mark.parametrize("fold", [1, 2, 3, 4, 5])
def test_on_the_real_file_every_test_row_of_a_fold_is_scored_once(real_ozone, fold):
    data = OzoneDataModule(path=str(real_ozone), fold=fold)
    index = sorted(torch.cat([batch.index[:, 0] for batch in batches(data, "test")]).tolist())
    assert index == list(range(250 * fold - 1, 250 * fold + 249))
    values = data.table.values["T_PK"].to_numpy()
    found = torch.cat([batch.target.flatten() for batch in batches(data, "test")]).numpy()
    np.testing.assert_array_equal(found, values[250 * fold : 250 * fold + 250])
