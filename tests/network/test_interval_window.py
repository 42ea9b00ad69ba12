"""Intervals that are calibrated at each origin by the last errors that are known there."""

import math
from functools import partial

import lightning.pytorch as lightning
import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.backbones.lstm import LSTM
from forecastlab.errors import ConfigError, DataError
from forecastlab.evaluation.ensemble import forecast_together
from forecastlab.losses import Quantile
from forecastlab.network.intervals import RecentMargins, SplitConformal
from forecastlab.training.callbacks import PredictionWriter
from forecastlab.training.forecaster import Forecaster
from tests.frames import module, panel, wide
from tests.series import Series, as_if_trained, noise, trainer

SMALL = partial(LSTM, hidden_size=4)
NOTHING = torch.empty(0)
WINDOW = 12


def ranked(errors, coverage):
    """The ceil((n + 1) coverage)-th smallest of n errors; None if there are too few."""
    rank = math.ceil(round((len(errors) + 1) * coverage, 9))
    return None if rank > len(errors) else np.sort(errors)[rank - 1]


def network(folder, frame, window=WINDOW, fitted=True, **arguments):
    """A network of random weights with the scaling of its data, and made-up margins of a validation."""
    parts = {name: arguments.pop(name) for name in ("anchor", "loss", "window_norm") if name in arguments}
    data = module(folder, frame, **{"frequency": "D", "features": ["y", "x"], "fold": 3, **arguments})
    torch.manual_seed(0)
    model = Forecaster(SMALL, intervals=[0.5, 0.8], interval_window=window, **parts, schema=data.schema)
    model.scaling.load_state_dict(data.scaling.state_dict())
    if fitted:
        model.intervals.margin.copy_(torch.rand(model.intervals.margin.shape).sort(0).values)
    return as_if_trained(model).eval(), data


def run(stage, model, data, folder):
    """The table of a test or of a prediction."""
    writer = PredictionWriter()
    running = lightning.Trainer(
        accelerator="cpu",
        callbacks=[writer],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    getattr(running, stage)(model, data)
    return writer.table


# ---- the margins ----


@pytest.mark.parametrize(("origins", "window"), [(40, 9), (40, 20), (25, 24), (9, 9), (8, 9)])
@pytest.mark.parametrize("known", [1.0, 0.6])
def test_each_margin_is_of_the_last_errors_whose_truth_is_known(origins, window, known):
    random = np.random.default_rng(origins)
    horizon, targets, coverages = 3, 2, (0.5, 0.9)
    intervals = SplitConformal(coverages, (), horizon, targets, window)
    intervals.margin.copy_(torch.rand(intervals.margin.shape))
    errors = random.normal(size=(origins, horizon, targets, 2)).astype("f")
    weight = (random.uniform(size=(origins, horizon, targets)) < known).astype("f")
    found = intervals.recent(torch.tensor(errors), torch.tensor(weight), intervals.margin).numpy()
    assert found.shape == (origins, 2, horizon, targets)
    anew = 0
    for t in range(origins):
        for h in range(1, horizon + 1):
            for target in range(targets):
                for number, coverage in enumerate(coverages):
                    oldest = t - h - window + 1
                    chosen = range(oldest, t - h + 1) if oldest >= 0 else ()
                    values = [errors[s, h - 1, target, number] for s in chosen if weight[s, h - 1, target]]
                    expected = ranked(values, coverage)
                    anew += expected is not None
                    if expected is None:
                        expected = intervals.margin[number, h - 1, target].item()
                    assert found[t, number, h - 1, target] == pytest.approx(expected)
    assert (anew > 0) == (origins > window)
    last = intervals.recent(torch.tensor(errors), torch.tensor(weight), intervals.margin, last=2).numpy()
    np.testing.assert_array_equal(last, found[-2:])


def test_margins_are_found_by_series_and_row():
    series, index = torch.tensor([2, 2, 2, 0, 0]), torch.tensor([7, 8, 9, 3, 4])
    margins = RecentMargins(series, index, torch.arange(5.0).view(5, 1, 1, 1))
    assert margins.at(torch.tensor([0, 2]), torch.tensor([[4, 3], [7, 9]])).flatten().tolist() == [4, 3, 0, 2]


def test_they_follow_errors_that_grow():
    random = np.random.default_rng(0)
    calm, rough = random.normal(size=2000), 5 * random.normal(size=2000)
    truth = torch.tensor(np.concatenate([calm, rough]), dtype=torch.float32).view(-1, 1, 1)
    point, weight = torch.zeros_like(truth), torch.ones_like(truth)
    intervals = SplitConformal([0.9], (), 1, 1, window=200)
    errors = intervals.errors(point, NOTHING.expand(4000, 1, 1, 0), truth)
    intervals.fit(errors[:1000], weight[:1000])
    margins = intervals.recent(errors, weight, intervals.margin)
    covered = {}
    for name, margin in (("fixed", None), ("recent", margins)):
        low, high = intervals(point, NOTHING, margin)[..., 0, :].unbind(-1)
        covered[name] = ((low <= truth[..., 0]) & (truth[..., 0] <= high)).float().flatten()
    exact = 181 / 201  # of 200 errors the ceil(201 x 0.9)-th, without ties
    assert covered["recent"][2300:].mean().item() == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 1700))
    assert covered["fixed"][2300:].mean() < 0.35  # 2 P(N < 1.645 / 5) - 1 = 0.26
    assert covered["recent"][:2000].mean() == pytest.approx(0.9, abs=0.03)


