"""Decoders that go on from the state of the backbone, beside encoder-decoders written with torch.nn alone."""

from functools import partial

import pytest
import torch
from torch import nn

from forecastlab.backbones.base import Backbone
from forecastlab.backbones.bn_lstm import BNLSTM
from forecastlab.backbones.gru import GRU
from forecastlab.backbones.larnn import LARNN
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.peephole_lstm import PeepholeLSTM
from forecastlab.backbones.residual_lstm import ResidualLSTM
from forecastlab.backbones.rnn import RNN
from forecastlab.backbones.slstm import SLSTM
from forecastlab.decoders import DeepAR, Seq2Seq
from forecastlab.errors import ConfigError
from forecastlab.export.functions import Forecasting
from forecastlab.export.program import quiet
from forecastlab.hybrids.bidirectional import Bidirectional
from forecastlab.losses import GaussianNLL
from forecastlab.network.registry import registered_backbones
from forecastlab.training.forecaster import Forecaster
from tests.series import as_if_trained
from tests.training.networks import SCHEMA, batch

FROM_ENCODER = {"initial_state": "encoder"}
PLAIN = partial(Seq2Seq, attention="none", **FROM_ENCODER)
TWO_LAYERS = partial(LSTM, hidden_size=4, num_layers=2)


def network(backbone, decoder, schema=SCHEMA, **settings):
    torch.manual_seed(0)
    model = Forecaster(backbone, decoder=decoder, **settings, schema=schema.as_dict()).double().eval()
    return as_if_trained(model)


class EncoderDecoder(nn.Module):
    """Sutskever's network by hand: torch.nn's encoder, whose last state is the first one of a cell that reads y."""

    def __init__(self, encoder, cell, output):
        super().__init__()
        self.encoder, self.cell, self.output = encoder, cell, output

    def forward(self, x, known, last):
        _, state = self.encoder(x)
        state = [part[-1] for part in state] if isinstance(state, tuple) else state[-1]
        y, forecasts = last, []
        for known_t in known.unbind(1):
            state = self.cell(torch.cat([y, known_t], -1), state)
            h = state[0] if isinstance(state, tuple) else state
            y = self.output(torch.cat([h, known_t], -1))
            forecasts.append(y)
        return torch.stack(forecasts, 1)


def by_hand(model, kind):
    encoder, cell = (nn.LSTM, nn.LSTMCell) if kind == "lstm" else (nn.GRU, nn.GRUCell)
    decoder = model.decoder
    twin = EncoderDecoder(encoder(3, 4, batch_first=True), cell(2, 4), nn.Linear(5, 1)).double()
    twin.encoder.load_state_dict(model.backbone.rnn.state_dict())
    twin.cell.load_state_dict({name.removesuffix("_l0"): part for name, part in decoder.rnn.state_dict().items()})
    twin.output.load_state_dict(decoder.output.state_dict())
    return twin


@pytest.mark.parametrize(("kind", "backbone"), [("lstm", LSTM), ("gru", GRU)])
def test_the_network_is_an_encoder_decoder_written_by_hand_and_so_are_its_gradients(kind, backbone):
    model = network(partial(backbone, hidden_size=4), partial(PLAIN, cell=kind))
    twin, scaled = by_hand(model, kind), model.scaled(batch())
    found = model.run(scaled).raw[:, 0, ..., 0]
    expected = twin(scaled.inputs, scaled.known[:, 0], scaled.last[:, 0])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    found.square().sum().backward()
    expected.square().sum().backward()
    for ours, its in ((model.backbone.rnn, twin.encoder), (model.decoder.rnn, twin.cell)):
        for one, other in zip(ours.parameters(), its.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-12)


def test_every_layer_of_the_decoder_starts_from_the_same_layer_of_the_encoder():
    model = network(TWO_LAYERS, partial(PLAIN, num_layers=2))
    scaled = model.scaled(batch())
    _, state = model.backbone.rnn(scaled.inputs)
    first = torch.cat([scaled.last[:, 0], scaled.known[:, 0, 0]], -1).unsqueeze(1)
    h, _ = model.decoder.rnn(first, state)
    expected = model.decoder.output(torch.cat([h[:, 0], scaled.known[:, 0, 0]], -1))
    torch.testing.assert_close(model.run(scaled).raw[:, 0, 0, :, 0], expected, rtol=0, atol=1e-12)


def hidden_and_cell(model, x):
    """h and c of the last layer after a sequence, by the signals of the backbone."""
    signals = model.trace(x)
    layer = model.num_layers - 1 if hasattr(model, "num_layers") else len(model.layers) - 1
    names = [name for name in ("hidden", "cell") if f"layers.{layer}.{name}" in signals]
    return [signals[f"layers.{layer}.{name}"][:, -1] for name in names]


