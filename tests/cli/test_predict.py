"""Own data through the whole command line: fit, predict new rows, deploy, warm start, cross-validate."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from forecastlab.cli import main
from forecastlab.errors import ReadingNote
from forecastlab.training.forecaster import Forecaster
from tests.cli.commands import files, fit, folder
from tests.frames import panel, wide

CONFIG = """
data:
  class_path: TableDataModule
  init_args:
    path: {path}
    features: [y, x]
    known: [price]
    calendar: [day_of_week]
    horizon: 3
    lookback: 5
    splits: 2
    fold: 2
    frequency: D
model:
  backbone: {{class_path: LSTM, init_args: {{hidden_size: 4}}}}
  decoder: {{class_path: Seq2Seq, init_args: {{hidden_size: 5}}}}
  anchor: last
  intervals: [0.8, 0.9]
  penalties:
    - {{class_path: ActivationPenalty, init_args: {{alpha: 0.01, beta: 0.02}}}}
  optimizer: {{class_path: Adam, init_args: {{lr: 0.02}}}}
"""
PANEL = """
data:
  class_path: TableDataModule
  init_args: {{path: {path}, series_column: unique_id, static: [area], scale_by: {scale_by}, lookback: 4, splits: 2}}
model:
  backbone: {{class_path: LSTM, init_args: {{hidden_size: 4}}}}
"""
ROWS = 160


def begun(root: Path, text: str, frame: pd.DataFrame, **settings: str) -> Path:
    """Writes data and a config into a folder and trains; the config."""
    path = root / "data.csv"
    frame.to_csv(path, index=False)
    config = root / "own.yaml"
    config.write_text(text.format(path=path, **settings))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")
        assert main(fit(config, root, epochs=2)) == 0
    return config


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The root of a run on own data; to be looked at only."""
    root = tmp_path_factory.mktemp("own")
    begun(root, CONFIG, wide(ROWS))
    return root


@pytest.fixture(scope="module", params=["global", "series"])
def many(request, tmp_path_factory):
    """The root of a run on a panel, scaled together or each series by itself; to be looked at only."""
    root = tmp_path_factory.mktemp("panel")
    begun(root, PANEL, panel(60), scale_by=request.param)
    return root


@pytest.fixture
def predict(cli, tmp_path):
    """Predicts a frame with a copy of a run; the answer, the table, and the path of the checkpoint."""

    def run(root, frame, *options):
        copy = Path(shutil.copytree(root, tmp_path / "copy", dirs_exist_ok=True))
        checkpoint = folder(copy, "own") / "checkpoints" / "best.ckpt"
        frame.to_csv(tmp_path / "new.csv", index=False)
        answer = cli("predict", "--ckpt_path", checkpoint, f"--data.path={tmp_path / 'new.csv'}", *options)
        path = folder(copy, "own") / "forecast.csv"
        table = pd.read_csv(path, parse_dates=["ds", "cutoff"]) if path.exists() else None
        return answer, table, checkpoint

    return run


def new_rows(rows=20, ahead=3):
    """New rows of the series of `own`, behind them what is known in advance."""
    frame = wide(rows + ahead, seed=7)
    frame["ds"] += pd.Timedelta(days=400)
    frame.loc[frame.index[rows:], ["y", "x"]] = np.nan
    return frame


# ---- new data ----


def test_predict_forecasts_beyond_a_new_file_as_python_does_beyond_its_frame(predict, own, tmp_path):
    answer, table, checkpoint = predict(own, new_rows())
    assert answer.status == 0, answer.err
    assert table["ds"].tolist() == new_rows()["ds"].tolist()[20:]
    assert table["y"].isna().all()
    assert list(table)[5:] == [
        "forecast", "forecast-lo-90", "forecast-lo-80", "forecast-hi-80", "forecast-hi-90"
    ]  # fmt: skip
    frame = Forecaster.load(checkpoint).forecast(pd.read_csv(tmp_path / "new.csv"))
    pd.testing.assert_frame_equal(table, frame, check_dtype=False, rtol=1e-5)
    with Image.open(folder(tmp_path / "copy", "own") / "forecast.png") as image:
        assert np.asarray(image).std() > 10, "the image is not empty"


