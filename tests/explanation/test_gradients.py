import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.backbones.alstm import ALSTM
from forecastlab.backbones.lstm import LSTM
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.decoders.attention_pooling import AttentionPooling
from forecastlab.errors import ForecastlabError, ReadingNote
from forecastlab.explanation import tracing
from forecastlab.explanation.gradients import integrated_gradients
from tests.explanation.cases import COLUMNS, data, linear, network, samples, weather

WEIGHTS = {"T0": 0.5, "T1": -1.0, "y": 0.25}


def attributed(model, module, **arguments):
    with model.evaluating():
        return integrated_gradients(model, samples(module), module.panel.names[0], **arguments)


@pytest.mark.parametrize("lookback", [4, "full"])
@pytest.mark.parametrize("anchor", ["none", "last"])
def test_contributions_of_a_linear_network_are_weight_times_distance_from_the_training_mean(lookback, anchor):
    module = data(lookback=lookback)
    model = linear(module, WEIGHTS, anchor=anchor)
    found = attributed(model, module, origins=15, steps=2)
    known = weather().to_numpy()[:15]
    weights = np.array([WEIGHTS.get(name, 0.0) for name in COLUMNS]) / known.std(0) * known[:, 3].std()
    expected = weights * (weather().to_numpy()[14:29] - known.mean(0))
    assert list(found.contributions) == list(COLUMNS)
    assert list(found.contributions.index) == list(range(14, 29))
    np.testing.assert_allclose(found.contributions, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.change, expected.sum(1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.gap, 0, atol=1e-5)
    assert found.by_lag[0] == pytest.approx(np.abs(expected).sum(1).mean(), rel=1e-4)
    assert (found.by_lag[1:] == 0).all()


@pytest.mark.parametrize("lookback", [4, "full"])
@pytest.mark.parametrize("backbone", [partial(LSTM, hidden_size=5, num_layers=2), partial(ALSTM, hidden_size=5)])
def test_contributions_add_up_to_the_change_of_the_forecast(lookback, backbone):
    """From the forecast for a history of training means, found by asking for it, to the forecast."""
    module = data(lookback=lookback)
    model = network(module, backbone)
    found = attributed(model, module, origins=15, steps=40)
    windows = samples(module)
    batch = windows[list(range(len(windows)))]
    average = batch._replace(history=model.scaling.feature_center.expand_as(batch.history))
    with torch.no_grad():
        change = (model(batch) - model(average)).flatten()
    np.testing.assert_allclose(found.change, change, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.contributions.sum(axis=1), change, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.contributions.sum(axis=1) - found.change, found.gap, atol=1e-9)


def test_more_points_close_the_gap():
    module = data(lookback=4)
    model = network(module, partial(LSTM, hidden_size=5))
    gaps = [np.abs(attributed(model, module, steps=steps).gap).mean() for steps in (1, 2, 30)]
    assert gaps[0] > gaps[1] > 10 * gaps[2]


@pytest.mark.parametrize("lookback", [4, "full"])
def test_the_future_of_what_is_known_counts_for_its_feature(lookback):
    module = data(lookback=lookback, calendar=["day_of_year"], horizon=2)
    model = network(module)
    names = model.schema.known
    with torch.no_grad():
        model.decoder.linear.weight.zero_()
        model.decoder.linear.weight[:, -4:] = torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 4.0, 0.0]])
    found = attributed(model, module, origins=14, steps=2)
    center, scale = model.scaling.known_center[0, 0].item(), model.scaling.known_scale[0, 0].item()
    known = (module.rows.known[:, 0].numpy() - center) / scale * float(model.scaling.target_scale)
    np.testing.assert_allclose(found.contributions[names[0]], known[15:29] + 2 * known[16:30], rtol=1e-4, atol=1e-5)
    assert (found.contributions[names[1]] == 0).all()
    np.testing.assert_allclose(found.gap, 0, atol=1e-5)


def test_origins_are_evenly_spaced_and_at_most_all():
    module = data(lookback=4)
    model = network(module)
    assert list(attributed(model, module, origins=3, steps=1).contributions.index) == [14, 21, 28]
    assert len(attributed(model, module, origins=100, steps=1).contributions) == 15


@pytest.mark.parametrize("lookback", [4, "full"])
def test_few_histories_at_once_are_as_all(monkeypatch, lookback):
    module = data(lookback=lookback)
    model = network(module, partial(LSTM, hidden_size=5))
    together = attributed(model, module, origins=7, steps=6)
    monkeypatch.setattr(tracing, "ROWS_IN_A_BATCH", 60)
    apart = attributed(model, module, origins=7, steps=6)
    np.testing.assert_allclose(apart.contributions, together.contributions, rtol=1e-3, atol=1e-5)


def test_a_decoder_that_looks_back_holds_its_weights_for_few_sequences_at_once(monkeypatch):
    monkeypatch.setattr(tracing, "WEIGHTS_IN_A_BATCH", 1000)
    module = data(lookback="full")
    windows = samples(module)  # 29 steps, 15 origins
    assert tracing.sequences_at_once(network(module), windows) == tracing.ROWS_IN_A_BATCH // 29
    assert tracing.sequences_at_once(network(module, decoder=AttentionPooling), windows) == 1000 // (29 * 15)


def test_importance_is_the_mean_magnitude_and_groups_are_added_up_first():
    module = data(lookback=1)
    found = attributed(linear(module, WEIGHTS), module, origins=15, steps=2)
    values = found.contributions.to_numpy()
    single = found.importance({name: [name] for name in found.contributions})
    np.testing.assert_allclose(single["magnitude"], np.abs(values).mean(0))
    np.testing.assert_allclose(single["mean"], values.mean(0))
    joint = found.importance({"T": ["T0", "T1"]})
    np.testing.assert_allclose(joint.loc["T", "magnitude"], np.abs(values[:, 0] + values[:, 1]).mean())


def test_a_step_of_the_usual_length_explains_nothing():
    times = pd.date_range("2024-01-01", periods=60, freq="B")
    frame = pd.DataFrame({"ds": times, "y": np.random.default_rng(0).normal(size=60)})
    module = TableDataModule(frame, frequency="rows", elapsed=True, lookback=1, splits=2)
    with pytest.warns(ReadingNote):
        model = linear(module, {"elapsed": 0.5})
    elapsed = attributed(model, module, origins=100, steps=1).contributions["elapsed"]
    expected = np.where(times[elapsed.index].day_of_week == 0, 0.5 * (3 - 1), 0)  # Mondays follow on Fridays
    np.testing.assert_allclose(elapsed, expected * model.scaling.target_scale.item(), atol=1e-6)


def test_without_captum_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    module = data(lookback=1)
    with pytest.raises(ForecastlabError, match=r"pip install 'forecastlab\[explain\]'"):
        attributed(network(module), module)
