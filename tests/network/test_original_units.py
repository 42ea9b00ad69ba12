"""Losses of a target in original units, such as counts, within a network."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch.nn.functional import softplus

from forecastlab.backbones.gru import GRU
from forecastlab.batch import Batch, Schema
from forecastlab.decoders import Seq2Seq
from forecastlab.errors import ConfigError, DataError
from forecastlab.losses import Bernoulli, GaussianNLL, LogNormal, NegativeBinomial, Poisson, ZeroInflated
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, as_if_trained, loss_of, trainer

LOOKBACK, HORIZON = 6, 3
SCHEMA = Schema(("x", "y", "padded"), ("y",), horizon=HORIZON, lookback=LOOKBACK, min_history=2)
SMALL = partial(GRU, hidden_size=4)
COUNTED = [Poisson, NegativeBinomial, ZeroInflated]
EVERY = [*COUNTED, Bernoulli, LogNormal]


def batch(level=20.0):
    """Four windows of counts, the last one short of two rows."""
    random = np.random.default_rng(0)
    counts = random.poisson(level, (4, LOOKBACK + HORIZON)).astype(float)
    counts[3, :2] = counts[3, 2]
    history = np.stack([random.normal(size=(4, LOOKBACK)), counts[:, :LOOKBACK], np.zeros((4, LOOKBACK))], -1)
    history[3, :2, 2] = 1
    target = torch.as_tensor(counts[:, None, LOOKBACK:, None])
    return Batch(
        history=torch.as_tensor(history),
        known=torch.empty(4, 1, HORIZON, 0).double(),
        static=torch.empty(4, 0).double(),
        last=torch.as_tensor(counts[:, None, LOOKBACK - 1, None]),
        target=target,
        weight=torch.ones_like(target),
        index=torch.zeros(4, 1, dtype=torch.int64),
        series=torch.zeros(4, dtype=torch.int64),
    )


def forecaster(loss, window_norm="level", scaled=True, schema=SCHEMA, **settings):
    """A network in float64, which passes for trained; `scaled`: with a scaling that is not the identity."""
    torch.manual_seed(0)
    model = Forecaster(SMALL, loss=loss, window_norm=window_norm, schema=schema.as_dict(), **settings).double().eval()
    for name, buffer in model.scaling.named_buffers() if scaled else ():
        buffer.copy_(7 + torch.rand_like(buffer))
        if name.endswith("scale"):
            buffer.fill_(3.0)
    return as_if_trained(model)


@pytest.mark.parametrize("loss", EVERY)
@pytest.mark.parametrize("window_norm", ["none", "level"])
def test_no_scaling_makes_a_forecast_leave_the_values_that_a_target_can_have(loss, window_norm):
    low, high = loss.support
    for level in (0.0, 0.4, 3000.0):
        made = loss if loss is ZeroInflated else partial(loss, quantiles=[0.001, 0.5])
        with torch.no_grad():
            prediction = forecaster(made, window_norm).predict(batch(level))
        for part in (prediction.forecast, prediction.quantiles):
            assert part.isfinite().all()
            assert part.min() >= low
            assert part.max() <= high


def test_the_mean_is_softplus_of_the_output_times_the_level_of_the_window():
    model, x = forecaster(NegativeBinomial), batch()
    inner = model.decoder(*decoded(model, x))
    level = np.array([1 + window[window[:, 2] == 0, 1].mean() for window in x.history.numpy()])[:, None, None, None]
    wanted = level * (1e-6 + softplus(inner[..., 0])).detach().numpy()
    np.testing.assert_allclose(model(x).detach(), wanted, rtol=1e-12)
    raw = model.run(model.scaled(x)).raw.detach().numpy()
    np.testing.assert_allclose(raw[..., 1], (1e-6 + softplus(inner[..., 1])).detach().numpy() / np.sqrt(level))


def decoded(model, x):
    """What the decoder of a network is given."""
    scaled = model.scaled(x)
    return model.backbone(model.inputs(scaled))[0], scaled.known, scaled.last


def test_without_a_level_the_mean_is_softplus_of_the_output_times_the_unit_of_the_scaler():
    model, x = forecaster(Poisson, "none"), batch()
    wanted = 3.0 * (1e-6 + softplus(model.decoder(*decoded(model, x))[..., 0]))
    torch.testing.assert_close(model(x), wanted)


def test_the_network_reads_the_past_in_units_of_the_level_and_the_decoder_too():
    model, x = forecaster(Poisson), batch()
    scaled = model.scaled(x)
    level = scaled.unit
    own, there = x.history[..., 1:2], 1 - x.history[..., 2:]
    torch.testing.assert_close(scaled.inputs[..., 1:2], own * there / level)
    torch.testing.assert_close(scaled.last, x.last / level)
    assert torch.equal(scaled.target, x.target)


@pytest.mark.parametrize("loss", EVERY)
def test_the_loss_is_that_of_the_counts_themselves(loss):
    model, x = forecaster(loss), batch(0.7)
    x = (
        x._replace(target=x.target.clamp(max=1))
        if loss is Bernoulli
        else x._replace(target=x.target + (loss is LogNormal))
    )
    raw = model.run(model.scaled(x)).raw
    assert loss_of(model, x).item() == pytest.approx(-model.loss.log_prob(raw, x.target).mean().item())


def test_a_level_suits_other_losses_and_series_of_any_size_look_alike():
    model = forecaster(GaussianNLL, scaled=False)
    near, far = batch(1e4), batch(1e4)
    history = far.history.clone()
    history[..., 1] *= 1000
    far = far._replace(history=history, last=1000 * far.last)
    torch.testing.assert_close(model.predict(far).quantiles, 1000 * model.predict(near).quantiles, rtol=1e-3, atol=0)
    assert model.predict(near).quantiles.abs().min() > 10  # and not in units of the scaler, which are 1


@pytest.mark.parametrize("loss", COUNTED)
def test_a_decoder_that_feeds_back_reads_means_in_units_of_the_level(loss):
    model, x = forecaster(loss, decoder=partial(Seq2Seq, attention="none")), batch()
    scaled = model.scaled(x)
    means = model.loss.point(model.run(scaled).raw) / scaled.unit[:, None]
    decoder, (encoded, known, last) = model.decoder, decoded(model, x)
    fed = torch.cat([last, means[:, 0, :-1]], 1)
    state = decoder._start(encoded[:, -1], None)
    outputs = decoder._run_forced(fed, known[:, 0], state, None)
    torch.testing.assert_close(model.loss.fed_back(outputs), means[:, 0])


def test_intervals_of_counts_do_not_go_below_zero():
    model, x = forecaster(partial(Poisson, quantiles=[0.05, 0.95]), intervals=[0.9]), batch(0.5)
    model.intervals.margin.fill_(2.0)
    quantiles = model.predict(x).quantiles
    assert quantiles.min() == 0
    assert quantiles.max() > 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"anchor": "last"}, "model.anchor: last would change that. Set --model.anchor none"),
        ({"anchor": "last", "window_norm": "mean"}, "Set --model.anchor none"),
        ({"window_norm": "standard"}, "model.window_norm: standard would change that. Set --model.window_norm level"),
        ({"loss_units": "window"}, "model.loss_units: window would change that. Set --model.loss_units scaled"),
        ({"linear_window": True}, "linear_window moves forecasts"),
        ({"schema": Schema(("y",), ("y",), lookback="full")}, "window_norm needs windows, but lookback: full"),
        ({"schema": Schema(("x",), ("y",), lookback=4)}, "window_norm: level needs the targets among the features"),
        (
            {"schema": Schema(("y",), ("y",), lookback=4, recipe={"transform": {"y": ["log1p"]}})},
            "NegativeBinomial is about the target in original units, which data.transform leaves",
        ),
    ],
)
def test_settings_that_would_move_the_zero_of_a_count_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        forecaster(NegativeBinomial, **settings)


@pytest.mark.parametrize(
    ("loss", "value", "words"),
    [
        (
            Poisson,
            -1.0,
            r"takes whole numbers from 0 on, but y of city at 2020-01-31.* is -1 \(there are 1 such values\)",
        ),
        (NegativeBinomial, 2.5, "takes whole numbers from 0 on, but y of city at 2020-01-31.* is 2.5"),
        (Bernoulli, 2.0, "takes whole numbers from 0 to 1, but y of city"),
        (LogNormal, 0.0, "takes numbers above 0, but y of city at 2020-01-31.* is 0"),
    ],
)
def test_a_target_that_has_no_probability_is_refused_before_the_training(loss, value, words):
    frame = pd.DataFrame({"y": np.ones(60)}, index=pd.date_range("2020-01-01", periods=60))
    frame.iloc[30, 0] = value
    data = Series(frame, features=("y",))
    with pytest.raises(DataError, match=words):
        trainer(max_epochs=1).fit(Forecaster(SMALL, loss=loss, schema=data.schema), data)


def test_a_missing_count_is_no_value(tmp_path):
    frame = pd.DataFrame({"y": np.ones(60)}, index=pd.date_range("2020-01-01", periods=60))
    frame.iloc[30, 0] = np.nan
    data = Series(frame, features=("y",), recipe={"missing": "interpolate"})
    run = trainer(max_epochs=1, default_root_dir=tmp_path)
    run.fit(Forecaster(SMALL, loss=LogNormal, schema=data.schema), data)
    assert run.callback_metrics["train/loss"].isfinite()


# a panel whose truth is known


def counts(levels, dispersion, rows):
    """Negative binomial counts with variance m + (dispersion / √(1 + m)) m² of series with unlike means m."""
    random = np.random.default_rng(0)
    size = np.sqrt(1 + levels) / dispersion
    return random.negative_binomial(size[:, None], (size / (size + levels))[:, None], (len(levels), rows))


def test_a_panel_of_counts_gives_back_its_parameters_and_covers_what_it_should_at_every_level():
    levels = np.geomspace(0.3, 3000, 200)
    drawn = counts(levels, 0.6, 60).astype(float)
    schema = Schema(("y",), ("y",), lookback=30)
    torch.manual_seed(0)
    loss = partial(NegativeBinomial, quantiles=[0.05, 0.95])
    model = Forecaster(partial(GRU, hidden_size=8), loss=loss, window_norm="level", schema=schema.as_dict())

    def windows(origins):
        parts = [(drawn[:, at - 30 : at], drawn[:, at]) for at in origins]
        history, target = (torch.as_tensor(np.concatenate(part)) for part in zip(*parts, strict=True))
        empty, shape = torch.empty(len(target), 1, 1, 0).double(), (-1, 1, 1, 1)
        return Batch(
            *(history[..., None], empty, empty[:, 0, 0], history[:, -1:, None], target.view(shape)),
            *(torch.ones(len(target), 1, 1, 1), torch.zeros(len(target), 1).long(), torch.zeros(len(target)).long()),
        )

    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    train, test = windows(range(30, 50, 2)), windows(range(50, 60))
    for _ in range(150):
        optimizer.zero_grad()
        loss_of(model, train).backward()
        optimizer.step()
    scaled = as_if_trained(model).eval().scaled(test)
    with torch.no_grad():
        mean, dispersion = (part.flatten().double().numpy() for part in model.run(scaled).raw.unbind(-1))
        prediction = model.predict(test)
    truth = np.tile(levels, 10)
    shared = np.sqrt(1 + truth) * dispersion
    assert np.median(mean / truth) == pytest.approx(1, abs=0.05)
    assert np.median(shared) == pytest.approx(0.6, abs=0.1)
    size = np.sqrt(1 + truth) / 0.6
    own = stats.nbinom(size, size / (size + truth))
    low, high = (prediction.quantiles.flatten(0, -2)[:, number].numpy() for number in range(2))
    assert ((low == np.round(low)) & (high == np.round(high))).all()
    nominal = own.cdf(own.ppf(0.95)) - own.cdf(own.ppf(0.05) - 1)  # of counts it is 90 % or more
    inside = (low <= test.target.flatten().numpy()) & (test.target.flatten().numpy() <= high)
    for decile in np.array_split(np.argsort(truth), 10):
        assert inside[decile].mean() == pytest.approx(nominal[decile].mean(), abs=0.06)
