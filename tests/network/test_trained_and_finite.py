"""Networks that are not trained forecast nothing, and forecasts are numbers."""

import re
from functools import partial

import numpy as np
import pytest
import torch

from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.rnn import RNN
from forecastlab.errors import ConfigError, DataError, NotFiniteError
from forecastlab.evaluation.ensemble import forecast_together
from forecastlab.export.safetensors import load_safetensors, save_safetensors
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, as_if_trained, noise, trainer

SMALL = partial(LSTM, hidden_size=3)
UNTRAINED = "this network is not trained"


def windows(raw=None, **arguments):
    return Series(noise(60) if raw is None else raw, **{"fold": 2, "lookback": 4, "horizon": 2, **arguments})


def linear(data, **arguments):
    """A network that is linear in the last row, so that it has no bound."""
    torch.manual_seed(0)
    model = Forecaster(SMALL, linear_skip=True, schema=data.schema, **arguments)
    model.scaling.load_state_dict(data.scaling.state_dict())
    return as_if_trained(model).eval()


USES = {
    "a forecast": lambda model, data: model.forecast(noise(60)),
    "a stream": lambda model, data: model.stream(),
    "a test": lambda model, data: trainer().test(model, data, verbose=False),
    "a prediction": lambda model, data: trainer().predict(model, data),
    "a validation": lambda model, data: trainer().validate(model, data, verbose=False),
    "an ensemble": lambda model, data: (data.setup("test"), forecast_together([model], data, "test")),
}


# ---- trained ----


@pytest.mark.parametrize("use", USES)
def test_a_network_that_is_not_trained_is_refused(use):
    data = windows()
    with pytest.raises(ConfigError, match=UNTRAINED):
        USES[use](Forecaster(SMALL, schema=data.schema), data)


@pytest.mark.parametrize("use", USES)
def test_weights_put_in_by_hand_count_when_that_is_said(use):
    data = windows()
    model = Forecaster(SMALL, schema=data.schema).eval()
    model.trained = True
    assert USES[use](model, data) is not None


@pytest.mark.parametrize("steps", [{"max_epochs": 1}, {"max_steps": 1}], ids=str)
def test_a_network_is_trained_after_a_fit(steps):
    data = windows()
    model = Forecaster(SMALL, schema=data.schema)
    trainer(**steps).fit(model, data)
    assert len(model.forecast(noise(60))) == 2


@pytest.mark.parametrize("nothing", [{"max_epochs": 0}, {"max_epochs": 1, "limit_train_batches": 0}], ids=str)
def test_a_fit_that_takes_no_step_trains_nothing(nothing):
    data = windows()
    model = Forecaster(SMALL, schema=data.schema)
    trainer(**nothing).fit(model, data)
    with pytest.raises(ConfigError, match=UNTRAINED):
        model.forecast(noise(60))


def test_the_validations_of_a_training_need_no_trained_network():
    data = windows()
    trainer(max_epochs=1, num_sanity_val_steps=1).fit(Forecaster(SMALL, schema=data.schema), data)


def test_a_checkpoint_says_whether_its_weights_are_trained(tmp_path):
    data = windows()
    model = Forecaster(SMALL, schema=data.schema)
    running = trainer(max_epochs=1)
    running.fit(model, data)
    running.save_checkpoint(tmp_path / "trained.ckpt")
    assert len(Forecaster.load(tmp_path / "trained.ckpt").forecast(noise(60))) == 2
    checkpoint = torch.load(tmp_path / "trained.ckpt", weights_only=True)
    torch.save({**checkpoint, "global_step": 0}, tmp_path / "untrained.ckpt")
    with pytest.raises(ConfigError, match=UNTRAINED):
        Forecaster.load(tmp_path / "untrained.ckpt").forecast(noise(60))
    fresh = Forecaster(SMALL, schema=data.schema)
    with pytest.raises(ConfigError, match=UNTRAINED):
        trainer().test(fresh, data, ckpt_path=tmp_path / "untrained.ckpt", verbose=False, weights_only=True)
    assert trainer().test(fresh, data, ckpt_path=tmp_path / "trained.ckpt", verbose=False, weights_only=True)


