import math
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.optim import Adam

from forecastlab.backbones.gru import GRU
from forecastlab.batch import Batch, Schema
from forecastlab.decoders import Seq2Seq
from forecastlab.errors import ConfigError
from forecastlab.losses import GaussianNLL, ImplicitQuantile, JointMeanQuantile, Mixture, StudentT
from forecastlab.training.forecaster import Forecaster
from tests.frames import module
from tests.frames import wide as frame
from tests.series import loss_of, trainer

LOOKBACK, HORIZON = 6, 2
# x is a feature; y and w, the targets, are read in another order than they are forecast in
SCHEMA = Schema(("w", "x", "y", "hour_sin"), ("y", "w"), known=("hour_sin",), horizon=HORIZON, lookback=LOOKBACK)
OWN = [2, 0]
SMALL = partial(GRU, hidden_size=4)
EPSILON = 1e-5  # what the class says it adds to a window's variance


def batch(samples=4):
    """Windows of unlike level and roughness whose last rows hold the targets' last values."""
    own = 30 * torch.randn(samples, 1, 2) + 10 ** torch.linspace(0, 1.5, samples)[:, None, None] * torch.randn(
        samples, LOOKBACK, 2
    )
    other = torch.randn(samples, LOOKBACK, 2)
    shape = (samples, 1, HORIZON, 2)
    return Batch(
        history=torch.stack([own[..., 1], other[..., 0], own[..., 0], other[..., 1]], -1).double(),
        known=torch.randn(samples, 1, HORIZON, 1).double(),
        static=torch.empty(samples, 0).double(),
        last=own[:, -1:].double(),
        target=own[:, -1, None, None].double() + 5 * torch.randn(shape).double(),
        weight=torch.ones(shape).double(),
        index=torch.zeros(samples, 1, dtype=torch.int64),
        series=torch.zeros(samples, dtype=torch.int64),
    )


def forecaster(window_norm="standard", scaled=False, schema=SCHEMA, **settings):
    """A network in float64; `scaled`: with a scaling that is not the identity, the same for a target's own past."""
    model = Forecaster(SMALL, anchor="last", window_norm=window_norm, schema=schema.as_dict(), **settings)
    if scaled:
        for name, buffer in model.scaling.named_buffers():
            buffer.copy_(2 + torch.rand_like(buffer) if name.endswith("scale") else 15 + torch.rand_like(buffer))
        for part in ("center", "scale"):
            getattr(model.scaling, f"target_{part}").copy_(getattr(model.scaling, f"feature_{part}")[:, OWN])
    return model.double().eval()


def changed(x, factor, shift):
    """The same windows, of which the targets are in another unit."""
    history = x.history.clone()
    history[..., OWN] = factor * history[..., OWN] + shift
    return x._replace(history=history, last=factor * x.last + shift, target=factor * x.target + shift)


def units(history, center=0.0, scale=1.0):
    """In NumPy: what each window's changes are divided by, (samples, targets), in scaled units."""
    scaled = (history[..., OWN].numpy() - center) / scale
    return np.sqrt(((scaled - scaled.mean(1, keepdims=True)) ** 2).mean(1) + EPSILON)


@pytest.mark.parametrize("window_norm", ["last", "standard"])
def test_the_network_reads_and_gives_changes_in_units_of_the_window(window_norm):
    model, x = forecaster(window_norm, scaled=True), batch()
    scaling = {name: buffer.numpy() for name, buffer in model.scaling.named_buffers()}
    scaled = (x.history.numpy() - scaling["feature_center"]) / scaling["feature_scale"]
    unit = np.ones((4, 2))
    if window_norm == "standard":
        unit = units(x.history, scaling["target_center"], scaling["target_scale"])
    for number, column in enumerate(OWN):
        scaled[..., column] = (scaled[..., column] - scaled[:, -1:, column]) / unit[:, None, number]
    known = (x.known.numpy() - scaling["known_center"]) / scaling["known_scale"]

    gru = nn.GRU(4, 4, batch_first=True).double()
    gru.load_state_dict(model.backbone.rnn.state_dict())
    h = gru(torch.from_numpy(scaled))[0][:, -1].detach().numpy()
    linear = {name: value.detach().numpy() for name, value in model.decoder.linear.named_parameters()}
    raw = np.concatenate([h, known.reshape(4, -1)], 1) @ linear["weight"].T + linear["bias"]
    change = raw.reshape(4, HORIZON, 2) * unit[:, None] * scaling["target_scale"]
    np.testing.assert_allclose(model(x)[:, 0].detach().numpy(), x.last.numpy() + change, rtol=1e-10)


@pytest.mark.parametrize("window_norm", ["last", "standard"])
def test_a_shift_of_the_level_shifts_the_forecast_and_changes_nothing_else(window_norm):
    model, x = forecaster(window_norm, scaled=True), batch()
    torch.testing.assert_close(model(changed(x, 1, 1000)), model(x) + 1000, rtol=1e-10, atol=0)


