from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import mean_absolute_error

from forecastlab.backbones.lstm import LSTM
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.training.callbacks import (
    AtomicCheckpointIO,
    Checkpoints,
    ForecastFigure,
    PredictionWriter,
    RunFolder,
    RunLogger,
    predictions,
)
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, as_if_trained, counting, noise, trainer

COLUMNS = ["unique_id", "target", "ds", "cutoff", "y", "forecast"]


def written(root, stage, data, model=None):
    """The table that a stage writes, and its metrics."""
    if model is None:  # persistence
        model = Forecaster(partial(LSTM, hidden_size=2), anchor="last", schema=data.schema)
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)
    writer = PredictionWriter()
    running = trainer(callbacks=[writer], logger=RunLogger(root, "run", 0))
    arguments = {"verbose": False} if stage == "test" else {"return_predictions": False}
    results = getattr(running, stage)(as_if_trained(model), data, **arguments)
    name = "predictions.csv" if stage == "test" else "forecast.csv"
    assert writer.path == root / "run" / "version_0" / name
    return pd.read_csv(writer.path, parse_dates=["ds", "cutoff"]), results


@pytest.mark.parametrize("lookback", [2, "full"])
def test_a_test_writes_a_row_per_scored_value(tmp_path, lookback):
    table, _ = written(tmp_path, "test", Series(counting(10), lookback=lookback))
    assert table.columns.tolist() == COLUMNS
    assert table.to_numpy().tolist() == [
        ["city", "y", pd.Timestamp("2020-01-05"), pd.Timestamp("2020-01-04"), 104.0, 103.0],
        ["city", "y", pd.Timestamp("2020-01-06"), pd.Timestamp("2020-01-05"), 105.0, 104.0],
    ]


