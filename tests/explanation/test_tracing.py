from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit as logistic

from forecastlab.backbones.alstm import ALSTM
from forecastlab.backbones.larnn import LARNN
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.rnn import RNN
from forecastlab.decoders.attention_pooling import AttentionPooling
from forecastlab.decoders.seq2seq import Seq2Seq
from forecastlab.explanation.tracing import trace
from forecastlab.hybrids.attentive import Attentive
from forecastlab.hybrids.bidirectional import Bidirectional
from tests.explanation.cases import data, network, samples, weather

ORIGINS = np.arange(14, 29)
"""Rows of the forecast origins: the first fold tests on the targets in rows 15 to 29."""


def traced(model, module):
    with model.evaluating():
        return trace(model, samples(module), module.times)


def lstm(x, weights, layer):
    """The equations of an LSTM layer, step by step: (time, inputs) -> gates and states, (time, units) each."""
    w, u, b, d = (weights[f"rnn.{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    h = c = np.zeros(u.shape[1])
    steps = []
    for x_t in x:
        i, f, g, o = np.split(w @ x_t + b + u @ h + d, 4)
        i, f, g, o = logistic(i), logistic(f), np.tanh(g), logistic(o)
        c = f * c + i * g
        h = o * np.tanh(c)
        steps.append((i, f, g, o, c, h))
    names = ("input_gate", "forget_gate", "candidate", "output_gate", "cell", "hidden")
    return dict(zip(names, map(np.stack, zip(*steps, strict=True)), strict=True))


@pytest.mark.parametrize("lookback", [5, "full"])
def test_gates_and_states_at_the_origins_are_those_of_the_equations(lookback):
    module = data(lookback=lookback)
    model = network(module, partial(LSTM, hidden_size=3, num_layers=2))
    weights = {name: value.numpy() for name, value in model.backbone.state_dict().items()}
    known = weather().to_numpy()[:15]
    x = (weather().to_numpy() - known.mean(0)) / known.std(0)
    begins = ORIGINS - 4 if lookback == 5 else np.zeros(15, dtype=int)
    found = traced(model, module)
    assert len(found.signals) == 12
    for number, (begin, origin) in enumerate(zip(begins, ORIGINS, strict=True)):
        inputs = x[begin : origin + 1]
        for layer in (0, 1):
            expected = lstm(inputs, weights, layer)
            inputs = expected["hidden"]
            for name, values in expected.items():
                at_origin = found.signals[f"layers.{layer}.{name}"][number]
                np.testing.assert_allclose(at_origin, values[-1], rtol=1e-4, atol=1e-6)


def test_peaks_are_over_all_steps_that_are_read():
    module = data(lookback="full")
    model = network(module, partial(LSTM, hidden_size=3))
    weights = {name: value.numpy() for name, value in model.backbone.state_dict().items()}
    known = weather().to_numpy()[:15]
    hidden = lstm((weather().to_numpy()[:29] - known.mean(0)) / known.std(0), weights, 0)["hidden"]
    np.testing.assert_allclose(traced(model, module).peaks["layers.0.hidden"], np.abs(hidden).max(0), rtol=1e-4)


@pytest.mark.parametrize("lookback", [5, "full"])
def test_the_forecasts_are_those_of_the_network_beside_the_truth(lookback):
    module = data(lookback=lookback)
    model = network(module, partial(RNN, hidden_size=3))
    rows = traced(model, module).rows
    expected = torch.cat([model(batch).flatten() for batch in module.test_dataloader()])
    assert list(rows) == ["cutoff", "ds", "y", "forecast"]
    assert list(rows["cutoff"]) == list(weather().index[14:29])
    assert list(rows["ds"]) == list(weather().index[15:30])
    np.testing.assert_allclose(rows["y"], weather()["y"].iloc[15:30], rtol=1e-6)
    np.testing.assert_allclose(rows["forecast"], expected.detach(), rtol=1e-6)


def test_a_missing_truth_is_not_shown():
    module = data(lookback=5)
    module.raw.iloc[20, 3] = np.nan
    rows = traced(network(module, partial(RNN, hidden_size=3)), module).rows.set_index("ds")
    assert list(rows.index[rows["y"].isna()]) == []  # a window without a truth is no sample
    assert pd.Timestamp("2020-01-21") not in rows.index
    module = data(lookback="full")
    module.raw.iloc[20, 3] = np.nan
    rows = traced(network(module, partial(RNN, hidden_size=3)), module).rows.set_index("ds")
    assert list(rows.index[rows["y"].isna()]) == [pd.Timestamp("2020-01-21")]


def test_a_part_that_reads_backwards_is_put_into_the_order_of_time():
    module = data(lookback=5)
    model = network(module, partial(Bidirectional, backbone=partial(RNN, hidden_size=3)))
    found = traced(model, module)
    batch = samples(module)[list(range(15))]
    encoded, _ = model.backbone(model.scaled(batch).inputs)
    both = np.concatenate([found.signals[f"{half}.layers.0.hidden"] for half in ("forwards", "backwards")], 1)
    np.testing.assert_allclose(both, encoded[:, -1].detach(), rtol=1e-5, atol=1e-7)


def test_attention_of_windows_is_that_of_their_last_step():
    module = data(lookback=5)
    model = network(module, partial(ALSTM, hidden_size=3, num_heads=2))
    found = traced(model, module).attention["layers.0.attention"]
    assert found.weights.shape == (15, 2, 5)
    assert found.steps is None
    np.testing.assert_allclose(found.weights.sum(2), 1, rtol=1e-6)
    batch = samples(module)[[3]]
    x = model.scaling.scale("feature", batch.history, batch.series)[0].numpy()
    layer = model.backbone.layers[0]
    query, key = (weight.detach().double().numpy().reshape(2, 3, 4) for weight in (layer.query, layer.key))
    for head in (0, 1):
        scores = np.exp(x[-1] @ query[head].T @ key[head] @ x.T / np.sqrt(3))  # the last row of eq. 3's S
        np.testing.assert_allclose(found.weights[3, head], scores / scores.sum(), rtol=1e-4)


def test_attention_of_a_sequence_is_a_matrix_of_times():
    module = data(lookback="full")
    found = traced(network(module, partial(ALSTM, hidden_size=3, num_heads=1)), module).attention["layers.0.attention"]
    assert found.weights.shape == (15, 1, 29)
    assert list(found.steps) == list(weather().index[:29])
    assert list(found.present) == list(ORIGINS)
    for weights, origin in zip(found.weights[:, 0], ORIGINS, strict=True):
        assert weights[: origin + 1].sum() == pytest.approx(1)
        assert (weights[origin + 1 :] == 0).all()


@pytest.mark.parametrize("lookback", [5, "full"])
def test_the_queue_of_a_larnn_is_counted_from_the_step_before(lookback):
    module = data(lookback=lookback)
    model = network(module, partial(LARNN, hidden_size=4, num_heads=2, window=5))
    found = traced(model, module).attention["layers.0.attention"]
    assert found.weights.shape == (15, 2, 5)
    assert list(found.by_lag().index) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(found.by_lag().sum(), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("backbone", "decoder", "name", "heads"),
    [
        (partial(Attentive, backbone=partial(RNN, hidden_size=3)), None, "attention", ["head 1"]),
        (partial(RNN, hidden_size=3), AttentionPooling, "decoder.attention", ["step 1"]),
        (partial(RNN, hidden_size=3), Seq2Seq, "decoder.attention", ["step 1", "step 2"]),
    ],
)
@pytest.mark.parametrize("lookback", [5, "full"])
def test_attention_over_outputs_and_of_decoders_is_found(lookback, backbone, decoder, name, heads):
    module = data(lookback=lookback, horizon=2)
    found = traced(network(module, backbone, **({"decoder": decoder} if decoder else {})), module).attention[name]
    assert list(found.heads) == heads
    assert found.weights.shape == (14, len(heads), 5 if lookback == 5 else 28)
    np.testing.assert_allclose(found.weights.sum(2), 1, rtol=1e-5)