def test_targets_in_another_unit_are_forecast_in_that_unit():
    model, x = forecaster(), batch()
    x = changed(x, 1e4, 0)  # so rough that what guards against constant windows is lost in rounding
    torch.testing.assert_close(model(changed(x, 3, 7)), 3 * model(x) + 7, rtol=1e-9, atol=0)


def test_without_a_division_the_unit_shows():
    model, x = forecaster("last"), batch()
    larger = changed(x, 3, 0)
    assert not torch.allclose(model(larger) - larger.last[:, :, None], 3 * (model(x) - x.last[:, :, None]), rtol=0.1)


def test_quantiles_are_in_units_of_the_window_too():
    model, x = forecaster(loss=JointMeanQuantile), batch()
    x = changed(x, 1e4, 0)
    ours, theirs = (model.predict_step(each).quantiles for each in (changed(x, 3, 7), x))
    torch.testing.assert_close(ours, 3 * theirs + 7, rtol=1e-9, atol=0)


def test_each_window_has_a_unit_of_its_own():
    model, x = forecaster(scaled=True), batch()
    alone = torch.cat([model(Batch(*(part[row : row + 1] for part in x))) for row in range(4)])
    torch.testing.assert_close(model(x), alone, rtol=1e-12, atol=0)


def test_a_constant_window_is_forecast_and_has_a_gradient():
    model, x = forecaster().float(), batch()
    history, last = x.history.clone(), x.last.clone()
    history[1][:, OWN], last[1] = 20.0, 20.0
    x = x._replace(history=history, last=last)
    loss_of(model, x).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    encoded, _ = model.backbone(model.scaled(x).inputs)
    raw = model.decoder(encoded, x.known.float(), torch.zeros_like(x.last).float())[1, :, :, :, 0]
    torch.testing.assert_close(model(x)[1], 20 + math.sqrt(EPSILON) * raw.double())


def test_the_loss_is_taken_in_scaled_units_and_not_in_those_of_the_window():
    model, x = forecaster(scaled=True), batch()
    error = (model(x) - x.target).detach().numpy() / model.scaling.target_scale.numpy()
    loss = loss_of(model, x).item()
    assert loss == pytest.approx((error**2).mean(), rel=1e-10)


def test_a_decoder_is_fed_the_truth_in_the_units_that_it_forecasts_in():
    seq2seq = partial(Seq2Seq, hidden_size=3, attention="none")
    model, x = forecaster(decoder=seq2seq, scaled=True).train(), batch()
    center, scale = model.scaling.target_center.numpy(), model.scaling.target_scale.numpy()
    unit = units(x.history, center, scale)[:, None, None]
    change = (x.target.numpy() - x.last.numpy()[:, :, None]) / scale / unit
    fed = {}

    def remember(_, arguments):
        fed["last"], fed["target"] = arguments[2:]

    model.decoder.register_forward_pre_hook(remember)
    raw = model.run(model.scaled(x)).raw
    np.testing.assert_allclose(fed["target"].numpy(), change, rtol=1e-9)
    assert not fed["last"].any()

    # a decoder that is fed the truth gives its second step from it: cell and output layer by hand
    weight = {name: value.detach() for name, value in model.decoder.named_parameters()}
    state = torch.tanh(nn.functional.linear(model.backbone(model.scaled(x).inputs)[0][:, -1], weight["bridge.weight"]))
    state = torch.tanh(torch.atanh(state) + weight["bridge.bias"]).unflatten(1, (2, 1, 3))
    h, c = state[:, 0, 0], state[:, 1, 0]
    known = (x.known - model.scaling.known_center) / model.scaling.known_scale
    for step, own in enumerate((torch.zeros(4, 2), torch.from_numpy(change)[:, 0, 0])):
        cell = nn.LSTMCell(3, 3).double()
        cell.load_state_dict({name: weight[f"rnn.{name}_l0"] for name in cell.state_dict()})
        h, c = cell(torch.cat([own.double(), known[:, 0, step]], -1), (h, c))
        y = nn.functional.linear(torch.cat([h, known[:, 0, step]], -1), weight["output.weight"], weight["output.bias"])
        np.testing.assert_allclose(
            raw[:, 0, step, :, 0].detach().numpy(), y.detach().numpy() * unit[:, 0, 0], rtol=1e-9
        )


# ---- through the data module ----


