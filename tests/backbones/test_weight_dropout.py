"""DropConnect on the hidden-to-hidden matrices, beside matrices that are dropped by hand.

RNN, LSTM and GRU are compared with torch.nn, other cells with a copy whose matrices miss the entries from the start."""

import pytest
import torch
from torch import nn
from torch.nn.functional import dropout

from forecastlab.backbones.bn_lstm import BNLSTM
from forecastlab.backbones.gru import GRU
from forecastlab.backbones.larnn import LARNN
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.peephole_lstm import PeepholeLSTM
from forecastlab.backbones.residual_lstm import ResidualLSTM
from forecastlab.backbones.rnn import RNN
from forecastlab.backbones.slstm import SLSTM
from tests.backbones.states import leaves

each = pytest.mark.parametrize(("cls", "torchs"), [(RNN, nn.RNN), (LSTM, nn.LSTM), (GRU, nn.GRU)])


def dropping(cls, **arguments):
    torch.manual_seed(0)
    return cls(3, hidden_size=6, num_layers=2, weight_dropout=0.5, **arguments).double().train()


def inputs(batch=4, time=40):  # long enough for the compiled kernels
    return torch.randn(batch, time, 3, dtype=torch.float64)


@each
@pytest.mark.parametrize("fused", [True, False])
def test_entries_of_the_hidden_to_hidden_matrices_are_dropped_once_per_call(cls, torchs, fused):
    model, twin, x = dropping(cls, fused=fused), torchs(3, 6, 2, batch_first=True).double(), inputs()
    twin.load_state_dict(model.rnn.state_dict())
    torch.manual_seed(5)
    masks = [dropout(torch.ones(len(model.gates) * 6, 6).double(), 0.5) for _ in range(2)]
    with torch.no_grad():
        for layer, mask in enumerate(masks):
            getattr(twin, f"weight_hh_l{layer}").mul_(mask)
    torch.manual_seed(5)
    y, state = model(x)
    expected, last = twin(x)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    for one, other in zip(leaves(state), last if isinstance(last, tuple) else (last,), strict=True):
        torch.testing.assert_close(one, other.transpose(0, 1), rtol=0, atol=1e-12)
    gradient = torch.autograd.grad(y.square().sum(), model.rnn.weight_hh_l0)[0]
    assert torch.equal(gradient == 0, masks[0] == 0)  # what is dropped learns nothing


@each
def test_nothing_else_is_dropped_and_nothing_after_training(cls, torchs):
    model, x = dropping(cls), inputs(time=1)
    twin = torchs(3, 6, 2, batch_first=True).double()
    twin.load_state_dict(model.rnn.state_dict())
    torch.testing.assert_close(model(x)[0], twin(x)[0])  # the first step has no hidden state before it
    x = inputs()
    before = torch.get_rng_state()
    torch.testing.assert_close(model.eval()(x)[0], twin(x)[0])
    assert torch.equal(torch.get_rng_state(), before)


CELLS = {
    "PeepholeLSTM": (PeepholeLSTM, {}),
    "PeepholeLSTM(loop)": (PeepholeLSTM, {"fused": False}),
    "PeepholeLSTM(full)": (PeepholeLSTM, {"peephole": "full"}),
    "ResidualLSTM": (ResidualLSTM, {}),
    "ResidualLSTM(loop)": (ResidualLSTM, {"fused": False}),
    "BNLSTM": (BNLSTM, {}),
    "LARNN": (LARNN, {"num_heads": 2, "window": 3}),
    "SLSTM": (SLSTM, {"num_heads": 2}),
    "SLSTM(loop)": (SLSTM, {"num_heads": 2, "fused": False}),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_computes_a_sequence_with_the_matrices_that_are_left(name):
    cls, arguments = CELLS[name]
    model = dropping(cls, **arguments)
    without = cls(3, hidden_size=6, num_layers=2, **arguments).double()
    without.load_state_dict(model.state_dict())
    x = inputs()
    torch.manual_seed(5)
    with torch.no_grad():
        masks = [dropout(torch.ones_like(layer.weight_hh), 0.5) for layer in without.layers]
        for layer, mask in zip(without.layers, masks, strict=True):
            layer.weight_hh.mul_(mask)
    torch.manual_seed(5)
    y, state = model(x)
    expected, last = without(x)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    for one, other in zip(leaves(state), leaves(last), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    for layer, mask in zip(model.layers, masks, strict=True):
        gradient = torch.autograd.grad(y.square().sum(), layer.weight_hh, retain_graph=True)[0]
        assert torch.equal(gradient == 0, mask == 0)  # what is dropped learns nothing
    assert not torch.allclose(model(x)[0], y)  # the next call drops others


@pytest.mark.parametrize("cls", [LSTM, PeepholeLSTM, ResidualLSTM, BNLSTM, LARNN, SLSTM])
def test_a_dropout_that_is_no_probability_is_refused(cls):
    with pytest.raises(ValueError, match="weight_dropout must be at least 0 and below 1"):
        cls(3, weight_dropout=1.0)