def test_an_export_is_of_trained_weights(tmp_path):
    data = windows()
    save_safetensors(linear(data), tmp_path / "x.safetensors")
    assert len(load_safetensors(tmp_path / "x.safetensors").forecast(noise(60))) == 2


# ---- finite ----


def broken(row, value=1e30, column="x"):
    raw = noise(60)
    raw.iloc[row, raw.columns.get_loc(column)] = value
    return raw


def test_a_forecast_that_is_not_finite_names_series_origin_and_the_largest_input():
    data = windows()
    model = linear(data)
    with torch.no_grad():
        model.skip.weight.fill_(1e20)
    with pytest.raises(DataError) as refused:
        model.forecast(broken(-1))
    said = str(refused.value)
    assert said.startswith("the forecast of series city from 2020-02-29 00:00:00 is not finite: step 1 of y is ")
    scaled = (1e30 - noise(60)["x"].to_numpy()[:30].mean()) / noise(60)["x"].to_numpy()[:30].std()
    assert re.search(r"The largest input is x: 1e\+30, which is (\S+) when", said).group(1) == f"{scaled:.3g}"
    assert len(said.splitlines()) <= 10


def test_a_static_covariate_that_is_huge_is_named():
    raw = noise(60).assign(area=1.0, id="one")
    settings = {"recipe": {"series": "id", "static": ("area",)}}
    data = windows(raw, **settings)
    model = linear(data)
    with torch.no_grad():
        model.skip.weight.fill_(1e20)
    with pytest.raises(DataError, match=r"series one .*\n.*largest input is area: 1e\+30"):
        model.forecast(raw.assign(area=1e30))


@pytest.mark.parametrize("lookback", [4, "full"])
def test_a_stream_refuses_a_forecast_that_is_not_finite_and_goes_on_as_if_the_row_had_not_come(lookback):
    data = windows(lookback=lookback)
    model = linear(data)
    with torch.no_grad():
        model.skip.weight.fill_(1e20)
    good, bad = noise(60), broken(30)
    one, other = model.stream(), model.stream()
    for number, (time, row) in enumerate(good.iterrows()):
        expected = one.update({"time": time, **row})
        if number == 30:
            with pytest.raises(DataError, match=rf"series city from {time} is not finite(.*\n)*.*largest input is x"):
                other.update({"time": time, **bad.iloc[30]})
        found = other.update({"time": time, **row})
        assert (found is None) == (expected is None)
        assert found is None or found.equals(expected)


@pytest.mark.parametrize("stage", ["test", "predict"])
def test_a_trainer_refuses_forecasts_that_are_not_finite(stage):
    data = windows(broken(-1 if stage == "predict" else 35))
    model = linear(windows())
    with torch.no_grad():
        model.skip.weight.fill_(1e20)
    with pytest.raises(DataError, match=r"series city from 2020-02-\d\d 00:00:00 is not finite(.*\n)*.*input is x: 1e"):
        getattr(trainer(), stage)(model, data)


@pytest.mark.parametrize("stage", ["test", "predict"])
def test_an_ensemble_refuses_forecasts_that_are_not_finite(stage):
    data = windows(broken(-1 if stage == "predict" else 35))
    model = linear(windows())
    with torch.no_grad():
        model.skip.weight.fill_(1e20)
    data.setup(stage)
    with pytest.raises(DataError, match="series city from 2020-02"):
        forecast_together([model], data, stage)


def test_weights_that_are_not_finite_are_not_blamed_on_an_input():
    data = windows()
    model = linear(data)
    with torch.no_grad():
        model.skip.weight.fill_(np.nan)
    with pytest.raises(DataError, match="No input is far from the training's: use another checkpoint"):
        model.forecast(noise(60))


def test_a_loss_that_is_not_finite_names_the_largest_input():
    raw = noise(60)
    raw["x"] = 0.0  # many zeros: the interquartile range is 0, and the column keeps its unit
    raw.iloc[10, 0] = 1e30
    data = windows(raw, scaler="robust")
    model = Forecaster(partial(RNN, hidden_size=2), linear_skip=True, schema=data.schema)
    with pytest.raises(
        NotFiniteError, match=r"(.*\n)*The largest input is x: 1e\+30, .* data\.scaler, such as standard"
    ):
        trainer(max_epochs=1).fit(model, data)
