"""DeepAR: paths beside the joint distribution that they are drawn from."""

from functools import partial

import pytest
import torch
from torch.distributions import MultivariateNormal

from forecastlab.backbones.gru import GRU
from forecastlab.batch import Batch, Schema
from forecastlab.decoders import DeepAR, Seq2Seq
from forecastlab.errors import ConfigError
from forecastlab.losses import MSE, GaussianNLL, NegativeBinomial, Quantile
from forecastlab.losses.samples import crps_of_samples
from forecastlab.training.forecaster import Forecaster
from tests.series import as_if_trained

SIZES = (4, 3, 2, 1, 2)
SCHEMA = Schema(("y", "w"), ("y", "w"), horizon=4, lookback=6)
SMALL = partial(GRU, hidden_size=4)


def inputs(origins=2):
    return (
        torch.randn(3, 7, 4).double(),
        torch.randn(3, origins, 3, 1).double(),
        torch.randn(3, origins, 2).double(),
        torch.randn(3, origins, 3, 2).double(),
    )


def batch(samples=3):
    torch.manual_seed(1)
    counts = torch.poisson(torch.full((samples, 10, 2), 30.0)).double()
    return Batch(
        history=counts[:, :6],
        known=torch.empty(samples, 1, 4, 0).double(),
        static=torch.empty(samples, 0).double(),
        last=counts[:, 5:6],
        target=counts[:, None, 6:],
        weight=torch.ones(samples, 1, 4, 2).double(),
        index=torch.zeros(samples, 1, dtype=torch.int64),
        series=torch.zeros(samples, dtype=torch.int64),
    )


def forecaster(loss=NegativeBinomial, decoder=DeepAR, **settings):
    torch.manual_seed(0)
    settings = {"window_norm": "level", **settings}
    return as_if_trained(
        Forecaster(SMALL, decoder=decoder, loss=loss, schema=SCHEMA.as_dict(), **settings).double().eval()
    )


class Linear:
    """A cell whose forecast is linear in the value before it: y_t = a y_{t-1} + ε, a path of an AR(1)."""

    slope, deviation = 0.8, 0.5


def autoregressive():
    """A DeepAR whose mean is 0.8 of the value before it and whose deviation is 0.5."""
    decoder = DeepAR(1, 5, 1, 0, 2).double().eval()
    decoder._read = lambda s, known: s
    decoder._step = lambda x, attentional, layers, attend: [
        (torch.cat([Linear.slope * x, torch.full_like(x, Linear.deviation)], -1).unsqueeze(1),)
    ]
    return decoder


def test_paths_have_the_joint_distribution_of_an_autoregression():
    decoder, count = autoregressive(), 200_000
    last = torch.full((count, 1, 1), 2.0).double()
    paths = decoder.paths(
        torch.zeros(count, 1, 1).double(),
        torch.empty(count, 1, 5, 0),
        last,
        lambda y: torch.normal(y[..., 0], y[..., 1]),
    )[:, 0, :, 0]
    step = torch.arange(1, 6).double()
    mean = 2 * Linear.slope**step
    short, long = torch.minimum(step[:, None], step), torch.maximum(step[:, None], step)
    decay = Linear.slope ** (long - short) * (1 - Linear.slope ** (2 * short)) / (1 - Linear.slope**2)
    wanted = MultivariateNormal(mean, Linear.deviation**2 * decay)
    torch.testing.assert_close(paths.mean(0), wanted.mean, atol=0.01, rtol=0)
    torch.testing.assert_close(paths.T.cov(), wanted.covariance_matrix, atol=0.01, rtol=0)


def test_a_path_reads_its_own_draws_and_not_the_means():
    decoder, (encoded, known, last, _) = DeepAR(*SIZES).double().eval(), inputs()
    draws = iter(torch.randn(3, 6, 2).double())
    path = decoder.paths(encoded, known, last, lambda outputs: next(draws))
    seen = []
    decoder.paths(
        encoded, known, last, lambda outputs: (seen.append(outputs), path[:, :, len(seen) - 1].flatten(0, 1))[1]
    )
    given_the_path = decoder.conditional(encoded, known, last, path)
    torch.testing.assert_close(torch.stack(seen, 1).view_as(given_the_path), given_the_path)


def test_what_is_scored_in_validation_is_what_is_trained():
    decoder, given = DeepAR(*SIZES).double(), inputs()
    torch.testing.assert_close(decoder.eval().conditional(*given), decoder.train()(*given))
    model, x = forecaster(), batch()
    scaled = model.scaled(x)
    scored = model.loss_of(model.run(scaled, scored=True), x, scaled)
    model.train()
    torch.testing.assert_close(model.loss_of(model.run(scaled), x, scaled), scored)


