from functools import partial

import pytest
import torch
from torch import nn

from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.mlp import MLP
from forecastlab.hybrids.bidirectional import Bidirectional

BATCH, TIME, WIDTH, HIDDEN = 3, 7, 2, 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_torchs_bidirectional_lstm_by_weight_copy(dtype):
    net = Bidirectional(WIDTH, partial(LSTM, hidden_size=HIDDEN)).to(dtype)
    twin = nn.LSTM(WIDTH, HIDDEN, batch_first=True, bidirectional=True, dtype=dtype)
    forwards = net.forwards.rnn.state_dict()
    backwards = {f"{name}_reverse": weight for name, weight in net.backwards.rnn.state_dict().items()}
    twin.load_state_dict(forwards | backwards)
    x = torch.randn(BATCH, TIME, WIDTH, dtype=dtype)
    assert net.output_size == 2 * HIDDEN
    torch.testing.assert_close(net(x)[0], twin(x)[0])


def test_two_of_them_on_top_of_each_other_equal_torchs_two_layers():
    lower = Bidirectional(WIDTH, partial(LSTM, hidden_size=HIDDEN))
    upper = Bidirectional(2 * HIDDEN, partial(LSTM, hidden_size=HIDDEN))
    twin = nn.LSTM(WIDTH, HIDDEN, num_layers=2, batch_first=True, bidirectional=True)
    weights = {}
    for layer, net in enumerate((lower, upper)):
        for name, part in (("", net.forwards), ("_reverse", net.backwards)):
            weights |= {f"{key[:-1]}{layer}{name}": weight for key, weight in part.rnn.state_dict().items()}
    twin.load_state_dict(weights)
    x = torch.randn(BATCH, TIME, WIDTH)
    torch.testing.assert_close(upper(lower(x)[0])[0], twin(x)[0])


def test_a_change_reaches_later_steps_in_the_first_half_and_earlier_ones_in_the_second():
    net = Bidirectional(WIDTH, partial(LSTM, hidden_size=HIDDEN))
    x = torch.randn(BATCH, TIME, WIDTH)
    other = x.clone()
    other[:, 3] += 1
    forwards, backwards = (net(x)[0] != net(other)[0]).any(0).split(HIDDEN, 1)
    assert forwards.any(1).tolist() == [t >= 3 for t in range(TIME)]
    assert backwards.any(1).tolist() == [t <= 3 for t in range(TIME)]


def test_it_has_no_state_and_cannot_be_stepped():
    net = Bidirectional(WIDTH)
    x = torch.randn(BATCH, TIME, WIDTH)
    assert not net.causal
    assert net(x)[1] == net.initial_state(BATCH) == ()
    for call in (net, net.trace):
        with pytest.raises(RuntimeError, match="not causal"):
            call(x, ())
    with pytest.raises(RuntimeError, match="not causal"):
        net.step(x[:, 0], ())


def test_the_trace_gives_the_signals_of_both_parts_each_in_the_order_in_which_it_reads():
    net = Bidirectional(WIDTH, partial(MLP, hidden_size=HIDDEN, window=2))
    x = torch.randn(BATCH, TIME, WIDTH)
    signals = net.trace(x)
    names = {"output", "layers.0.hidden"}
    assert set(signals) == {"output"} | {f"{part}.{name}" for part in ("forwards", "backwards") for name in names}
    torch.testing.assert_close(signals["output"], net(x)[0])
    torch.testing.assert_close(signals["forwards.output"], net.forwards(x)[0])
    torch.testing.assert_close(signals["backwards.output"], net.backwards(x.flip(1))[0])