def test_columns_in_another_order_and_further_ones_change_nothing(predict, own):
    _, expected, _ = predict(own, new_rows())
    answer, table, _ = predict(own, new_rows()[["price", "ds", "x", "y"]].assign(colour="red", z=1.0))
    assert answer.status == 0
    pd.testing.assert_frame_equal(table, expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.drop(columns="x"), "unknown column x; the data have ds, y, price"),
        (lambda frame: frame.iloc[:20], "the covariates known in advance end at 2021-02-23"),
        (lambda frame: frame.iloc[:22], "append rows with their values, the targets left empty"),
        (lambda frame: frame.iloc[16:], "series series has 4 rows, fewer than the lookback of 5"),
        (lambda frame: frame.assign(x=["much", *frame["x"][1:]]), ".csv, line 2, column x: expected a number"),
        (lambda frame: frame.assign(ds=frame["ds"] + pd.Timedelta(hours=3) * frame.index), "not on it"),
    ],
)
def test_new_data_that_cannot_be_used_are_refused_and_the_old_forecast_kept(predict, own, change, words):
    answer, _, _ = predict(own, new_rows())
    assert answer.status == 0
    answer, table, _ = predict(own, change(new_rows()))
    assert answer.status == 2
    assert words in answer.err
    assert len(answer.err.strip().splitlines()) <= 10
    assert len(table) == 3


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--data.features=[x, y]", "the data's features come in another order than those the network was trained on"),
        ("--data.targets=[x]", "the data's targets differ"),
        ("--data.calendar=[hour]", "the data's features differ"),
        ("--data.frequency=h", "frequency"),
    ],
)
def test_other_columns_are_refused_also_where_the_shapes_are_the_same(predict, own, option, words):
    answer, table, _ = predict(own, new_rows(), option)
    assert answer.status == 2
    assert words in answer.err
    assert table is None


# ---- panels ----


def test_series_of_a_new_file_are_scaled_by_their_names_and_not_by_their_order(predict, many, tmp_path):
    frame = panel(60)
    frame["ds"] += pd.Timedelta(days=60)
    for names in (["a", "b", "c"], ["c", "a", "b"], ["b"]):
        new = pd.concat([frame[frame["unique_id"] == name] for name in names])
        answer, table, checkpoint = predict(many, new)
        assert answer.status == 0, answer.err
        assert table["unique_id"].tolist() == names
        expected = Forecaster.load(checkpoint).forecast(new)
        pd.testing.assert_frame_equal(table, expected, check_dtype=False, rtol=1e-5)
    about = Forecaster.load(checkpoint).forecast(frame).set_index("unique_id")["forecast"]
    if "series" in yaml.safe_load(torch.load(checkpoint, weights_only=True)["config"])["data"]["init_args"]["scale_by"]:
        level = frame.groupby("unique_id")["y"].agg(["mean", "std"])
        assert ((about - level["mean"]).abs() < 4 * level["std"]).all()


def test_an_unknown_series_is_forecast_or_named(predict, many):
    new = panel(60).assign(unique_id=lambda frame: "new " + frame["unique_id"])
    answer, table, checkpoint = predict(many, new)
    if torch.load(checkpoint, weights_only=True)["hyper_parameters"]["schema"]["series"]:
        assert answer.status == 2
        assert "series new a was not among those the network was trained on" in answer.err
        assert "train with scale_by: global to forecast new series" in answer.err
    else:
        assert answer.status == 0
        assert table["unique_id"].tolist() == ["new a", "new b", "new c"]


# ---- a model to be deployed ----

AIRLINE = """
data:
  class_path: TableDataModule
  init_args: {dataset: airline, targets: [passengers], lookback: 12, horizon: 6, splits: 3, val_size: 12}
model:
  backbone: {class_path: LSTM, init_args: {hidden_size: 4}}
  anchor: last
"""


def test_a_model_trained_on_everything_forecasts_beyond_it(cli, tmp_path):
    config = tmp_path / "own.yaml"
    config.write_text(AIRLINE)
    assert cli(*fit(config, tmp_path, "--data.fold=all", "--checkpoints.write_interval=0", epochs=3)).status == 0
    given = ["--ckpt_path=best", f"--trainer.default_root_dir={tmp_path}"]
    assert cli("predict", *given).status == 0
    table = pd.read_csv(folder(tmp_path, "own") / "forecast.csv", parse_dates=["ds", "cutoff"])
    assert table["cutoff"].unique().tolist() == [pd.Timestamp("1960-12-01")]
    assert table["ds"].tolist() == pd.date_range("1961-01-01", periods=6, freq="MS").tolist()
    assert (table["unique_id"] == "airline").all()
    assert table["forecast"].between(100, 800).all()
    answer = cli("test", *given)
    assert answer.status == 2
    assert "fold: all trains on every row, so that none is left to test" in answer.err
    assert "another fold" not in answer.err
    log = pd.read_csv(folder(tmp_path, "own") / "metrics.csv")
    assert log["val/loss"].notna().sum() == 3, "the validation tail is kept"