def test_numbers_are_written_as_the_file_has_them(tmp_path):
    raw = counting(10)
    raw["y"] = raw["y"] / 10
    written(tmp_path, "test", Series(raw))
    lines = (tmp_path / "run" / "version_0" / "predictions.csv").read_text().splitlines()
    assert lines == [
        ",".join(COLUMNS),
        "city,y,2020-01-05,2020-01-04,10.4,10.3",
        "city,y,2020-01-06,2020-01-05,10.5,10.4",
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
@pytest.mark.parametrize("lookback", [4, "full"])
@pytest.mark.parametrize(("stage", "origins"), [("test", range(29, 37)), ("predict", [39])])
def test_forecasts_are_in_order_of_origin_and_step(tmp_path, batch_size, lookback, stage, origins):
    data = Series(counting(40), splits=3, fold=3, lookback=lookback, horizon=3, batch_size=batch_size)
    table, _ = written(tmp_path, stage, data)
    days = pd.date_range("2020-01-01", periods=43)
    expected = [(origin, step) for origin in origins for step in (1, 2, 3)]
    assert table["cutoff"].tolist() == [days[origin] for origin, _ in expected]
    assert table["ds"].tolist() == [days[origin + step] for origin, step in expected]
    assert table["forecast"].tolist() == [100.0 + origin for origin, _ in expected]
    truth = [100.0 + origin + step if origin + step < 40 else np.nan for origin, step in expected]
    np.testing.assert_array_equal(table["y"], truth)


@pytest.mark.parametrize("fold", [1, 3])
def test_a_prediction_is_beyond_the_data_whatever_the_fold(tmp_path, fold):
    table, _ = written(tmp_path, "predict", Series(counting(40), fold=fold))
    assert table["cutoff"].tolist() == [pd.Timestamp("2020-02-09")]
    assert table["ds"].tolist() == [pd.Timestamp("2020-02-10")]


def test_several_targets_follow_each_other(tmp_path):
    table, _ = written(tmp_path, "test", Series(counting(10), targets=["x", "y"], horizon=2, lookback=1))
    assert table["target"].tolist() == ["x", "x", "y", "y"]
    assert table["y"].tolist() == [4, 5, 104, 105]
    assert table["forecast"].tolist() == [3, 3, 103, 103]


def test_values_that_were_missing_are_left_out_of_a_test(tmp_path):
    raw = counting(20)
    raw.iloc[12, 1] = np.nan
    data = Series(raw, splits=3, fold=2)  # tests on rows 10 .. 14
    table, _ = written(tmp_path, "test", data)
    assert table["y"].tolist() == [110, 111, 113, 114]
    assert table["forecast"].tolist() == [109, 110, 111, 113]


def test_a_series_ends_with_its_last_value_and_what_follows_is_empty(tmp_path):
    raw = counting(20)
    raw.iloc[18:, 1] = np.nan
    table, _ = written(tmp_path, "predict", Series(raw, splits=3, fold=2, horizon=2))
    assert table["cutoff"].tolist() == [pd.Timestamp("2020-01-18")] * 2
    assert table["ds"].tolist() == [pd.Timestamp("2020-01-19"), pd.Timestamp("2020-01-20")]
    assert table["y"].isna().all()
    assert table["forecast"].tolist() == [117, 117]


def test_times_across_a_gap_are_those_of_the_rows(tmp_path):
    raw = counting(14).iloc[[*range(4), *range(8, 14)]]
    table, _ = written(tmp_path, "test", Series(raw))
    assert table["cutoff"].tolist() == [pd.Timestamp("2020-01-04"), pd.Timestamp("2020-01-09")]
    assert table["ds"].tolist() == [pd.Timestamp("2020-01-09"), pd.Timestamp("2020-01-10")]


def test_hours_are_kept(tmp_path):
    table, _ = written(tmp_path, "predict", Series(counting(10, "h"), "h", fold=3))
    assert table["ds"].iloc[-1] == pd.Timestamp("2020-01-01 10:00")
    assert table["cutoff"].iloc[-1] == pd.Timestamp("2020-01-01 09:00")


def test_the_table_gives_the_metrics_of_the_test(tmp_path):
    data = Series(noise(120), splits=3, fold=2, lookback=4, horizon=2, batch_size=7)
    torch.manual_seed(0)
    table, (metrics,) = written(tmp_path, "test", data, Forecaster(schema=data.schema))
    assert len(table) == 2 * 29
    assert mean_absolute_error(table["y"], table["forecast"]) == pytest.approx(metrics["test/mae"], rel=1e-5)
    variance = noise(120)["y"].to_numpy()[:60].var()
    mse = ((table["y"] - table["forecast"]) ** 2).mean()
    assert mse / variance == pytest.approx(metrics["test/mse_scaled"], rel=1e-5)


def test_what_an_interrupted_test_left_does_not_count(tmp_path):
    writer, data = PredictionWriter(), Series(counting(10))
    model = as_if_trained(Forecaster(schema=data.schema))
    running = trainer(callbacks=[writer], default_root_dir=tmp_path)
    running.test(model, data, verbose=False)
    writer._waiting.append([torch.zeros(1)] * 7)
    running.test(model, data, verbose=False)
    assert len(writer.table) == 2
    assert Path(tmp_path, "predictions.csv").exists()


def test_a_trial_of_one_batch_leaves_no_file(tmp_path):
    writer, data = PredictionWriter(), Series(counting(10))
    running = trainer(callbacks=[writer], default_root_dir=tmp_path, fast_dev_run=True)
    model = as_if_trained(Forecaster(schema=data.schema))
    running.test(model, data, verbose=False)
    running.predict(model, data)
    assert writer.path is None
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_run_is_where_its_files_go_whatever_its_loggers_are(tmp_path):
    data, folder = Series(counting(40), splits=3, fold=2), tmp_path / "run"
    callbacks = [RunFolder(folder), Checkpoints(), PredictionWriter(), ForecastFigure()]
    running = trainer(
        max_epochs=1,
        callbacks=callbacks,
        default_root_dir=tmp_path / "else",
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=True,
    )
    model = Forecaster(partial(LSTM, hidden_size=2), schema=data.schema)
    running.fit(model, data)
    running.test(model, data, verbose=False)
    running.predict(model, data)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        *("best.ckpt", "forecast.csv", "forecast.png", "last.ckpt", "predictions.csv", "predictions.png"),
        "validation.png",
    ]
    assert {path.parent.name for path in tmp_path.rglob("*.ckpt")} == {"checkpoints"}


def predict(folder, raw, callbacks=None):
    """A forecast of a persistent network beyond the end of a frame."""
    data = Series(raw)
    model = Forecaster(partial(LSTM, hidden_size=2), anchor="last", schema=data.schema)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    callbacks = callbacks or [PredictionWriter(), ForecastFigure()]
    trainer(callbacks=[RunFolder(folder), *callbacks]).predict(as_if_trained(model), data)
    return callbacks