@pytest.mark.parametrize(
    ("window_norm", "anchor", "window"), [("last", "last", None), ("standard", "last", None), ("mean", "seasonal", 3)]
)
def test_a_stream_forecasts_as_the_whole_frame_does(window_norm, anchor, window, tmp_path):
    raw = frame(60)
    data = module(tmp_path, raw, features=["x", "y"], lookback=LOOKBACK, horizon=HORIZON, season_length=3)
    settings = {"anchor": anchor, "window_norm": window_norm, "intervals": [0.5], "interval_window": window}
    model = Forecaster(SMALL, **settings, schema=data.schema)
    trainer(max_epochs=1).fit(model, data)
    stream = model.stream()
    found = [stream.update(row) for row in raw.to_dict("records")]
    assert [forecast is None for forecast in found] == [True] * (LOOKBACK - 1) + [False] * (61 - LOOKBACK)
    for rows in (LOOKBACK, 30, 60):
        pd.testing.assert_frame_equal(found[rows - 1], model.forecast(raw[:rows]))


def test_a_trained_network_forecasts_a_calmer_copy_of_its_series_as_well(tmp_path):
    raw = frame(400)
    raw["y"] = 1e3 * (np.sin(np.arange(400) / 3) + np.arange(400) // 100)  # waves that a GRU learns
    data = module(tmp_path, raw, targets=["y"], scaler="none", lookback=12, horizon=HORIZON)
    settings = {"anchor": "last", "schema": data.schema, "optimizer": partial(Adam, lr=0.01)}
    errors = {}
    for window_norm in ("last", "standard"):
        torch.manual_seed(0)
        model = Forecaster(SMALL, window_norm=window_norm, **settings)
        trainer(max_epochs=3).fit(model, data)
        calm = raw.assign(y=raw["y"] / 100 + 5)
        rough, quiet = (model.forecast(each)["forecast"].to_numpy() for each in (raw, calm))
        errors[window_norm] = np.abs(quiet - (rough / 100 + 5)).max()
    assert errors["standard"] < 1e-3 < errors["last"]


def test_a_saved_network_normalises_again(tmp_path):
    raw = frame(60)
    data = module(tmp_path, raw, lookback=LOOKBACK, horizon=HORIZON)
    model = Forecaster(SMALL, anchor="last", window_norm="standard", schema=data.schema)
    running = trainer(max_epochs=1)
    running.fit(model, data)
    running.save_checkpoint(tmp_path / "model.ckpt")
    again = Forecaster.load(tmp_path / "model.ckpt")
    pd.testing.assert_frame_equal(again.forecast(raw), model.forecast(raw))
    assert again.hparams["window_norm"] == "standard"


# ---- what it refuses ----


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"anchor": "none"}, "window_norm: standard needs an anchor, such as last"),
        ({"schema": replace(SCHEMA, features=("w", "x", "hour_sin")).as_dict()}, "among the features: add y"),
        ({"schema": replace(SCHEMA, lookback="full").as_dict()}, "window_norm needs windows, but lookback: full"),
        (
            {"window_norm": "median"},
            "window_norm must be one of none, last, standard, mean, robust, seasonal, level, got 'median'",
        ),
    ],
)
def test_settings_that_it_does_not_fit_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Forecaster(SMALL, **{"anchor": "last", "window_norm": "standard", "schema": SCHEMA.as_dict(), **settings})


def test_a_likelihood_may_be_relative_to_the_last_value():
    model, x = forecaster("last", loss=GaussianNLL, scaled=True), batch()
    torch.testing.assert_close(model(changed(x, 1, 1000)), model(x) + 1000, rtol=1e-10, atol=0)


@pytest.mark.parametrize("loss", [GaussianNLL, StudentT, Mixture, ImplicitQuantile])
@pytest.mark.parametrize("loss_units", ["scaled", "window"])
def test_a_distribution_is_as_wide_as_the_unit_of_its_window(loss, loss_units):
    model = forecaster("robust", loss=loss, loss_units=loss_units)
    model.trained = True
    x = batch()
    x = x._replace(history=x.history + 100, last=x.last + 100, target=x.target + 100)
    found, wanted = model.predict(changed(x, 1000, 0)), model.predict(x)
    torch.testing.assert_close(found.quantiles, 1000 * wanted.quantiles, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.forecast, 1000 * wanted.forecast, rtol=1e-6, atol=0)


def test_a_likelihood_in_units_of_the_window_differs_by_the_logarithm_of_the_unit_alone():
    scaled, window = (forecaster("mean", loss=GaussianNLL, loss_units=units) for units in ("scaled", "window"))
    window.load_state_dict(scaled.state_dict())
    x = batch()
    unit = scaled.scaled(x).unit
    assert float((loss_of(scaled, x) - loss_of(window, x)).detach()) == pytest.approx(float(unit.log().mean()))


def test_data_in_one_sequence_are_refused_to_a_network_that_was_built_for_windows(tmp_path):
    windows, whole = (
        module(tmp_path, frame(60), lookback=lookback, horizon=HORIZON) for lookback in (LOOKBACK, "full")
    )
    model = Forecaster(SMALL, anchor="last", window_norm="last", schema=windows.schema)
    with pytest.raises(ConfigError, match="window_norm needs windows"):
        trainer(max_epochs=1).fit(model, whole)