@pytest.mark.parametrize("checkpoints", [["best"], ["best", "last"]])
def test_another_file_takes_the_place_of_a_published_series_and_of_its_ends(cli, tmp_path, checkpoints):
    config, newer = tmp_path / "own.yaml", tmp_path / "newer.csv"
    config.write_text(AIRLINE)
    bounds = ["--data.start=1950-01-01", "--data.end=1958-12-01"]
    assert cli(*fit(config, tmp_path, *bounds, "--checkpoints.write_interval=0", epochs=2)).status == 0
    months = pd.date_range("1959-01-01", periods=30, freq="MS")
    pd.DataFrame({"month": months, "passengers": np.arange(400.0, 430)}).to_csv(newer, index=False)
    paths = [f"--ckpt_path={folder(tmp_path, 'own') / 'checkpoints' / name}.ckpt" for name in checkpoints]
    answer = cli("predict", *paths, f"--data.path={newer}", f"--trainer.default_root_dir={tmp_path}")
    assert answer.status == 0
    assert "--data.path is another file: the training's data.start and data.end left out" in answer.err
    (path,) = tmp_path.rglob("forecast.csv")
    table = pd.read_csv(path, parse_dates=["cutoff"])
    assert table["cutoff"].unique().tolist() == [months[-1]]
    assert (table["unique_id"] == "airline").all()


@pytest.mark.parametrize("command", ["predict", "test"])
def test_the_same_file_keeps_the_ends_and_a_test_never_loses_them(cli, tmp_path, command):
    config, path = tmp_path / "own.yaml", tmp_path / "own.csv"
    config.write_text(AIRLINE)
    months = pd.date_range("1949-01-01", periods=144, freq="MS")
    pd.DataFrame({"month": months, "passengers": np.arange(400.0, 544)}).to_csv(path, index=False)
    given = [f"--data.path={path}", f"--trainer.default_root_dir={tmp_path}"]
    options = ["--data.end=1958-12-01", "--checkpoints.write_interval=0"]
    assert cli("fit", "--config", config, *given, *options, "--trainer.max_epochs=1").status == 0
    if command == "test":
        given[0] = f"--data.path={path.rename(tmp_path / 'moved.csv')}"
    assert cli(command, "--ckpt_path=best", *given).status == 0
    (found,) = tmp_path.rglob("predictions.csv")
    last = {"predict": "1958-12-01", "test": "1958-06-01"}[command]  # a horizon of 6 months
    assert pd.read_csv(found)["cutoff"].max() == last


# ---- a warm start ----


def test_weights_of_an_older_run_are_where_the_training_on_newer_data_begins(cli, own, tmp_path):
    old = shutil.copy(folder(own, "own") / "checkpoints" / "best.ckpt", tmp_path / "old.ckpt")
    newer = 10 + 2 * wide(ROWS, seed=3).set_index("ds")
    newer.reset_index().to_csv(tmp_path / "newer.csv", index=False)
    options = [f"--model.weights_from={old}", f"--data.path={tmp_path / 'newer.csv'}", "--model.optimizer.lr=0"]
    assert cli(*fit(own / "own.yaml", tmp_path, *options, epochs=1)).status == 0
    path = folder(tmp_path, "own") / "checkpoints" / "best.ckpt"
    before, after = (torch.load(each, weights_only=True)["state_dict"] for each in (old, path))
    learned = [name for name in before if name.startswith(("backbone", "decoder")) and before[name].is_floating_point()]
    assert learned
    assert all(torch.equal(before[name], after[name]) for name in learned)
    fitted = newer["y"].to_numpy()[: round(ROWS * 2 / 3)]
    assert abs(after["scaling.target_center"].item() - fitted.mean()) < fitted.std() / 2
    Path(old).unlink()
    assert cli("test", "--ckpt_path", path).status == 0
    assert cli("fit", "--ckpt_path", path.with_name("last.ckpt"), "--trainer.max_epochs=2").status == 0