@pytest.mark.parametrize("figure_first", [False, True])
def test_former_forecasts_are_kept_with_their_figures(tmp_path, figure_first):
    drawn = []
    for rows in (40, 41, 41, 42):
        callbacks = [PredictionWriter(), ForecastFigure()]
        predict(tmp_path, counting(rows), callbacks[::-1] if figure_first else callbacks)
        drawn.append((tmp_path / "forecast.png").read_bytes())
    forecasts = {path.name: pd.read_csv(path)["forecast"].tolist() for path in tmp_path.glob("forecast*.csv")}
    assert forecasts == {"forecast-1.csv": [139], "forecast-2.csv": [140], "forecast.csv": [141]}
    figures = {path.name: path.read_bytes() for path in tmp_path.glob("forecast*.png")}
    assert figures == {"forecast-1.png": drawn[0], "forecast-2.png": drawn[1], "forecast.png": drawn[3]}
    assert callbacks[0].kept == tmp_path / "forecast-2.csv"


def test_a_forecast_is_found_as_predictions_until_a_test_writes_them(tmp_path):
    predict(tmp_path, counting(40))
    link = tmp_path / "predictions.csv"
    assert link.is_symlink()
    assert link.read_bytes() == (tmp_path / "forecast.csv").read_bytes()
    predict(tmp_path, counting(41))
    assert pd.read_csv(link)["forecast"].tolist() == [140]
    data = Series(counting(10))
    model = as_if_trained(Forecaster(schema=data.schema))
    trainer(callbacks=[RunFolder(tmp_path), PredictionWriter()]).test(model, data, verbose=False)
    scored = link.read_bytes()
    assert not link.is_symlink()
    assert pd.read_csv(tmp_path / "forecast.csv")["forecast"].tolist() == [140], "a test does not write through a link"
    predict(tmp_path, counting(42))
    assert link.read_bytes() == scored


def test_where_links_are_not_possible_a_forecast_is_written_all_the_same(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("not here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    predict(tmp_path, counting(40), [PredictionWriter()])
    assert [path.name for path in tmp_path.iterdir()] == ["forecast.csv"]


@pytest.mark.parametrize("frequency", ["D", "h"])
@pytest.mark.parametrize("stage", ["test", "predict"])
def test_a_table_that_is_written_piece_by_piece_is_the_file_of_all_rows_at_once(
    tmp_path, monkeypatch, stage, frequency
):
    times = pd.date_range("2020-01-01", periods=60, freq=frequency)
    random = np.random.default_rng(0)
    frames = [pd.DataFrame(random.normal(size=(60, 2)), columns=["x", "y"]) for _ in range(12)]
    frame = pd.concat(
        each.assign(id=f"s{number}", ds=times)[: random.integers(40, 60)] for number, each in enumerate(frames)
    )
    settings = {"series_column": "id", "targets": ["x", "y"], "horizon": 2, "lookback": 3, "batch_size": 7}
    data = TableDataModule(frame, fold_by="series", splits=3, **settings)
    model = as_if_trained(Forecaster(schema=data.schema))
    texts = []
    for name, value in (("", 0), ("_MOST_WAITING", 40), ("_KEPT", 30), ("_IN_MEMORY", 100)):
        if name:
            monkeypatch.setattr(predictions, name, value)
        writer = PredictionWriter()
        writer.series = ["s3", "s11"]
        getattr(trainer(callbacks=[writer], default_root_dir=tmp_path), stage)(model, data)
        texts.append(writer.path.read_bytes())
    assert len(set(texts)) == 1
    whole = pd.read_csv(writer.path)
    assert (writer.written.rows, writer.written.among) == (len(whole), 12)
    assert writer.table["unique_id"].drop_duplicates().tolist() == ["s3", "s11"]
    assert writer.table["forecast"].tolist() == whole[whole["unique_id"].isin(["s3", "s11"])]["forecast"].tolist()


def test_times_are_written_as_pandas_writes_them_in_a_whole_table(tmp_path, monkeypatch):
    times = pd.date_range("2020-01-01", periods=70_000, freq="D")
    later = pd.date_range("2190-01-01", periods=30_000, freq="12h").append(times)
    frame = pd.DataFrame({"unique_id": "a", "ds": later, "y": 1.5})
    written = predictions.WrittenTable(tmp_path)
    for begin in range(0, len(frame), 7001):
        written.add(frame[begin : begin + 7001])
    with written.content() as content:
        assert content.read() == frame.to_csv(index=False).encode()
