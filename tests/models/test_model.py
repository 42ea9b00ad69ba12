import numpy as np
import pandas as pd
import pytest
from lightning.pytorch import Trainer

import forecastlab
from forecastlab.cli import main
from forecastlab.errors import ConfigError, DataError
from tests.models.series import FEW, days, shops


@pytest.fixture(scope="module")
def model():
    """Trained on the first rows of 120 days; the last ones are its test range."""
    return forecastlab.fit(days(120), "y", 3, settings=FEW)


@pytest.fixture(scope="module")
def wide():
    """Trained on eight shops."""
    return forecastlab.fit(shops(8), "y", 2, settings={**FEW, "model.intervals": [0.6, 0.9]})


def by_hand(model, frame, first):
    """The mean absolute error of all forecasts of rows from a number on, each from the rows before it alone."""
    horizon, errors = model.network.schema.horizon, []
    for origin in range(first - 1, len(frame) - horizon):
        forecast = model.network.forecast(frame[: origin + 1])["forecast"].to_numpy()
        errors.append(np.abs(forecast - frame["y"].to_numpy()[origin + 1 : origin + 1 + horizon]))
    return float(np.mean(errors))


def test_the_score_is_that_of_the_rows_behind_the_training(model):
    last = pd.Timestamp(model.network.trained_on[-1].validation.last)
    first = int((days(120)["ds"] > last).argmax())
    assert model.score()["test/mae"] == pytest.approx(by_hand(model, days(120), first), rel=1e-5)


def test_the_score_of_a_longer_frame_is_that_of_all_rows_behind_the_training(model):
    last = pd.Timestamp(model.network.trained_on[-1].validation.last)
    first = int((days(150)["ds"] > last).argmax())
    assert model.score(days(150))["test/mae"] == pytest.approx(by_hand(model, days(150), first), rel=1e-5)


def test_a_model_of_all_rows_is_scored_on_the_rows_behind_them_alone():
    model = forecastlab.fit(days(120), "y", 3, fold="all", settings=FEW)
    with pytest.raises(ConfigError, match="none is left to score: give score a frame that goes on after 2024-04-29"):
        model.score()
    assert model.score(days(150))["test/mae"] == pytest.approx(by_hand(model, days(150), 120), rel=1e-5)


def test_rows_that_trained_it_are_not_scored_unless_asked_and_then_it_is_said(model, capsys):
    early = days(90)
    with pytest.raises(ConfigError, match="rows that these weights were trained on"):
        model.score(early)
    assert model.score(early, allow_seen=True)["test/seen"] > 0
    assert "seen in training" in capsys.readouterr().out


def test_it_is_saved_as_a_checkpoint_that_python_and_commands_take(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model.save(tmp_path / "model.ckpt")
    again = forecastlab.Model.load(tmp_path / "model.ckpt")
    pd.testing.assert_frame_equal(again.forecast(days(120)), model.forecast())
    assert repr(again) == repr(model)
    days(120).to_csv("series.csv", index=False)
    assert main(["test", "--ckpt_path", "model.ckpt", "--data.path", "series.csv"]) == 0
    figures = pd.read_csv(next(tmp_path.rglob("predictions.csv")))
    assert np.abs(figures["forecast"] - figures["y"]).mean() == pytest.approx(model.score()["test/mae"], rel=1e-5)


def test_a_loaded_model_asks_for_the_frame_that_no_file_holds(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model.save("model.ckpt")
    for ask in (lambda again: again.forecast(), lambda again: again.score(), lambda again: again.plot()):
        with pytest.raises(DataError, match=r"were a frame in Python.*give --data\.path a file"):
            ask(forecastlab.Model.load("model.ckpt"))
    assert main(["predict", "--ckpt_path", "model.ckpt"]) == 2
    assert "were a frame in Python" in capsys.readouterr().err


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "model.ckpt").write_text("nothing")
    with pytest.raises(DataError, match="damaged or not a checkpoint"):
        forecastlab.Model.load(tmp_path / "model.ckpt")
    data = forecastlab.TableDataModule(days(60), lookback=5)
    model = forecastlab.Forecaster(hidden_size=3, backbone="GRU", schema=data.schema)
    trainer = Trainer(max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "bare.ckpt")
    with pytest.raises(DataError, match=r"carries no config: .*Forecaster\.load"):
        forecastlab.Model.load(tmp_path / "bare.ckpt")


def test_every_fold_is_scored_beside_baselines(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    done = model.crossval(folds=[2, 3], baselines=["persistence", "ridge"], experiment="daily")
    assert done.failed == {}
    assert done.folder.parent.name == "daily"
    assert {"daily", "persistence", "ridge"} <= set(done.run.results["model"])
    third = done.run.results.query("model == 'daily' and fold == 3")
    assert third["test/mae"].item() == pytest.approx(model.score()["test/mae"], rel=1e-5)
    assert "persistence" in repr(done)
    assert model.crossval(folds=[2, 3], baselines=["persistence", "ridge"], experiment="daily").folder == done.folder
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".parquet", ".feather")]
    text = (done.folder / "config.yaml").read_text()
    assert "path: <frame>" in text