@pytest.mark.parametrize("backbone", [RNN, GRU, LSTM, PeepholeLSTM, ResidualLSTM, BNLSTM, LARNN])
def test_a_backbone_hands_over_the_hidden_and_cell_states_that_it_shows(backbone):
    model, x = backbone(3, hidden_size=4, num_layers=2).double().eval(), torch.randn(2, 6, 3).double()
    handed = model.layer_states(model(x)[1])
    shown = hidden_and_cell(model, x)
    assert len(handed) == len(shown) == (1 if backbone in (RNN, GRU) else 2)
    for part, signal in zip(handed, shown, strict=True):
        assert part.shape == (2, 2, 4)
        torch.testing.assert_close(part[:, -1], signal)


def test_a_state_that_is_not_h_and_c_is_not_handed_over():
    with_states = {RNN, GRU, LSTM, PeepholeLSTM, ResidualLSTM, BNLSTM, LARNN}
    for cls in {*registered_backbones().values()} - with_states:
        if cls.layer_states is not Backbone.layer_states:
            model = cls(3)
            assert model.layer_states(model.initial_state(1)) is None


@pytest.mark.parametrize("decoder", [PLAIN, partial(Seq2Seq, **FROM_ENCODER), partial(DeepAR, **FROM_ENCODER)])
def test_training_reaches_every_weight_and_evaluation_knows_no_truth(decoder):
    model, x = network(partial(LSTM, hidden_size=4), decoder, loss=GaussianNLL), batch()
    expected = model.run(model.scaled(x)).raw
    assert torch.equal(model.run(model.scaled(x._replace(target=10 * x.target))).raw, expected)
    model.train()
    scaled = model.scaled(x)
    model.loss_of(model.run(scaled), x, scaled).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in model.parameters())


def test_paths_and_signals_start_from_the_state_too():
    model, x = (
        network(partial(GRU, hidden_size=4), partial(Seq2Seq, cell="gru", **FROM_ENCODER), loss=GaussianNLL),
        batch(),
    )
    scaled = model.scaled(x)
    encoded, state = model.encoded(scaled)
    mean = model.run(scaled).raw[..., 0]
    model.loss.sample = lambda raw: raw[..., 0]  # the draw of a path is the mean, so that the path is the forecast
    model.loss.fed_back = model.decoder.point
    paths = model.paths(scaled, encoded, state, 3)
    torch.testing.assert_close(paths, mean.unsqueeze(-1).expand_as(paths))
    other = model.paths(scaled, encoded, tuple(part + 1 for part in state), 3)
    assert not torch.isclose(other, paths).any()
    assert model.trace(x)["decoder.attention"].shape == (3, 1, 2, 5)


def test_independent_channels_start_from_a_state_each():
    schema = SCHEMA.__class__(("x", "y", "hour_sin"), ("x", "y"), known=("hour_sin",), horizon=2, lookback=5)
    model, x = network(partial(LSTM, hidden_size=4), PLAIN, schema=schema, channels="independent"), batch(schema)
    changed = x._replace(history=x.history + torch.tensor([5.0, 0.0, 0.0]))
    moved = (model(changed) != model(x)).flatten(0, 2).all(0)
    assert moved.tolist() == [True, False]


def test_an_exported_network_starts_from_the_state():
    model, x = network(partial(LSTM, hidden_size=4), PLAIN), batch()
    with quiet():
        given = {"history": x.history, "known": x.known[:, 0], "last": x.last[:, 0]}
        exported = torch.export.export(Forecasting(model), (), kwargs=given).module()
    torch.testing.assert_close(exported(**given)["forecast"], model(x)[:, 0])


@pytest.mark.parametrize(
    ("backbone", "decoder", "settings", "words"),
    [
        (SLSTM, PLAIN, {}, "needs a backbone whose state is h and c, or h, .* SLSTM has none"),
        (Bidirectional, PLAIN, {}, "Bidirectional has none: set initial_state: bridge"),
        (GRU, PLAIN, {}, "starts from h and c of 1 layer of width 64, and the state of GRU is h alone of 1 layer of"),
        (LSTM, partial(PLAIN, cell="gru"), {}, "starts from h alone of 1 layer .* of LSTM is h and c of 1 layer"),
        (TWO_LAYERS, PLAIN, {}, "1 layer of width 4, and the state of LSTM is h and c of 2 layers of width 4"),
        (
            LSTM,
            partial(PLAIN, hidden_size=5),
            {},
            "1 layer of width 5, and .* of width 64: choose cell, num_layers and",
        ),
        (LSTM, partial(DeepAR, cell="gru", **FROM_ENCODER), {"loss": GaussianNLL}, "initial_state: encoder of DeepAR"),
        (LSTM, PLAIN, {"channels": "independent", "across": GRU}, "starts from a state that model.across does not mix"),
    ],
)
def test_a_state_that_does_not_fit_the_decoder_is_refused(backbone, decoder, settings, words):
    with pytest.raises(ConfigError, match=words) as caught:
        network(backbone, decoder, **settings)
    assert len(str(caught.value).splitlines()) <= 10


def test_a_sequence_in_which_every_step_is_an_origin_is_refused():
    schema = SCHEMA.__class__(("x", "y"), ("y",), horizon=2, lookback="full")
    with pytest.raises(ConfigError, match="initial_state: encoder needs windows, but lookback: full"):
        network(LSTM, PLAIN, schema=schema)
