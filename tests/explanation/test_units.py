from functools import partial

import numpy as np
import pytest
import torch

from forecastlab.backbones.conv_lstm import ConvLSTM
from forecastlab.backbones.grid_lstm import GridLSTM
from forecastlab.backbones.larnn import LARNN
from forecastlab.backbones.lstm import LSTM
from forecastlab.explanation.tracing import trace
from forecastlab.explanation.units import near_zero, unused
from tests.explanation.cases import data, network, samples


def test_units_that_reach_the_threshold_but_do_not_exceed_it_are_near_zero():
    assert near_zero(np.array([0.0, 0.01, 0.011, 3.0]), 0.01) == 2


def kill(model, layer, units):
    """Makes hidden units zero: their output gate is shut, whatever comes."""
    with torch.no_grad():
        gate = model.backbone.gate(layer, "output")
        gate.weight_ih[units], gate.weight_hh[units], gate.bias_ih[units] = 0, 0, -50
        gate.bias_hh[units] = 0


@pytest.fixture(params=[4, "full"])
def module(request):
    return data(lookback=request.param)


def sentences(model, module, threshold=0.01):
    with model.evaluating():
        return unused(model, trace(model, samples(module), module.times).peaks, threshold)


def test_dead_units_are_counted_and_a_smaller_size_is_named(module):
    model = network(module, partial(LSTM, hidden_size=8))
    kill(model, 0, [1, 4, 7])
    assert sentences(model, module) == ["backbone, layer 0: 3 of 8 units never exceed 0.01: try hidden_size 5"]


def test_layers_share_the_size_that_the_fullest_of_them_needs(module):
    model = network(module, partial(LSTM, hidden_size=8, num_layers=2))
    kill(model, 0, [0, 1, 2])
    kill(model, 1, [5])
    assert sentences(model, module) == [
        "backbone, layer 0: 3 of 8 units never exceed 0.01: try hidden_size 7",
        "backbone, layer 1: 1 of 8 units never exceed 0.01: try hidden_size 7",
    ]


def test_a_unit_that_is_alive_at_one_step_only_is_used():
    module = data(lookback=4)
    model = network(module, partial(LSTM, hidden_size=2))
    peaks = {"layers.0.hidden": np.array([0.5, 0.0])}
    assert "1 of 2 units never exceed" in unused(model, peaks, 0.01)[0]
    peaks = {"layers.0.hidden": np.array([0.5, 0.02])}
    assert unused(model, peaks, 0.01) == ["backbone, layer 0: each of the 2 units exceeds 0.01 at some step"]


def test_a_layer_without_any_live_unit_hands_nothing_on(module):
    model = network(module, partial(LSTM, hidden_size=2))
    kill(model, 0, [0, 1])
    assert sentences(model, module)[0].endswith("2 of 2 units never exceed 0.01: the layer hands nothing on")


def test_the_size_stays_a_multiple_of_the_heads():
    module = data()
    model = network(module, partial(LARNN, hidden_size=8, num_heads=4))
    peak = np.array([1.0] * 7 + [0.0])
    assert "1 of 8" in unused(model, {"layers.0.hidden": peak}, 0.01)[0]
    assert "hidden_size" not in unused(model, {"layers.0.hidden": peak}, 0.01)[0]
    peak[2:6] = 0
    assert unused(model, {"layers.0.hidden": peak}, 0.01)[0].endswith("try hidden_size 4")


def test_no_size_is_named_where_units_are_counted_by_something_else():
    model = network(data(), partial(ConvLSTM, hidden_channels=2))
    (sentence,) = unused(model, {"layers.0.hidden": np.array([1.0] * 7 + [0.0])}, 0.01)
    assert sentence == "backbone, layer 0: 1 of 8 units never exceed 0.01"


def test_several_hidden_states_of_a_layer_are_told_apart():
    model = network(data(), partial(GridLSTM, hidden_size=2))
    peaks = {f"layers.0.{name}_hidden": np.array([1.0, 0.0]) for name in ("time", "depth")}
    assert [sentence.partition(":")[0] for sentence in unused(model, peaks, 0.01)] == [
        "backbone, layer 0, time hidden",
        "backbone, layer 0, depth hidden",
    ]