def test_weights_of_another_network_leave_no_run_behind(cli, own, tmp_path):
    best = folder(own, "own") / "checkpoints" / "best.ckpt"
    options = [f"--model.weights_from={best}", "--model.backbone.hidden_size=6"]
    answer = cli(*fit(own / "own.yaml", tmp_path, *options, epochs=1))
    assert answer.status == 2
    assert "are those of another network; the first to differ is backbone.rnn.weight_ih_l0" in answer.err
    assert files(tmp_path) == []


# ---- cross-validation by cutoffs ----


def test_folds_by_cutoffs_are_cross_validated_and_compared(cli, tmp_path):
    config = tmp_path / "own.yaml"
    frame = panel(120)
    frame.to_csv(tmp_path / "data.csv", index=False)
    config.write_text(PANEL.format(path=tmp_path / "data.csv", scale_by="series"))
    cutoffs = ["--data.cutoffs=[2020-03-11, 2020-03-31]", "--data.test_size=20", "--model.intervals=[0.8]"]
    answer = cli(
        "crossval",
        *fit(config, tmp_path, *cutoffs, "--data.season_length=7", epochs=2)[1:],
        "--baselines=persistence,seasonal_naive,ridge",
        "--jobs=2",
    )
    assert answer.status == 0, answer.out + answer.err
    run = folder(tmp_path, "own")
    results = pd.read_csv(run / "results.csv").set_index(["model", "fold"])
    names = ["own", "persistence", "seasonal naive (7)", "ridge"]
    assert set(results.index.get_level_values("model")) == set(names)
    predictions = pd.read_csv(run / "predictions.csv", parse_dates=["ds"])
    assert predictions.groupby(["model", "fold"]).size().tolist() == [3 * 20] * 8
    first = predictions.groupby("fold")["ds"].agg(["min", "max"])
    assert first["min"].tolist() == [pd.Timestamp("2020-03-11"), pd.Timestamp("2020-03-31")]
    assert first["max"].tolist() == [pd.Timestamp("2020-03-30"), pd.Timestamp("2020-04-19")]
    own = predictions[predictions["model"] == "own"]
    for fold, part in own.groupby("fold"):
        inside = part["y"].between(part["forecast-lo-80"], part["forecast-hi-80"]).mean()
        assert results.loc[("own", fold), "test/coverage"] == pytest.approx(inside)
        assert results.loc[("own", fold), "test/mae"] == pytest.approx((part["y"] - part["forecast"]).abs().mean())
        values = {name: series.set_index("ds")["y"] for name, series in frame.groupby("unique_id")}
        known = {name: series[series.index < part["ds"].min()] for name, series in values.items()}
        scaled = [(row.y - row.forecast) ** 2 / known[row.unique_id].var(ddof=0) for row in part.itertuples()]
        assert results.loc[("own", fold), "test/mse_scaled"] == pytest.approx(np.mean(scaled), rel=1e-4)
        assert f"{np.mean(scaled):.4f}" in answer.out
    answer = cli("compare", run, f"--output={tmp_path / 'compared'}")
    assert answer.status == 0, answer.err
    assert "not run" not in answer.out + answer.err
    report = (tmp_path / "compared" / "report.html").read_text()
    assert "there are several series" in report


TEXT = """
data:
  class_path: TableDataModule
  init_args: {{path: {path}, series_column: unique_id, known: [sky], lookback: 4, splits: 2}}
model:
  backbone: {{class_path: LSTM, init_args: {{hidden_size: 4}}}}
  embeddings: {{sky: 2}}
"""


def test_new_data_with_other_values_of_text_are_forecast_and_the_new_values_are_noted(predict, tmp_path):
    trained, root = panel(60).assign(sky=["dry", "wet", "fog"] * 60), tmp_path / "text"
    root.mkdir()
    begun(root, TEXT, trained)
    future = panel(61).assign(sky="hail").groupby("unique_id").tail(1).assign(y=np.nan)
    new = pd.concat([trained.assign(sky=["dry", "hail", "dry"] * 60), future])
    answer, table, checkpoint = predict(root, new)
    assert answer.status == 0, answer.err
    assert "column sky has 63 values that the training had not (hail)" in answer.err
    with pytest.warns(ReadingNote):
        frame = Forecaster.load(checkpoint).forecast(pd.read_csv(tmp_path / "new.csv"))
    np.testing.assert_allclose(table["forecast"], frame["forecast"], rtol=1e-5)