# ---- in a network ----


@pytest.mark.parametrize("lookback", [4, "full"])
@pytest.mark.parametrize("anchor", ["none", "last"])
def test_reported_intervals_are_those_of_the_forecasts_made_before(tmp_path, lookback, anchor):
    frame = wide(60)
    model, data = network(tmp_path, frame, lookback=lookback, anchor=anchor, horizon=2, fold=3, window=WINDOW)
    table = run("test", model, data, tmp_path)
    made = pd.concat(
        [model.forecast(frame.iloc[:rows]).assign(step=[1, 2]) for rows in range(4 if lookback == 4 else 1, 61)]
    )
    truth = frame.set_index("ds")["y"]
    made["error"] = (made["ds"].map(truth) - made["forecast"]).abs()
    days = pd.Timedelta(days=1)
    assert len(table) == 2 * (len(data.ranges.test) - 1)
    for _, row in table.iterrows():
        step = (row["ds"] - row["cutoff"]) // days
        before = made[(made["step"] == step) & (made["cutoff"] <= row["cutoff"] - step * days)].tail(WINDOW)
        assert len(before) == WINDOW
        for coverage in (50, 80):
            half = ranked(before["error"].to_numpy(), coverage / 100)
            assert row[f"forecast-hi-{coverage}"] - row["forecast"] == pytest.approx(half, rel=1e-3)
            assert row["forecast"] - row[f"forecast-lo-{coverage}"] == pytest.approx(half, rel=1e-3)


SETTINGS = {
    "windows": {},
    "full": {"lookback": "full"},
    "anchored": {"anchor": "last", "window_norm": "standard"},
    "quantiles": {"loss": partial(Quantile, quantiles=[0.1, 0.25, 0.5, 0.75, 0.9])},
    "two targets": {"targets": ["y", "x"]},
}
every_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


@every_setting
def test_a_test_a_forecast_and_a_stream_give_the_same_intervals(tmp_path, settings):
    frame = wide(60)
    model, data = network(tmp_path, frame, horizon=3, **settings)
    table = run("test", model, data, tmp_path)
    stream, compared = model.stream(), 0
    for rows in range(1, 61):
        fed = stream.update(frame.iloc[rows - 1].to_dict())
        if fed is None:
            continue
        found = model.forecast(frame.iloc[:rows])
        pd.testing.assert_frame_equal(fed, found, rtol=1e-4, atol=1e-4)
        same = table[table["cutoff"] == found["cutoff"].iloc[0]]
        if len(same):
            compared += 1
            columns = [name for name in found if name != "y"]
            pd.testing.assert_frame_equal(
                same[columns].reset_index(drop=True), found[columns], rtol=1e-4, atol=1e-4, check_dtype=False
            )
    assert compared == len(data.ranges.test) - 2
    assert table["forecast-hi-80"].sub(table["forecast-lo-80"]).round(4).nunique() > 5


@pytest.mark.parametrize("missing", ["ffill", "mask"])
@pytest.mark.parametrize("lookback", [4, "full"])
def test_a_row_without_a_target_teaches_nothing(tmp_path, missing, lookback):
    frame = wide(60)
    frame.loc[[20, 21, 30, 41, 50], "y"] = np.nan
    frame.loc[[21, 41], "x"] = np.nan
    model, _ = network(tmp_path, frame, horizon=2, missing=missing, lookback=lookback, window=8)
    fed = frame.drop(index=[21, 41])  # steps of the calendar may be left out
    stream, found = model.stream(), None
    for number, row in fed.iterrows():
        row = {name: value for name, value in row.items() if not pd.isna(value)}
        found = stream.update(row)
        if found is not None and number > 12:
            pd.testing.assert_frame_equal(found, model.forecast(frame.iloc[: number + 1]), rtol=1e-4, atol=1e-4)
    assert found is not None


def test_a_row_that_a_stream_refuses_changes_nothing(tmp_path):
    frame = wide(40)
    model, _ = network(tmp_path, frame, horizon=2, window=8)
    stream = model.stream()
    for rows in range(1, 41):
        with pytest.raises(DataError):
            stream.update({**frame.iloc[rows - 1].to_dict(), "x": "high"})
        found = stream.update(frame.iloc[rows - 1].to_dict())
    pd.testing.assert_frame_equal(found, model.forecast(frame), rtol=1e-4, atol=1e-4)


