"""Anchors, window norms that work at any size, losses in units of the window, and channels of their own."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from forecastlab.backbones.gru import GRU
from forecastlab.batch import Batch, Schema
from forecastlab.decoders import Seq2Seq
from forecastlab.errors import ConfigError, DataError
from forecastlab.hybrids.patches import Patches
from forecastlab.losses import Poisson, Quantile
from forecastlab.runs.checkpoint_schema import SETTINGS
from forecastlab.training.forecaster import Forecaster
from tests.series import loss_of

LOOKBACK, HORIZON, SEASON = 8, 5, 3
SCHEMA = Schema(
    ("w", "x", "y", "padded"), ("y", "w"), horizon=HORIZON, lookback=LOOKBACK, min_history=2, season_length=SEASON
)
OWN = [2, 0]
SMALL = partial(GRU, hidden_size=4)
DIVIDING = ["standard", "mean", "robust", "seasonal"]


def batch(padding=(0, 0, 3), size=1.0):
    """Windows of unlike level and roughness; the last one lacks three rows, which repeat the first."""
    random = np.random.default_rng(0)
    own = size * np.array([10.0, 1.0, 100.0])[:, None, None] * (5 + random.normal(size=(3, LOOKBACK, 2)))
    history = np.concatenate([own[..., [1]], random.normal(size=(3, LOOKBACK, 1)), own[..., [0]]], -1)
    told = np.zeros((3, LOOKBACK, 1))
    for row, lacking in enumerate(padding):
        history[row, :lacking] = history[row, lacking]
        told[row, :lacking] = 1
    history = torch.from_numpy(np.concatenate([history, told], -1))
    shape = (3, 1, HORIZON, 2)
    last = history[:, -1:, OWN]
    return Batch(
        history=history,
        known=torch.empty(3, 1, HORIZON, 0).double(),
        static=torch.empty(3, 0).double(),
        last=last,
        target=last[:, :, None] + torch.from_numpy(size * random.normal(size=shape)),
        weight=torch.ones(shape).double(),
        index=torch.zeros(3, 1, dtype=torch.int64),
        series=torch.zeros(3, dtype=torch.int64),
    )


def forecaster(anchor="last", window_norm="none", schema=SCHEMA, backbone=SMALL, **settings):
    """A network in float64, without a scaling."""
    torch.manual_seed(0)
    model = Forecaster(backbone, anchor=anchor, window_norm=window_norm, schema=schema.as_dict(), **settings)
    return model.double().eval()


def changed(x, factor, shift):
    """The same windows, of which the targets are in another unit."""
    history = x.history.clone()
    history[..., OWN] = factor * history[..., OWN] + shift
    return x._replace(history=history, last=factor * x.last + shift, target=factor * x.target + shift)


def windows(x):
    """The targets' past of each window without its padding: (rows, targets) each."""
    history = x.history.numpy()
    return [window[window[:, 3] == 0][:, OWN] for window in history]


def silent(model):
    """The network with a decoder that gives 0: its forecast is the anchor."""
    for parameter in model.decoder.parameters():
        nn.init.zeros_(parameter)
    return model


def test_a_silent_network_forecasts_the_mean_of_the_window_or_the_seasonal_naive():
    x = batch()
    mean = silent(forecaster("mean"))(x)[:, 0].detach().numpy()
    np.testing.assert_allclose(mean, np.stack([[w.mean(0)] * HORIZON for w in windows(x)]), rtol=1e-12)
    seasonal = silent(forecaster("seasonal"))(x)[:, 0].detach().numpy()
    np.testing.assert_array_equal(seasonal, np.stack([w[-SEASON:][np.arange(HORIZON) % SEASON] for w in windows(x)]))


