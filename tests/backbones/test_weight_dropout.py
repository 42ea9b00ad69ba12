"""DropConnect on the hidden-to-hidden matrices, beside torch.nn with matrices that are dropped by hand."""

import pytest
import torch
from torch import nn
from torch.nn.functional import dropout

from forecastlab.backbones.gru import GRU
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.rnn import RNN
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


def test_a_dropout_that_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="weight_dropout must be at least 0 and below 1"):
        LSTM(3, weight_dropout=1.0)