def lines(axes):
    return [line.get_ydata() for line in axes.get_lines()]


def test_the_plot_shows_the_history_the_forecast_and_its_interval(model):
    (axes,) = model.plot(history=20).get_axes()
    past, ahead = lines(axes)
    np.testing.assert_array_equal(past, days(120)["y"].to_numpy()[-20:])
    forecast = model.forecast()
    np.testing.assert_array_equal(ahead, [past[-1], *forecast["forecast"]])
    band, _ = axes.collections  # 90 % and, of the five intervals of the quantiles, the one in the middle
    corners = band.get_paths()[0].vertices[:, 1]
    assert corners.min() == pytest.approx(min(forecast["forecast-lo-90"].min(), past[-1]))
    assert corners.max() == pytest.approx(max(forecast["forecast-hi-90"].max(), past[-1]))


def test_the_plot_of_many_series_shows_some_and_says_so(wide):
    figure = wide.plot()
    titles = [axes.get_title("left") for axes in figure.get_axes()]
    assert titles == [f"s{number}: y" for number in range(6)]
    assert "6 of 8 series" in figure.get_supxlabel()
    assert [len(axes.collections) for axes in figure.get_axes()] == [2] * 6


def test_the_plot_of_chosen_series_shows_these_and_no_note(wide):
    figure = wide.plot(series=["s7", "s1"])
    assert [axes.get_title("left") for axes in figure.get_axes()] == ["s7: y", "s1: y"]
    assert figure.get_supxlabel() == ""
    assert len(wide.plot(series="s3").get_axes()) == 1
    with pytest.raises(ConfigError, match="series 's9' has no forecast; there are s0, s1"):
        wide.plot(series="s9")
    with pytest.raises(ConfigError, match="history must be a number of rows, 1 or more, got 0"):
        wide.plot(history=0)


def test_rows_that_are_counted_are_numbered_in_the_plot_and_in_words():
    model = forecastlab.fit(pd.Series(days(120)["y"].to_numpy(), name="y"), horizon=2, settings=FEW)
    (axes,) = model.plot(history=10).get_axes()
    assert list(axes.get_lines()[0].get_xdata()) == list(range(110, 120))
    assert list(axes.get_lines()[1].get_xdata()) == [119, 120, 121]
    assert "trained on  rows 0 .. " in repr(model)
    assert "2 steps (rows)" in repr(model)


def test_a_notebook_gets_a_picture(model):
    assert model.plot()._repr_png_().startswith(b"\x89PNG")


def test_it_says_what_it_is(model):
    said = repr(model)
    weights = sum(parameter.numel() for parameter in model.network.parameters())
    for part in ("forecasts y, 3 steps (D)", "GRU(hidden_size=4)", f"{weights:,} weights", "2024-01-01", "90%"):
        assert part in said
    assert f"loss {model.loss:.4f}" in said
    assert len(said.splitlines()) <= 6
    assert "GRU(hidden_size=4) forecasts 3 steps" in repr(model.config)


def test_data_that_are_no_table_take_no_frame(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config", "quickstart", "--trainer.max_epochs", "1"]) == 0
    model = forecastlab.Model.load(next(tmp_path.rglob("best.ckpt")))
    assert model.score()["test/mae"] > 0
    for ask in (model.forecast, lambda: model.score(days(120)), lambda: model.crossval(days(120))):
        with pytest.raises(ConfigError, match=r"OzoneDataModule, which takes no frame: use model\.network\.forecast"):
            ask()


def test_a_frame_with_a_zone_is_not_compared_with_times_that_have_none(model):
    frame = days(150)
    with pytest.raises(DataError, match="zone"):
        model.score(frame.assign(ds=frame["ds"].dt.tz_localize("Europe/Berlin")))


def test_quantiles_that_are_trained_are_named():
    loss = {"class_path": "Quantile", "init_args": {"quantiles": [0.1, 0.5, 0.9]}}
    model = forecastlab.fit(days(120), "y", 2, settings={**FEW, "model.loss": loss, "model.intervals": []})
    assert "quantiles   0.1, 0.5, 0.9" in repr(model)
    assert len(model.plot().get_axes()[0].collections) == 1