def by_hand(kind, window, last):
    """(rows, targets): the normalised window, and its unit, in NumPy."""
    level = {"mean": window.mean(0), "robust": np.sort(window, 0)[(len(window) - 1) // 2]}.get(kind, window[-1])
    unit = {
        "last": np.ones(2),
        "standard": np.sqrt(window.var(0) + 1e-5),
        "mean": window.std(0),
        "robust": np.abs(window - level).mean(0),
        "seasonal": np.abs(window[SEASON:] - window[:-SEASON]).mean(0),
    }[kind]
    if kind in ("mean", "robust", "seasonal"):
        unit = np.maximum(unit, 0.02 * np.minimum(np.abs(last), 1))
    return (window - level) / unit, unit


@pytest.mark.parametrize("kind", ["last", *DIVIDING])
def test_windows_are_read_relative_to_their_level_and_in_their_unit(kind):
    x = batch()
    scaled = forecaster(window_norm=kind).scaled(x)
    for row, window in enumerate(windows(x)):
        normalised, unit = by_hand(kind, window, window[-1])
        inputs = scaled.inputs[row].numpy()
        np.testing.assert_allclose(inputs[LOOKBACK - len(window) :, OWN], normalised, rtol=1e-9, atol=1e-12)
        assert not inputs[: LOOKBACK - len(window), OWN].any()
        np.testing.assert_allclose(scaled.unit[row, 0].numpy(), unit, rtol=1e-9)
        np.testing.assert_array_equal(inputs[:, [1, 3]], x.history[row][:, [1, 3]].numpy())


def test_a_window_no_longer_than_a_season_is_measured_by_its_changes_from_row_to_row():
    x = batch(padding=(5, 5, 5))
    unit = forecaster(window_norm="seasonal").scaled(x).unit
    for row, window in enumerate(windows(x)):
        np.testing.assert_allclose(unit[row, 0], np.abs(np.diff(window, axis=0)).mean(0), rtol=1e-9)


@pytest.mark.parametrize(("level", "unit"), [(0.3, 0.006), (20.0, 0.02), (0.0, 0.02)])
def test_the_unit_of_a_window_that_does_not_change_is_a_share_of_its_level_or_of_the_scaler(level, unit):
    x = batch()
    history, last = x.history.clone(), x.last.clone()
    history[1][:, OWN], last[1] = level, level
    found = forecaster(window_norm="seasonal").scaled(x._replace(history=history, last=last)).unit
    np.testing.assert_allclose(found[1], unit, rtol=1e-9)


@pytest.mark.parametrize("anchor", ["last", "mean", "seasonal"])
@pytest.mark.parametrize("kind", ["mean", "robust", "seasonal"])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e9])
def test_a_series_of_any_size_is_forecast_alike(kind, anchor, size):
    model = forecaster(anchor, kind, loss=Quantile)
    small, large = (model.predict_step(batch(size=each)) for each in (1.0, size))
    torch.testing.assert_close(large.forecast, size * small.forecast, rtol=1e-8, atol=0)
    torch.testing.assert_close(large.quantiles, size * small.quantiles, rtol=1e-8, atol=0)


@pytest.mark.parametrize("kind", ["mean", "robust", "seasonal"])
def test_a_shift_of_the_level_shifts_the_forecast(kind):
    model, x = forecaster("last", kind), batch()
    torch.testing.assert_close(model(changed(x, 1, 50)), model(x) + 50, rtol=1e-9, atol=0)


@pytest.mark.parametrize("kind", DIVIDING)
@pytest.mark.parametrize("level", [0.0, 20.0])
def test_a_constant_window_is_forecast_near_its_level_and_has_a_gradient(kind, level):
    model, x = forecaster(window_norm=kind, loss_units="window"), batch()
    history, last = x.history.clone(), x.last.clone()
    history[1][:, OWN], last[1] = level, level
    x = x._replace(history=history, last=last)
    loss_of(model, x).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    if level:
        torch.testing.assert_close(model(x)[1], torch.full_like(model(x)[1], level), atol=0.1, rtol=0)


def test_a_loss_in_units_of_the_window_counts_small_and_large_series_the_same():
    model, x = forecaster("last", "mean", loss_units="window"), batch()
    unit = np.stack([by_hand("mean", w, w[-1])[1] for w in windows(x)])[:, None, None]
    error = ((model(x) - x.target).detach().numpy() / unit) ** 2
    assert loss_of(model, x).item() == pytest.approx(error.mean(), rel=1e-9)


