"""What a network of parts computes, and which parts do not fit together."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import Adam

from forecastlab.backbones.bn_lstm import BNLSTM
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.stepping import Stepped
from forecastlab.batch import Batch, Schema
from forecastlab.decoders import Linear, Seq2Seq
from forecastlab.errors import ConfigError
from forecastlab.hybrids.parallel import Parallel
from forecastlab.losses import MAE, MSE
from forecastlab.penalties import ActivationPenalty
from forecastlab.training.forecaster import Forecaster
from tests.frames import module, panel
from tests.series import Series, loss_of, noise
from tests.training.networks import SCHEMA, SMALL, batch, forecaster, trained, zeroed


@pytest.mark.parametrize("origins", [1, 3])
def test_a_network_of_zeros_anchored_at_the_last_value_forecasts_exactly_that(origins):
    model, x = zeroed(forecaster(SMALL, anchor="last", linear_skip=True)), batch(samples=500, origins=origins)
    x = x._replace(last=10 * torch.randn_like(x.last))  # scaling them there and back would lose digits
    assert torch.equal(model(x), x.last[:, :, None].expand(500, origins, 2, 1))


def test_a_network_of_zeros_without_an_anchor_forecasts_the_centre():
    model = zeroed(forecaster(SMALL))
    assert torch.equal(model(batch()), model.scaling.target_center.expand(3, 1, 2, 1))


@pytest.mark.parametrize("anchor", ["none", "last"])
def test_the_forecast_is_that_of_the_parts_in_original_units(anchor):
    model, x = forecaster(SMALL, anchor=anchor, linear_skip=True), batch(origins=2)
    scaling = dict(model.scaling.named_buffers())
    scaled = ((x.history - scaling["feature_center"]) / scaling["feature_scale"]).float()
    known = ((x.known - scaling["known_center"]) / scaling["known_scale"]).float()
    encoded, _ = model.backbone(scaled)
    raw = model.decoder.linear(torch.cat([encoded[:, -2:], known.flatten(2)], -1)) + model.skip(scaled[:, -2:])
    raw = raw.view(3, 2, 2, 1)
    if anchor == "last":
        expected = x.last[:, :, None] + raw * scaling["target_scale"]
    else:
        expected = scaling["target_center"] + raw * scaling["target_scale"]
    torch.testing.assert_close(model(x), expected)


def test_the_linear_skip_alone_is_a_linear_map_of_the_last_row():
    model, x = forecaster(SMALL, linear_skip=True), batch()
    with torch.no_grad():
        for parameter in (*model.backbone.parameters(), *model.decoder.parameters()):
            parameter.zero_()
        model.skip.weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [0.0, -1.0, 0.0]]))
        model.skip.bias.copy_(torch.tensor([0.5, -0.5]))
    s = {name: buffer.double().numpy() for name, buffer in model.scaling.named_buffers()}
    row = (x.history[:, -1].double().numpy() - s["feature_center"]) / s["feature_scale"]
    expected = row @ np.array([[1, 0], [2, -1], [3, 0]]) + [0.5, -0.5]
    expected = expected * s["target_scale"] + s["target_center"]
    np.testing.assert_allclose(model(x)[:, 0, :, 0].detach().numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("anchor", ["none", "last"])
@pytest.mark.parametrize("loss", [MSE, MAE])
def test_the_loss_is_taken_in_scaled_units_and_over_the_values_that_count(anchor, loss):
    model, x = forecaster(SMALL, loss=loss, anchor=anchor), batch(origins=2)
    x = x._replace(weight=(torch.rand(x.weight.shape) > 0.4).float())
    difference = (model(x) - x.target) / model.scaling.target_scale
    difference = difference[x.weight > 0].detach().numpy()
    expected = (difference**2).mean() if loss is MSE else np.abs(difference).mean()
    np.testing.assert_allclose(loss_of(model, x).item(), expected, rtol=1e-5)


def test_what_has_no_weight_changes_neither_loss_nor_gradient():
    model, x = forecaster(SMALL), batch()
    x.weight[1, 0, 1] = 0
    gradients = []
    for filled in (0.0, 1e6):
        x.target[1, 0, 1] = filled
        model.zero_grad()
        loss_of(model, x).backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_no_forecast_depends_on_another_row_of_the_batch_or_on_its_target():
    model, x = forecaster(SMALL, anchor="last", linear_skip=True), batch(samples=4)
    alone = torch.cat([model(Batch(*(part[row : row + 1] for part in x))) for row in range(4)])
    torch.testing.assert_close(model(x), alone)
    assert torch.equal(model(x._replace(target=x.target * 3, weight=x.weight * 0)), model(x))


@pytest.mark.parametrize("scaler", ["standard", "minmax", "robust", "none"])
def test_forecasts_are_in_original_units_whatever_the_scaler(scaler):
    raw = noise(200)
    raw["y"] = 5000 + 100 * raw["y"]
    data = Series(raw, scaler=scaler, lookback=4, validation="tail")
    model, running = trained(data, SMALL, anchor="last", optimizer=partial(Adam, lr=1e-3))
    for key, expected in data.scaling.state_dict().items():
        assert torch.equal(model.scaling.state_dict()[key], expected)
    test = [model.predict_step(x) for x in data.test_dataloader()]
    for prediction in [*test, *running.predict(model, data)]:
        assert ((prediction.forecast - prediction.target).abs()[prediction.weight > 0] < 3000).all()
        assert (prediction.forecast > 3000).all()


@pytest.mark.parametrize("linear_skip", [False, True])
def test_static_covariates_are_inputs_of_every_step(linear_skip):
    schema = Schema(("x", "y"), ("y",), static=("area", "height"), horizon=2, lookback=5)
    model = forecaster(SMALL, linear_skip=linear_skip, schema=schema)
    x = batch(schema)._replace(static=100 * torch.randn(3, 2).double())
    s = dict(model.scaling.named_buffers())
    inputs = torch.cat(
        [
            (x.history - s["feature_center"]) / s["feature_scale"],
            ((x.static - s["static_center"]) / s["static_scale"])[:, None].repeat(1, 5, 1),
        ],
        -1,
    ).float()
    assert model.backbone.input_size == 4
    hidden, _ = model.backbone.rnn(inputs)
    raw = model.decoder.linear(hidden[:, -1])
    if linear_skip:
        raw = raw + model.skip(inputs[:, -1])
    expected = raw.view(3, 1, 2, 1) * s["target_scale"] + s["target_center"]
    torch.testing.assert_close(model(x), expected)
    assert not torch.allclose(model(x._replace(static=x.static + 50)), expected)


def test_static_covariates_of_a_file_reach_the_network_scaled_over_the_series(tmp_path):
    data = module(tmp_path, panel(30), series_column="unique_id", static=["area"])
    model, _ = trained(data, SMALL)
    x = next(iter(data.test_dataloader()))
    area = (x.series + 1 - 2) / np.sqrt(2 / 3)  # the mean and the standard deviation of 1 2 3
    torch.testing.assert_close(model.scaled(x).inputs[..., -1], area.float()[:, None].repeat(1, 4))


class _TakesTwo(Linear):
    def __init__(self, width, horizon):
        raise AssertionError


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"backbone": Linear}, "model.backbone: there is no Backbone .*Linear: a class of"),
        ({"backbone": lambda width: LSTM(width)}, "model.backbone: expected a class"),
        ({"backbone": LSTM(3)}, "model.backbone: expected a class"),
        ({"backbone": partial(LSTM, hidden_size=0)}, "model.backbone: hidden_size must be a positive integer, got 0"),
        ({"backbone": partial(LSTM, hidden=3)}, "model.backbone: .*unexpected keyword argument 'hidden'"),
        ({"backbone": partial(Parallel, branches=())}, "model.backbone: branches must name at least one backbone"),
        ({"backbone": partial(Parallel, branches=[MSE])}, "model.backbone: "),
        ({"backbone": {"class_path": "not_there.LSTM"}}, "model.backbone: not_there.LSTM is not imported"),
        ({"decoder": LSTM}, "model.decoder: there is no Decoder .*LSTM: a class of"),
        ({"decoder": _TakesTwo}, "model.decoder: .*takes 3 positional arguments but 6 were given"),
        ({"loss": nn.MSELoss}, "model.loss: there is no Loss .*MSELoss: a class of"),
        ({"lr_scheduler": "StepLR"}, "model.lr_scheduler: expected a class"),
        ({"penalties": [MSE]}, "model.penalties.0: there is no Penalty .*MSE: a class of"),
        ({"penalties": [ActivationPenalty, partial(ActivationPenalty, beta=-1)]}, "model.penalties.1: beta must be 0"),
        ({"linear_skip": True, "decoder": Seq2Seq}, "linear_skip cannot be added to the forecasts of Seq2Seq"),
        ({"anchor": "Last"}, "model.anchor must be"),
        ({"dropout": 1.0}, "model.dropout must be at least 0 and below 1"),
        ({"dropout": -0.1}, "model.dropout must be at least 0 and below 1"),
    ],
)
def test_a_part_that_does_not_fit_is_refused(arguments, words):
    with pytest.raises(ConfigError, match=words) as caught:
        Forecaster(**arguments, schema=SCHEMA.as_dict())
    assert len(str(caught.value).splitlines()) <= 10


def test_compiled_steps_are_asked_for_by_argument_and_kept_with_the_network():
    plain, compiled = forecaster(BNLSTM), forecaster(BNLSTM, compile=True)
    loops = [module for module in compiled.modules() if isinstance(module, Stepped)]
    assert loops
    assert all(module.chunks is not None for module in loops)
    assert not any(module.chunks for module in plain.modules() if isinstance(module, Stepped))
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    assert compiled.hparams["compile"] is True
