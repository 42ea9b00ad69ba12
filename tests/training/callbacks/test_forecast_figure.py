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
from forecastlab.batch import Prediction
from forecastlab.training.callbacks import Checkpoints, ForecastFigure, RunLogger
from forecastlab.training.callbacks import forecast_figure as module
from forecastlab.training.forecaster import Forecaster
from tests.frames import module as own_data
from tests.frames import wide
from tests.series import Series, as_if_trained, counting, noise, trainer


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn: times, truth, forecast and target of each figure."""
    figures, draw = [], module.forecast_figure
    monkeypatch.setattr(module, "forecast_figure", lambda *parts: figures.append(parts) or draw(*parts))
    return figures


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


@pytest.mark.parametrize("lookback", [3, "full"])
def test_training_ends_with_a_figure_of_the_validation_range(tmp_path, drawn, lookback):
    data = Series(counting(40), splits=3, fold=2, lookback=lookback, horizon=2, validation="tail", batch_size=3)
    running = trainer(max_epochs=2, callbacks=[ForecastFigure()], logger=RunLogger(tmp_path, "run", 0))
    running.fit(persistence(data), data)
    ((times, truth, forecast, target),) = drawn
    rows = range(data.ranges.validation.start, data.ranges.validation.stop - 1)  # the first step of two
    assert times.tolist() == [pd.Timestamp("2020-01-01") + pd.Timedelta(days=row) for row in rows]
    assert truth.tolist() == [100 + row for row in rows]
    assert forecast.tolist() == [99 + row for row in rows]
    assert target == "y"
    ((step, image),) = images(tmp_path)["forecast/validation"]
    assert step == running.global_step
    assert np.asarray(Image.open(io.BytesIO(image))).std() > 10, "the image is not empty"


def test_a_test_ends_with_a_figure_of_the_test_range(tmp_path, drawn):
    data = Series(counting(40), splits=3, fold=2, batch_size=3)
    running = trainer(callbacks=[ForecastFigure()], logger=RunLogger(tmp_path, "run", 0))
    for _ in range(2):
        running.test(persistence(data), data, verbose=False)
    assert len(drawn) == 2
    for _, truth, forecast, _ in drawn:
        assert truth.tolist() == list(range(120, 130))
        assert forecast.tolist() == list(range(119, 129))
    assert set(images(tmp_path)) == {"forecast/test"}


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
    ((_, _, forecast, _),) = drawn
    np.testing.assert_array_equal(forecast, expected.detach().numpy())


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
    trainer(callbacks=[ForecastFigure()], logger=RunLogger(tmp_path, "run", 0)).test(
        persistence(data), data, verbose=False
    )
    ((_, truth, forecast, _),) = drawn
    assert np.flatnonzero(np.isnan(truth)).tolist() == [3]
    assert not np.isnan(forecast).any()


def test_nothing_is_drawn_where_nothing_can_show_it(drawn):
    data = Series(counting(40), splits=3, fold=2)
    running = trainer(max_epochs=1, callbacks=[ForecastFigure()])
    running.fit(persistence(data), data)
    running.test(persistence(data), data, verbose=False)
    running.predict(persistence(data), data)
    assert not drawn
    assert running.callbacks[0].path is None


def test_training_from_plain_loaders_needs_no_figure(tmp_path, drawn):
    data = Series(counting(40), splits=3, fold=2)
    data.setup("fit")
    running = trainer(max_epochs=1, callbacks=[ForecastFigure()], logger=RunLogger(tmp_path, "run", 0))
    running.fit(persistence(data), data.train_dataloader(), data.val_dataloader())
    assert not drawn


def test_both_lines_are_labelled_and_the_axis_names_the_target():
    times = pd.date_range("2020-01-01", periods=3)
    figure = module.forecast_figure(times, np.array([1.0, np.nan, 3.0]), np.array([1.5, 2.0, 2.5]), "T_PK")
    (axes,) = figure.axes
    observed, forecast = axes.lines
    assert [line.get_label() for line in axes.lines] == ["observed", "forecast"]
    np.testing.assert_array_equal(observed.get_ydata(), [1, np.nan, 3])
    np.testing.assert_array_equal(forecast.get_ydata(), [1.5, 2, 2.5])
    assert [pd.Timestamp(day).day for day in forecast.get_xdata()] == [1, 2, 3]
    assert axes.get_ylabel() == "T_PK"


# ---- beyond the data ----


@pytest.mark.parametrize("lookback", [3, "full"])
def test_a_prediction_ends_with_a_figure_beside_its_table(tmp_path, lookback):
    data = Series(counting(40), lookback=lookback, horizon=2)
    drawing = ForecastFigure()
    trainer(callbacks=[drawing], logger=RunLogger(tmp_path, "run", 0)).predict(persistence(data), data)
    assert drawing.path == tmp_path / "run" / "version_0" / "forecast.png"
    with Image.open(drawing.path) as image:
        assert np.asarray(image).std() > 10, "the image is not empty"


def ahead(data, levels=(), intervals=()):
    """The figure of forecasts 1, 2, ... of every series, with quantiles so far below and above."""
    series, horizon = len(data.tables), data.horizon
    forecast = torch.arange(1.0, horizon + 1).expand(series, 1, horizon)[..., None]
    quantiles = (
        torch.stack([forecast + distance for distance in intervals], -1) if intervals else forecast[..., None][..., :0]
    )
    ends = (data.rows.stop - 1)[:, None]
    found = Prediction(torch.arange(series), ends, forecast, forecast, torch.zeros_like(forecast), quantiles)
    return module.ahead_figure(data.panel, data.targets[0], levels, found)


def days(line):
    return [(pd.Timestamp(day) - pd.Timestamp("2020-01-01")).days for day in line.get_xdata()]


def test_the_forecast_and_its_interval_begin_at_the_last_value():
    figure = ahead(Series(counting(40), horizon=3), (0.05, 0.25, 0.5, 0.75, 0.95), (-20, -9, 0, 9, 20))
    (axes,) = figure.axes
    observed, forecast = axes.lines
    assert days(observed) == list(range(10, 40))
    assert observed.get_ydata().tolist() == list(range(110, 140))
    assert days(forecast) == [39, 40, 41, 42]
    assert list(forecast.get_ydata()) == [139, 1, 2, 3]
    (interval,) = axes.collections
    assert interval.get_label() == "90 % interval"
    corners = interval.get_paths()[0].vertices[:, 1]
    assert {139.0, -19.0, -18.0, -17.0, 21.0, 22.0, 23.0} == set(corners.tolist())
    assert axes.get_ylabel() == "y"


def test_a_long_horizon_is_drawn_with_four_times_as_much_of_the_past():
    figure = ahead(Series(counting(100), horizon=12))
    observed, forecast = figure.axes[0].lines
    assert days(observed) == list(range(52, 100))
    assert days(forecast) == list(range(99, 112))
    assert not figure.axes[0].collections, "there is no interval to draw"


def test_quantiles_without_a_counterpart_are_no_interval():
    figure = ahead(Series(counting(40)), (0.1, 0.5), (-3, 0))
    assert not figure.axes[0].collections


def test_what_was_missing_is_a_hole_in_what_is_observed():
    raw = counting(40)
    raw.iloc[[33, 34], 1] = np.nan
    observed, _ = ahead(Series(raw)).axes[0].lines
    assert np.flatnonzero(np.isnan(observed.get_ydata().astype(float))).tolist() == [23, 24]


def test_each_of_the_first_six_series_has_a_panel_that_names_it(tmp_path):
    frame = pd.concat([wide(30).assign(unique_id=f"$shop_{number}$") for number in range(8)])
    figure = ahead(own_data(tmp_path, frame, series_column="unique_id"))
    assert [axes.get_ylabel() for axes in figure.axes] == [f"$shop_{number}$: y" for number in range(6)]
    figure.savefig(tmp_path / "figure.png")