def test_a_decoder_reads_the_last_value_as_a_change_from_the_anchor_in_units_of_the_window():
    x = batch()
    scaled = forecaster("seasonal", "mean", decoder=partial(Seq2Seq, hidden_size=3, attention="none")).scaled(x)
    for row, window in enumerate(windows(x)):
        unit = by_hand("mean", window, window[-1])[1]
        np.testing.assert_allclose(scaled.last[row, 0], (window[-1] - window[-1 - SEASON]) / unit, rtol=1e-9)


def test_the_linear_map_of_the_window_begins_with_nothing_and_is_the_same_for_every_target():
    model, x = forecaster("last", "mean", linear_window=True), batch()
    plain = forecaster("last", "mean")
    torch.testing.assert_close(model(x), plain(x), rtol=0, atol=0)
    nn.init.normal_(model.linear_window.weight)
    nn.init.normal_(model.linear_window.bias)
    weight, bias = (part.detach().numpy() for part in model.linear_window.parameters())
    scaled = model.scaled(x)
    for target, column in enumerate(OWN):
        added = scaled.inputs[..., column].numpy() @ weight.T + bias
        added *= scaled.unit[:, 0, target, None].numpy()
        found = (model(x) - plain(x))[:, 0, :, target].detach().numpy()
        np.testing.assert_allclose(found, added, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(("channels", "across"), [("mixed", None), ("independent", None), ("independent", SMALL)])
def test_of_several_linear_maps_the_encoding_of_the_window_says_how_much_each_counts(channels, across):
    settings = {"channels": channels, "across": across}
    model, x = forecaster("last", "mean", linear_window=3, **settings), batch()
    plain = forecaster("last", "mean", **settings)
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if "linear_window" not in name})
    torch.testing.assert_close(model(x), plain(x), rtol=0, atol=0)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if "linear_window" not in name})

    scaled = model.scaled(x)
    encoded = model.encoded(scaled).outputs[:, -1].detach().numpy()
    weight, bias, v, c = (part.detach().numpy() for part in model.linear_window.parameters())
    weight, bias = weight.reshape(3, HORIZON, LOOKBACK), bias.reshape(3, HORIZON)
    for target, column in enumerate(OWN):
        h = encoded if channels == "mixed" else encoded[target::2]
        shares = np.exp(h @ v.T + c)
        shares /= shares.sum(1, keepdims=True)
        own = scaled.inputs[..., column].numpy()
        added = sum(shares[:, [k]] * (own @ weight[k].T + bias[k]) for k in range(3))
        found = (model(x) - plain(x))[:, 0, :, target].detach().numpy()
        np.testing.assert_allclose(found, added * scaled.unit[:, 0, target, None].numpy(), rtol=1e-8, atol=1e-8)


