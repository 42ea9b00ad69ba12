from functools import partial

import pytest

from forecastlab.backbones.alstm import ALSTM
from forecastlab.backbones.grid_lstm import GridLSTM
from forecastlab.backbones.gru import GRU
from forecastlab.backbones.larnn import LARNN
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.mlp import MLP
from forecastlab.decoders.attention_pooling import AttentionPooling
from forecastlab.explanation.inventory import inventory, lacks
from forecastlab.explanation.names import shown
from forecastlab.hybrids.attentive import Attentive
from forecastlab.hybrids.parallel import Parallel
from tests.explanation.cases import data, network, samples


def parts_of(backbone, **arguments):
    module = data(lookback=4)
    model = network(module, backbone, **arguments)
    with model.evaluating():
        return inventory(model, shown(model.trace(samples(module)[[0]])))


@pytest.mark.parametrize(
    ("backbone", "sentence"),
    [
        (GRU, "GRU has no forget gate, no cell state, no attention; its gates are reset, update"),
        (LSTM, "LSTM has no attention"),
        (MLP, "MLP has no gates, no cell state, no attention"),
        (ALSTM, "ALSTM has no gates, no cell state"),
        (GridLSTM, "GridLSTM has no attention"),
    ],
)
def test_it_is_said_what_a_backbone_has_not(backbone, sentence):
    assert lacks(parts_of(backbone)) == [sentence]


def test_nothing_is_said_of_a_backbone_that_has_all():
    assert lacks(parts_of(LARNN)) == []


def test_parts_are_listed_with_what_they_have():
    parts = parts_of(partial(LSTM, hidden_size=2, num_layers=2), decoder=AttentionPooling).set_index("part")
    assert list(parts.index) == ["backbone", "decoder"]
    assert parts.loc["backbone"].to_dict() == {
        "class": "LSTM",
        "gates": ["input", "forget", "output"],
        "states": ["candidate", "cell", "hidden"],
        "attention": False,
    }
    assert parts.loc["decoder"].to_dict() == {"class": "AttentionPooling", "gates": [], "states": [], "attention": True}


def test_the_parts_of_a_hybrid_are_told_apart():
    parts = parts_of(partial(Parallel, branches=(GRU, partial(Attentive, backbone=LSTM))))
    assert dict(zip(parts["part"], parts["class"], strict=True)) == {
        "backbone": "Parallel",
        "backbone.branches.0": "GRU",
        "backbone.branches.1": "Attentive",
        "backbone.branches.1.backbone": "LSTM",
        "decoder": "Linear",
    }
    assert [sentence.split()[0] for sentence in lacks(parts)] == ["GRU", "LSTM"]
