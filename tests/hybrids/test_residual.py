from functools import partial

import torch
from torch import nn

from forecastlab.backbones.gru import GRU
from forecastlab.backbones.lstm import LSTM
from forecastlab.hybrids.residual import Residual


def test_three_branches_follow_the_thesis_equations_2_29_to_2_31():
    torch.manual_seed(0)
    model = Residual(4, branches=[partial(GRU, hidden_size=4)] * 3).double()
    twins = []
    for branch in model.branches:
        twins.append(nn.GRU(4, 4, batch_first=True).double())
        twins[-1].load_state_dict(branch.rnn.state_dict())
    f_1, f_2, f_3 = (lambda x, twin=twin: twin(x)[0] for twin in twins)
    x = torch.randn(2, 6, 4, dtype=torch.float64)
    h_1 = x + f_1(x)
    h_2 = h_1 + f_2(h_1)
    torch.testing.assert_close(model(x)[0], h_2 + f_3(h_2), rtol=0, atol=1e-13)


def test_shortcut_is_projected_only_where_widths_differ():
    torch.manual_seed(0)
    model = Residual(3, branches=[partial(LSTM, hidden_size=5), partial(GRU, hidden_size=5)])
    projected, identity = model.shortcuts
    assert projected.weight.shape == (5, 3)
    assert not list(identity.parameters())
    x = torch.randn(2, 6, 3)
    first, second = model.branches
    h = x @ projected.weight.T + first(x)[0]
    torch.testing.assert_close(model(x)[0], h + second(h)[0])
    assert model.output_size == 5


def test_shortcut_around_an_lstm_is_not_gated():
    torch.manual_seed(0)
    model = Residual(4, branches=[partial(LSTM, hidden_size=4)])
    with torch.no_grad():
        model.branches[0].gate(0, "output").bias_ih.fill_(-100.0)  # closes the gate
    x = torch.randn(2, 6, 4)
    torch.testing.assert_close(model(x)[0], x)