def test_independent_channels_are_forecast_as_networks_of_one_target_with_the_same_weights():
    x = batch()
    both = forecaster("last", "mean", channels="independent", loss=Quantile)
    for target, column in enumerate(OWN):
        alone = Schema(("y", "x", "padded"), ("y",), horizon=HORIZON, lookback=LOOKBACK, min_history=2, season_length=3)
        one = forecaster("last", "mean", alone, loss=Quantile)
        one.load_state_dict(both.state_dict() | {k: v for k, v in one.state_dict().items() if k.startswith("scaling")})
        own = x._replace(
            history=x.history[..., [column, 1, 3]],
            last=x.last[..., [target]],
            target=x.target[..., [target]],
            weight=x.weight[..., [target]],
        )
        ours, theirs = both.predict_step(x), one.predict_step(own)
        torch.testing.assert_close(ours.forecast[..., [target]], theirs.forecast, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(ours.quantiles[:, :, :, [target]], theirs.quantiles, rtol=1e-12, atol=1e-12)
        for name, signal in one.trace(own).items():
            torch.testing.assert_close(both.trace(x, target)[name], signal, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("decoder", [partial(Seq2Seq, hidden_size=3)])
def test_independent_channels_are_fed_their_own_truth(decoder):
    model, x = forecaster("last", "mean", channels="independent", decoder=decoder).train(), batch()
    loss_of(model, x).backward()
    assert model.backbone.rnn.weight_ih_l0.grad.abs().sum() > 0


def test_weights_of_one_linear_map_keep_their_names_and_fit_a_network_of_one_map():
    model = forecaster("last", "mean", linear_window=True)
    nn.init.normal_(model.linear_window.weight)
    named = {name for name in model.state_dict() if "linear_window" in name}
    assert named == {"linear_window.weight", "linear_window.bias"}
    again = forecaster("last", "mean", linear_window=1)
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again(batch()), model(batch()), rtol=0, atol=0)


@pytest.mark.parametrize("maps", [True, False, 0, 8, 5000])
def test_a_checkpoint_may_hold_every_number_of_linear_maps_that_a_network_takes(maps):
    SETTINGS(forecaster("last", "mean", linear_window=maps).settings, "")


@pytest.mark.parametrize("maps", [-1, 1.5, "8", None])
def test_a_checkpoint_with_what_is_no_number_of_linear_maps_is_refused(maps):
    settings = {**forecaster("last", "mean").settings, "linear_window": maps}
    with pytest.raises(DataError, match=r"linear_window is .*, expected a whole number"):
        SETTINGS(settings, "")


def test_a_network_over_the_targets_begins_with_independent_channels_and_then_mixes_their_encodings():
    x = batch()
    settings = {"channels": "independent", "loss": Quantile}
    alone = forecaster("last", "mean", **settings)
    model = forecaster("last", "mean", across=partial(GRU, hidden_size=3), **settings)
    model.load_state_dict(model.state_dict() | alone.state_dict())
    torch.testing.assert_close(model(x), alone(x), rtol=0, atol=0)

    nn.init.normal_(model.across.mix.weight)
    nn.init.normal_(model.across.mix.bias)
    h = model.backbone(model.inputs(model.scaled(x)))[0][:, -1].detach()
    gru = nn.GRU(4, 3, batch_first=True).double()
    gru.load_state_dict(model.across.backbone.rnn.state_dict())
    weight, bias = (part.detach().numpy() for part in model.across.mix.parameters())
    mixed = np.empty((3, 2, 4))
    for row in range(3):
        pair = h[2 * row : 2 * row + 2]
        f, b = gru(pair[None])[0][0].detach().numpy(), gru(pair.flip(0)[None])[0][0].detach().numpy()[::-1]
        mixed[row] = pair.numpy() + np.concatenate([f, b], 1) @ weight.T + bias
    found = model.run(model.scaled(x)).encoded[:, -1].detach().numpy()
    np.testing.assert_allclose(found, mixed.reshape(6, 4), rtol=1e-12)


WINDOWS_ONLY = Schema(("y",), ("y",), horizon=2, lookback="full")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"anchor": "median"}, "model.anchor must be one of none, last, mean, seasonal, got 'median'"),
        ({"window_norm": "minmax"}, "model.window_norm must be one of none, last, standard, mean, robust, seasonal"),
        ({"anchor": "none", "window_norm": "mean"}, "window_norm: mean needs an anchor"),
        ({"linear_window": True, "loss": Poisson, "anchor": "none"}, "moves forecasts, which Poisson cannot be"),
        ({"linear_window": -1}, "model.linear_window: expected true, false or a number of maps, got -1"),
        ({"linear_window": True, "decoder": Seq2Seq}, "cannot be added to the forecasts of Seq2Seq"),
        ({"loss_units": "window"}, "loss_units: window needs a window_norm that has units, got none"),
        ({"loss_units": "window", "window_norm": "last"}, "loss_units: window needs a window_norm that has units"),
        ({"across": SMALL}, "model.across mixes the encodings of independent channels"),
        (
            {"across": SMALL, "channels": "independent", "schema": WINDOWS_ONLY},
            "across needs windows, but lookback: full",
        ),
        ({"channels": "separate"}, "model.channels must be one of mixed, independent"),
        ({"anchor": "seasonal", "schema": WINDOWS_ONLY}, "anchor: seasonal needs windows, but lookback: full"),
        ({"linear_window": True, "schema": WINDOWS_ONLY}, "linear_window needs windows, but lookback: full"),
        ({"anchor": "mean", "schema": Schema(("x",), ("y",))}, "needs the targets among the features: add y"),
        ({"channels": "independent", "schema": Schema(("x",), ("y",))}, "needs the targets among the features: add y"),
        ({"backbone": partial(Patches, length=5)}, "a window of 8 rows does not end with a whole segment.*lookback 10"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        forecaster(**settings)
