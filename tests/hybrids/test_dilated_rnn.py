from functools import partial

import numpy as np
import pytest
import torch

from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.rnn import RNN
from forecastlab.hybrids.bidirectional import Bidirectional
from forecastlab.hybrids.dilated_rnn import DilatedRNN
from tests.backbones.states import in_pieces, leaves


def weights(layer):
    return tuple(p.detach().numpy() for p in layer._layer(0))


def elman(weight_ih, weight_hh, bias_ih, bias_hh, x, h):
    h = np.tanh(x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh)
    return h, h


def lstm(weight_ih, weight_hh, bias_ih, bias_hh, x, state):
    h, c = state
    i, f, g, o = np.split(x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh, 4, -1)
    i, f, o = (1 / (1 + np.exp(-a)) for a in (i, f, o))
    c = f * c + i * np.tanh(g)
    h = o * np.tanh(c)
    return h, (h, c)


def transcribed(cell, model, x, dilations, start):
    """Chang et al. 2017, eq. 1, step by step: the state of d steps before, by its number."""
    for layer, d in zip(model.branches, dilations, strict=True):
        states, outputs = {}, []
        for t in range(x.shape[1]):
            y, states[t] = cell(*weights(layer), x[:, t], states.get(t - d, start))
            outputs.append(y)
        x = np.stack(outputs, 1)
    return x


def build(cell=RNN, **arguments):
    torch.manual_seed(3)
    return DilatedRNN(3, backbone=partial(cell, hidden_size=4), **arguments).double()


def series(time=11):
    return torch.randn(2, time, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("time", [1, 3, 8, 11])
def test_layers_follow_the_published_equation(time):
    zeros = np.zeros((2, 4))
    for cell, by_hand, start in ((RNN, elman, zeros), (LSTM, lstm, (zeros, zeros))):
        model, x = build(cell), series(time)
        expected = transcribed(by_hand, model, x.numpy(), (1, 2, 4), start)
        np.testing.assert_allclose(model(x)[0].detach(), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("wrong", [(1, 1, 1), (4, 2, 1), (2, 3, 5)])
def test_other_dilations_would_be_noticed(wrong):
    model, x = build(), series()
    expected = transcribed(elman, model, x.numpy(), wrong, np.zeros((2, 4)))
    assert np.abs(model(x)[0].detach().numpy() - expected).max() > 1e-2


def test_a_layer_of_dilation_one_is_the_backbone():
    model, x = build(dilations=[1]), series()
    torch.testing.assert_close(model(x)[0], model.branches[0](x)[0], rtol=0, atol=0)


def test_a_step_reaches_only_steps_that_lie_a_sum_of_dilations_ahead():
    model, x = build(dilations=[3, 6]), series(13).requires_grad_()
    model(x)[0][:, 12].sum().backward()
    reached = {t for t in range(13) if x.grad[:, t].any()}
    assert reached == {12, 9, 6, 3, 0}


@pytest.mark.parametrize("lengths", [[1] * 11, [3, 8], [2, 2, 7], [10, 1]])
def test_the_queue_stands_where_the_next_step_reads_it(lengths):
    model, x = build(LSTM, dilations=[1, 3, 4]), series()
    y, state = model(x)
    pieces, after = in_pieces(model, x, lengths)
    torch.testing.assert_close(pieces, y, rtol=0, atol=1e-13)
    for one, other in zip(leaves(after), leaves(state), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)
    assert [len(queue) for queue in state] == [1, 3, 4]


@pytest.mark.parametrize("time", [1, 4, 11])
def test_the_form_for_exports_computes_the_same(time):
    model, x = build(LSTM, dilations=[1, 3, 4]), series(time)
    torch.testing.assert_close(model._folded(x), model(x)[0], rtol=0, atol=1e-13)


def test_signals_stand_in_the_order_of_the_steps():
    model, x = build(LSTM), series()
    signals = model.trace(x)
    torch.testing.assert_close(signals["output"], model(x)[0])
    torch.testing.assert_close(signals["branches.2.layers.0.hidden"], signals["output"])
    assert signals["branches.1.layers.0.forget_gate"].shape == (2, 11, 4)


def test_a_state_of_other_dilations_is_refused():
    with pytest.raises(ValueError, match=r"expected a state of \(1, 2, 4\) states, got \(1, 2\)"):
        build()(series(), build(dilations=[1, 2]).initial_state(2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dilations": ()}, "dilations must name a number of steps"),
        ({"dilations": (1, 0)}, r"dilations\[1\] must be a positive integer, got 0"),
        ({"backbone": Bidirectional}, "Bidirectional must have a state to be dilated"),
    ],
)
def test_impossible_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        DilatedRNN(3, **arguments)
