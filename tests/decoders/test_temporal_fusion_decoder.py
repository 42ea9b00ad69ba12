import numpy as np
import pytest
import torch

from forecastlab.decoders import TemporalFusionDecoder
from forecastlab.decoders.encoder_attention import AttentionSizeError
from tests.hybrids.gated import gated_residual, gated_skip, linear, softmax, variable_selection

BATCH, TIME, WIDTH, HORIZON, TARGETS, OUTPUTS = 2, 6, 6, 4, 2, 3


def built(known=2, **arguments):
    decoder = TemporalFusionDecoder(WIDTH, HORIZON, TARGETS, known, OUTPUTS, **arguments).double().eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return decoder


def inputs(known=2, origins=3):
    return (
        torch.randn(BATCH, TIME, WIDTH).double(),
        torch.randn(BATCH, origins, HORIZON, known).double(),
        torch.zeros(BATCH, origins, TARGETS).double(),
    )


def transcribed(decoder, encoded, known, shared=True, masked=True):
    """The forecasts of one origin, the last row of `encoded` (time, width), and the weights of its attention."""
    origin = encoded[-1]
    selection, enrichment = (gated_residual(part, origin) for part in decoder.contexts)
    step = np.arange(1, HORIZON + 1)[:, None] / HORIZON
    xi, _ = variable_selection(decoder.select, np.concatenate([known, step], -1), np.tile(selection, (HORIZON, 1)))
    start = torch.from_numpy(np.tanh(linear(decoder.bridge, origin)))[None].chunk(decoder._states, -1)
    rnn = (torch.nn.LSTM if decoder._states > 1 else torch.nn.GRU)(WIDTH, WIDTH).double()
    rnn.load_state_dict({f"{name}_l0": value for name, value in decoder.cell.state_dict().items()})
    read, _ = rnn(torch.from_numpy(xi), tuple(start) if len(start) > 1 else start[0])
    phi = gated_skip(decoder.locality, read.detach().numpy(), xi)
    theta = gated_residual(decoder.enrich, phi, np.tile(enrichment, (HORIZON, 1)))
    rows = np.concatenate([encoded, theta])
    size, weights = decoder.size, []
    for head in range(decoder.num_heads):
        own = slice(head * size, (head + 1) * size)
        query, key = linear(decoder.query, theta)[:, own], linear(decoder.key, rows)[:, own]
        scores = query @ key.T / np.sqrt(size)
        for k in range(HORIZON if masked else 0):
            scores[k, len(encoded) + k + 1 :] = -np.inf
        weights.append(softmax(scores))
    attention = np.mean(weights, 0) if shared else weights[0]
    delta = gated_skip(decoder.attended, linear(decoder.combine, attention @ linear(decoder.value, rows)), theta)
    psi = gated_residual(decoder.feed_forward, delta)
    y = linear(decoder.output, gated_skip(decoder.past_attention, psi, phi))
    return y.reshape(HORIZON, TARGETS, OUTPUTS), attention


@pytest.mark.parametrize("arguments", [{}, {"cell": "gru", "num_heads": 2}, {"num_heads": 8}])
@pytest.mark.parametrize("known", [0, 2])
def test_each_forecast_equals_its_transcription(known, arguments):
    decoder, given = built(known, **arguments), inputs(known)
    y, signals = decoder(*given).detach().numpy(), decoder.trace(*given)
    for b in range(BATCH):
        for o in range(3):
            seen = TIME - 2 + o
            expected, attention = transcribed(decoder, given[0][b, :seen].numpy(), given[1][b, o].numpy())
            np.testing.assert_allclose(y[b, o], expected, atol=1e-12)
            past = attention[:, :seen] / attention[:, :seen].sum(-1, keepdims=True)
            np.testing.assert_allclose(signals["attention"][b, o, :, :seen].detach().numpy(), past, atol=1e-12)
            np.testing.assert_allclose(signals["ahead"][b, o].detach(), attention[:, seen:].sum(-1), atol=1e-12)
            _, weights = variable_selection(
                decoder.select,
                np.concatenate([given[1][b, o].numpy(), np.arange(1, HORIZON + 1)[:, None] / HORIZON], -1),
                np.tile(gated_residual(decoder.contexts[0], given[0][b, seen - 1].numpy()), (HORIZON, 1)),
            )
            np.testing.assert_allclose(signals["selection"][b, o].detach(), weights, atol=1e-12)


@pytest.mark.parametrize("wrong", [{"shared": False}, {"masked": False}])
def test_one_head_alone_or_steps_that_see_later_ones_make_other_forecasts(wrong):
    decoder, given = built(), inputs(origins=1)
    y = decoder(*given).detach().numpy()[0, 0]
    assert np.abs(y - transcribed(decoder, given[0][0].numpy(), given[1][0, 0].numpy(), **wrong)[0]).max() > 1e-3


def test_a_step_reads_the_known_covariates_up_to_itself_alone():
    decoder, (encoded, known, last) = built(), inputs()
    known.requires_grad_()
    decoder(encoded, known, last)[0, 1, 2].sum().backward()
    assert (known.grad.abs().sum(-1) > 0).nonzero().tolist() == [[0, 1, 0], [0, 1, 1], [0, 1, 2]]


def test_weights_that_would_not_fit_in_memory_are_refused():
    decoder = TemporalFusionDecoder(2, 30, 1, 0, 1)
    encoded = torch.zeros(1, 5000, 2).expand(64, -1, -1)
    with pytest.raises(AttentionSizeError, match="64 sequences, 4 heads, 5000 origins and 30 steps to 5000 rows would"):
        decoder._weights(encoded, torch.zeros(1, 1, 1, 1).expand(64, 5000, 30, 2))


def test_no_heads_are_refused():
    with pytest.raises(ValueError, match="num_heads must be a positive integer"):
        TemporalFusionDecoder(2, 1, 1, 0, 1, num_heads=0)