def test_forecasts_are_told_from_the_draws_and_are_repeated_without_moving_the_generator():
    model, x = forecaster(partial(NegativeBinomial, quantiles=[0.25, 0.5])), batch()
    scaled = model.scaled(x)
    before = torch.get_rng_state()
    draws = model.run(scaled).raw
    assert draws.shape == (3, 1, 4, 2, 100)
    assert torch.equal(model.run(scaled).raw, draws)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(draws, draws.round())
    prediction = model.predict(x)
    torch.testing.assert_close(prediction.forecast, draws.mean(-1))
    assert ((draws <= prediction.quantiles[..., :1]).sum(-1) >= 25).all()
    assert ((draws < prediction.quantiles[..., :1]).sum(-1) < 25).all()
    torch.testing.assert_close(model.told_by.crps(draws, x.target), crps_of_samples(draws, x.target))


def test_draws_are_in_the_unit_of_each_window():
    model, x = forecaster(GaussianNLL, window_norm="level"), batch()
    many = x._replace(history=1e6 * x.history, last=1e6 * x.last, target=1e6 * x.target)
    ratio = model.predict(many).quantiles / model.predict(x).quantiles
    torch.testing.assert_close(ratio, torch.full_like(ratio, 1e6), rtol=0.1, atol=0)  # the level is 1 + the mean


@pytest.mark.parametrize("channels", ["mixed", "independent"])
def test_channels_and_anchors_are_turned_back(channels):
    model, x = forecaster(GaussianNLL, channels=channels, anchor="last", window_norm="standard"), batch()
    shifted = x._replace(history=x.history + 1000, last=x.last + 1000, target=x.target + 1000)
    torch.testing.assert_close(
        model.predict(shifted).quantiles, model.predict(x).quantiles + 1000, rtol=1e-9, atol=1e-6
    )


def test_uncertainty_grows_along_the_horizon_where_seq2seq_does_not_see_it():
    """With the weights of an autoregression, in which y_t = y_{t-1} + ε: the deviation after t steps is √t."""
    x, widths = batch(1), {}
    for decoder in (partial(DeepAR, hidden_size=8, samples=4000), partial(Seq2Seq, hidden_size=8, attention="none")):
        model = forecaster(GaussianNLL, decoder, window_norm="none")
        torch.manual_seed(0)
        optimizer = torch.optim.Adam(model.decoder.parameters(), 0.01)
        for _ in range(400):
            y = torch.cumsum(torch.randn(64, 1, 5, 2).double(), 2) / 2
            encoded, known = torch.zeros(64, 1, 4).double(), torch.empty(64, 1, 4, 0).double()
            outputs = model.decoder.train()(encoded, known, y[:, :, 0], y[:, :, 1:])
            loss = model.loss.elementwise(model.loss.parameters_of(outputs), y[:, :, 1:], None, None).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for name, parameter in model.named_parameters():
            if name.startswith("backbone"):
                torch.nn.init.zeros_(parameter)
        zero = x._replace(history=0 * x.history, last=0 * x.last)
        quantiles = model.eval().predict(zero).quantiles[0, 0, :, 0].detach()
        widths[type(model.decoder)] = quantiles[:, 1] - quantiles[:, 0]
    assert (widths[DeepAR][3] / widths[DeepAR][0]).item() == pytest.approx(2, abs=0.3)
    assert (widths[Seq2Seq][3] / widths[Seq2Seq][0]).item() < 1.4


@pytest.mark.parametrize("loss", [MSE, Quantile])
def test_a_loss_without_a_distribution_is_refused(loss):
    with pytest.raises(ConfigError, match=r"DeepAR draws its forecasts from a distribution.*set model.loss to a likel"):
        forecaster(loss)


@pytest.mark.parametrize("samples", [0, 10**12])
def test_a_number_of_paths_is_positive_and_fits_in_memory(samples):
    with pytest.raises(ValueError, match=f"samples must be 1 to 100000, got {samples}"):
        DeepAR(*SIZES, samples=samples)


def test_a_decoder_that_does_not_feed_back_draws_no_paths():
    from forecastlab.decoders import Linear as Side

    with pytest.raises(ConfigError, match="Linear draws no paths"):
        Side(*SIZES).paths(*inputs()[:3], lambda outputs: outputs[..., 0])
