import io
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.optim import SGD

from forecastlab.backbones.lstm import LSTM
from forecastlab.errors import ConfigError
from forecastlab.training.callbacks import Checkpoints, ForecastFigure, PredictionWriter, RunLogger
from forecastlab.training.callbacks import forecast_figure as module
from forecastlab.training.forecaster import Forecaster
from tests.frames import module as own_data
from tests.frames import wide
from tests.series import Series, as_if_trained, counting, noise, trainer


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn: the lines of the first panel of each figure, observed and forecast."""
    figures, draw = [], module.forecast_figure

    def noted(*args, **given):
        figure = draw(*args, **given)
        figures.append(tuple((days(line), line.get_ydata().tolist()) for line in figure.axes[0].lines))
        return figure

    monkeypatch.setattr(module, "forecast_figure", noted)
    return figures


def days(line):
    return [(pd.Timestamp(day) - pd.Timestamp("2020-01-01")).days for day in line.get_xdata()]


def persistence(data, learning_rate=0.0):
    model = Forecaster(
        partial(LSTM, hidden_size=2), optimizer=partial(SGD, lr=learning_rate), anchor="last", schema=data.schema
    )
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    return as_if_trained(model)


def images(root):
    """The images in TensorBoard by name, with the step of each."""
    events = EventAccumulator(str(root / "run" / "version_0"))
    events.Reload()
    return {
        tag: [(image.step, image.encoded_image_string) for image in events.Images(tag)]
        for tag in events.Tags()["images"]
    }


@pytest.mark.parametrize(
    ("lookback", "ahead", "forecast"),
    [
        (3, [17, 18, 19], [117, 117, 117]),
        ("full", [15, 16, 17, 17, 17, 18, 19], [115, 115, 115, np.nan, 117, 117, 117]),  # two forecasts, and a gap
    ],
)
def test_training_ends_with_a_figure_of_the_validation_range(tmp_path, drawn, lookback, ahead, forecast):
    data = Series(counting(40), splits=3, fold=2, lookback=lookback, horizon=2, validation="tail", batch_size=3)
    drawing = ForecastFigure()
    running = trainer(max_epochs=2, callbacks=[drawing], logger=RunLogger(tmp_path, "run", 0))
    running.fit(persistence(data), data)
    (((seen, observed), (times, values)),) = drawn
    assert seen == list(range(data.ranges.validation.stop)) == list(range(20))
    assert observed == [100 + day for day in seen]
    assert times == ahead
    assert values == pytest.approx(forecast, nan_ok=True)
    ((step, image),) = images(tmp_path)["forecast/validation"]
    assert step == running.global_step
    assert drawing.path == tmp_path / "run" / "version_0" / "validation.png"
    kept = np.asarray(Image.open(drawing.path).convert("RGB"))
    assert kept.std() > 10, "the image is not empty"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(image))), kept)


def test_a_test_ends_with_a_figure_of_the_test_range_beside_its_table(tmp_path, drawn):
    data = Series(counting(40), splits=3, fold=2, batch_size=3)
    drawing = ForecastFigure()
    running = trainer(callbacks=[drawing, PredictionWriter()], logger=RunLogger(tmp_path, "run", 0))
    for _ in range(2):
        running.test(persistence(data), data, verbose=False)
    assert len(drawn) == 2
    for (seen, observed), (ahead, forecast) in drawn:
        assert seen == list(range(30))
        assert observed == [100 + day for day in seen]
        assert ahead == list(range(19, 30))  # forecasts of one step are one line, from the last value before them
        assert forecast == [119, *range(119, 129)]
    assert set(images(tmp_path)) == {"forecast/test"}
    assert drawing.path == tmp_path / "run" / "version_0" / "predictions.png"
    assert drawing.path.with_suffix(".csv").exists()


def test_the_figure_after_training_is_drawn_with_the_best_weights_and_leaves_the_last_ones(tmp_path, drawn):
    data = Series(noise(120), splits=3, fold=2, validation="tail")
    checkpoints = Checkpoints(write_interval=1e9)
    running = trainer(
        max_epochs=6,
        callbacks=[ForecastFigure(), checkpoints],
        logger=RunLogger(tmp_path, "run", 0),
        enable_checkpointing=True,
    )
    torch.manual_seed(0)
    model = Forecaster(partial(LSTM, hidden_size=4), optimizer=partial(SGD, lr=1.2), dropout=0.5, schema=data.schema)
    running.fit(model, data)
    assert checkpoints.best_epoch < 5
    assert model.training
    best = Forecaster.load_from_checkpoint(checkpoints.best_model_path, weights_only=True).eval()
    assert not torch.equal(best.decoder.linear.weight, model.decoder.linear.weight)
    expected = torch.cat([best(batch).flatten() for batch in data.val_dataloader()])
    ((_, (_, forecast)),) = drawn
    np.testing.assert_allclose(forecast[1:], expected.detach().numpy(), rtol=1e-6)


def test_the_figure_after_training_shows_the_intervals_that_the_best_epoch_calibrated(tmp_path, monkeypatch):
    data = Series(noise(120), splits=3, fold=2, validation="tail")
    figures, draw = [], module.forecast_figure
    monkeypatch.setattr(
        module, "forecast_figure", lambda *args, **given: figures.append(draw(*args, **given)) or figures[-1]
    )
    checkpoints = Checkpoints(write_interval=1e9)
    running = trainer(
        max_epochs=3,
        callbacks=[ForecastFigure(), checkpoints],
        logger=RunLogger(tmp_path, "run", 0),
        enable_checkpointing=True,
    )
    model = Forecaster(
        partial(LSTM, hidden_size=4), optimizer=partial(SGD, lr=1.2), intervals=[0.5], schema=data.schema
    )
    running.fit(model, data)
    best = Forecaster.load_from_checkpoint(checkpoints.best_model_path, weights_only=True).eval()
    quantiles = torch.cat([best.predict(batch).quantiles.flatten(0, 3) for batch in data.val_dataloader()])
    (band,) = figures[0].axes[0].collections
    corners = band.get_paths()[0].vertices[:, 1]
    assert corners.min() == pytest.approx(min(quantiles.min().item(), corners[0]), rel=1e-6)
    assert set(np.round(quantiles.flatten().tolist(), 4)) <= set(np.round(corners, 4))


def test_a_training_that_validates_nothing_ends_without_a_figure(tmp_path, drawn):
    data = Series(counting(40), splits=3, fold=2, validation="tail")
    running = trainer(
        max_epochs=1, limit_val_batches=0, callbacks=[ForecastFigure()], logger=RunLogger(tmp_path, "run", 0)
    )
    running.fit(persistence(data), data)
    assert not drawn


def test_drawing_takes_no_number_from_the_generators(tmp_path):
    data = Series(counting(40), splits=3, fold=2, validation="tail")
    states = []
    for callbacks in ([], [ForecastFigure()]):
        torch.manual_seed(0)
        np.random.seed(0)
        trainer(max_epochs=1, callbacks=callbacks, logger=RunLogger(tmp_path, "run", 0)).fit(persistence(data), data)
        states.append((torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()))
    assert states[0] == states[1]


def test_a_missing_truth_leaves_a_hole_in_its_line(tmp_path, drawn):
    raw = counting(40)
    raw.iloc[23, 1] = np.nan
    data = Series(raw, splits=3, fold=2, lookback="full")
    trainer(callbacks=[PredictionWriter(), ForecastFigure()], logger=RunLogger(tmp_path, "run", 0)).test(
        persistence(data), data, verbose=False
    )
    (((_, truth), (ahead, forecast)),) = drawn
    assert np.flatnonzero(np.isnan(truth)).tolist() == [23]
    assert ahead == [19, 20, 21, 22, *range(24, 30)]  # the value without a truth is not scored
    assert not np.isnan(forecast).any()


def test_nothing_is_drawn_where_nothing_is_written(drawn):
    data = Series(counting(40), splits=3, fold=2)
    running = trainer(max_epochs=1, callbacks=[ForecastFigure()])
    running.fit(persistence(data), data)
    running.test(persistence(data), data, verbose=False)
    running.predict(persistence(data), data)
    assert not drawn
    assert running.callbacks[0].path is None


def test_a_trial_run_leaves_no_figure(tmp_path, drawn):
    data = Series(counting(40), splits=3, fold=2)
    callbacks = [PredictionWriter(), ForecastFigure()]
    trainer(fast_dev_run=True, callbacks=callbacks, default_root_dir=tmp_path).test(
        persistence(data), data, verbose=False
    )
    assert not drawn
    assert list(tmp_path.iterdir()) == []


def test_training_from_plain_loaders_needs_no_figure(tmp_path, drawn):
    data = Series(counting(40), splits=3, fold=2)
    data.setup("fit")
    running = trainer(max_epochs=1, callbacks=[ForecastFigure()], logger=RunLogger(tmp_path, "run", 0))
    running.fit(persistence(data), data.train_dataloader(), data.val_dataloader())
    assert not drawn


# ---- beyond the data ----


@pytest.mark.parametrize("lookback", [3, "full"])
def test_a_prediction_ends_with_a_figure_beside_its_table(tmp_path, lookback):
    data = Series(counting(40), lookback=lookback, horizon=2)
    drawing = ForecastFigure()
    callbacks = [PredictionWriter(), drawing]
    trainer(callbacks=callbacks, logger=RunLogger(tmp_path, "run", 0)).predict(persistence(data), data)
    assert drawing.path == tmp_path / "run" / "version_0" / "forecast.png"
    with Image.open(drawing.path) as image:
        assert np.asarray(image).std() > 10, "the image is not empty"


def test_a_prediction_draws_the_series_that_are_chosen(tmp_path, monkeypatch):
    frame = pd.concat([wide(30).assign(unique_id=f"shop {number}") for number in range(8)])
    data = own_data(tmp_path, frame, series_column="unique_id")
    asked, draw = [], module.forecast_figure
    monkeypatch.setattr(module, "forecast_figure", lambda *args, **given: asked.append(given) or draw(*args, **given))

    def predict(*series):
        callbacks = [PredictionWriter(), ForecastFigure(series)]
        trainer(callbacks=callbacks, logger=RunLogger(tmp_path, "run", 0)).predict(persistence(data), data)

    predict("shop 7", "shop 2")
    assert asked == [{"series": ("shop 7", "shop 2"), "among": 8, "choice": "--series NAME ... chooses others"}]
    (written,) = tmp_path.rglob("forecast.csv")
    before = written.stat().st_mtime_ns
    with pytest.raises(
        ConfigError, match=r"series .shop 71. is not in the data; did you mean shop 7[?]; there are shop 0"
    ):
        predict("shop 71")
    assert written.stat().st_mtime_ns == before, "a wrong name is found before anything is forecast"