@every_setting
def test_no_truth_behind_an_origin_moves_its_interval(tmp_path, settings):
    frame = wide(60)
    model, data = network(tmp_path, frame, horizon=3, **settings)
    before = run("test", model, data, tmp_path)
    cut = frame["ds"].iloc[50]
    changed = frame.copy()
    changed.loc[changed["ds"] > cut, ["y", "x"]] += 1000
    other = module(tmp_path, changed, frequency="D", features=["y", "x"], fold=3, horizon=3, **data_settings(settings))
    after = run("test", model, other, tmp_path)
    early = before["cutoff"] <= cut
    columns = [name for name in before if name != "y"]
    pd.testing.assert_frame_equal(after.loc[early, columns], before.loc[early, columns])
    assert early.sum() > 5
    late = (before["cutoff"] > cut + pd.Timedelta(days=3)).to_numpy()
    widths = [table["forecast-hi-80"].sub(table["forecast-lo-80"]).to_numpy()[late] for table in (before, after)]
    assert late.any()
    assert (widths[1] > widths[0]).all()


def data_settings(settings):
    return {name: value for name, value in settings.items() if name in ("lookback", "targets")}


@pytest.mark.parametrize("scale_by", ["global", "series"])
def test_each_series_of_a_panel_follows_its_own_errors(tmp_path, scale_by):
    frame = panel(60)
    settings = {"series_column": "unique_id", "scale_by": scale_by, "horizon": 2}
    model, data = network(tmp_path, frame, **settings)
    table = run("predict", model, data, tmp_path)
    pd.testing.assert_frame_equal(model.forecast(frame), table, rtol=1e-4)
    others = frame[frame["unique_id"] != "b"]
    kept = table[table["unique_id"] != "b"].reset_index(drop=True)
    pd.testing.assert_frame_equal(model.forecast(others), kept, rtol=1e-4)
    tested = run("test", model, data, tmp_path)
    cutoff = tested["cutoff"].max()
    last = tested[tested["cutoff"] == cutoff].drop(columns="y").reset_index(drop=True)
    again = model.forecast(frame[frame["ds"] <= cutoff]).drop(columns="y")
    pd.testing.assert_frame_equal(again, last, rtol=1e-4, check_dtype=False)


def test_too_few_rows_leave_the_margins_of_the_validation(tmp_path):
    frame = wide(60)
    model, _ = network(tmp_path, frame, horizon=2)
    scale = model.scaling.target_scale.item()
    for rows, anew in ((4 + WINDOW, (False, False)), (4 + WINDOW + 1, (True, False)), (4 + WINDOW + 2, (True, True))):
        found = model.forecast(frame.iloc[: rows - 1])  # whose last origin has so many before it
        half = found["forecast-hi-80"] - found["forecast"]
        fixed = scale * model.intervals.margin[1, :, 0].numpy()
        assert tuple(~np.isclose(half, fixed, rtol=1e-4)) == anew


def test_several_networks_follow_their_own_errors(tmp_path):
    frame = wide(60)
    model, data = network(tmp_path, frame, horizon=2)
    alone = run("test", model, data, tmp_path)
    data.setup("test")
    mean = forecast_together([model, model], data, "test").mean()
    quantiles = mean.quantiles[mean.weight.amin((1, 2, 3)) > 0][:, 0, :, 0]
    np.testing.assert_allclose(quantiles[..., -1].flatten(), alone["forecast-hi-80"], rtol=1e-5)


def test_a_checkpoint_keeps_the_window(tmp_path):
    data = Series(noise(160), splits=3, fold=3, lookback=4, horizon=2, validation="tail")
    model = Forecaster(SMALL, intervals=[0.8], interval_window=9, schema=data.schema)
    running = trainer(max_epochs=1)
    running.fit(model, data)
    running.save_checkpoint(tmp_path / "x.ckpt")
    again = Forecaster.load(tmp_path / "x.ckpt")
    assert again.calibration_origins == 10
    expected = run("test", model, data, tmp_path)
    pd.testing.assert_frame_equal(run("test", again, data, tmp_path), expected)
    widths = expected["forecast-hi-80"] - expected["forecast-lo-80"]
    assert widths.round(4).nunique() > 5


# ---- what is refused ----


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "model.interval_window calibrates intervals, and there are none: set model.intervals"),
        ({"intervals": [0.5, 0.9]}, "intervals of 90 % need a window of 9 origins or more, got 8"),
    ],
)
def test_a_window_without_intervals_or_too_short_for_them_is_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        Forecaster(SMALL, interval_window=8, **settings, schema=Series(noise(60)).schema)


def test_a_window_that_reaches_into_the_training_rows_is_refused():
    data = Series(noise(160), splits=3, fold=3, lookback=4, horizon=2, validation="tail")
    known = len(data.ranges.validation) - 1
    model = Forecaster(SMALL, intervals=[0.8], interval_window=known + 1, schema=data.schema)
    with pytest.raises(ConfigError, match=rf"is {known + 1} origins, but the validation range has {known}: .*trained"):
        trainer(max_epochs=1).fit(model, data)
    trainer(max_epochs=1).fit(Forecaster(SMALL, intervals=[0.8], interval_window=known, schema=data.schema), data)


def test_a_prediction_without_the_data_module_says_what_is_missing(tmp_path):
    model, data = network(tmp_path, wide(60))
    data.setup("predict")
    with pytest.raises(ConfigError, match="pass the data module"):
        trainer().predict(model, data.predict_dataloader())
