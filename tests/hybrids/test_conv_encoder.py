from functools import partial

import numpy as np
import pytest
import torch

from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.mlp import MLP
from forecastlab.hybrids.bidirectional import Bidirectional
from forecastlab.hybrids.conv_encoder import ConvEncoder
from tests.backbones.states import in_pieces, unrolled

BATCH, TIME, WIDTH, CHANNELS, HIDDEN = 3, 9, 2, 5, 4


def build(**arguments):
    return ConvEncoder(WIDTH, partial(LSTM, hidden_size=HIDDEN), channels=CHANNELS, **arguments)


@pytest.mark.parametrize("kernel_size", [1, 2, 4])
def test_the_convolution_equals_a_weighted_sum_of_the_present_and_the_steps_before_it(kernel_size):
    net = build(kernel_size=kernel_size, activation="tanh").double()
    x = torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)
    weight, bias = net.convolution.weight.detach().numpy(), net.convolution.bias.detach().numpy()
    expected = np.zeros((BATCH, TIME, CHANNELS))
    for t in range(TIME):
        total = np.tile(bias, (BATCH, 1))
        for back in range(min(kernel_size, t + 1)):
            total += x[:, t - back].numpy() @ weight[:, :, kernel_size - 1 - back].T
        expected[:, t] = np.tanh(total)
    u = net.trace(x)["convolution"]
    np.testing.assert_allclose(u.detach().numpy(), expected, atol=1e-12)
    torch.testing.assert_close(net(x)[0], net.backbone(u)[0])


def test_no_step_sees_the_future_unlike_with_padding_on_both_sides():
    net = build(kernel_size=3)
    x = torch.randn(BATCH, TIME, WIDTH)
    other = x.clone()
    other[:, 5] += 1
    changed = [(net.trace(x)[name] != net.trace(other)[name]).any(2).any(0) for name in ("convolution", "output")]
    assert changed[0].tolist() == [5 <= t < 8 for t in range(TIME)]
    assert changed[1].tolist() == [t >= 5 for t in range(TIME)]
    both_sides = torch.nn.functional.conv1d(other.transpose(1, 2), net.convolution.weight, padding=1)
    same = torch.nn.functional.conv1d(x.transpose(1, 2), net.convolution.weight, padding=1)
    assert (both_sides != same).any(1).any(0)[4]  # what looks right and is not


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sequence_in_pieces_and_step_by_step_equals_the_whole(dtype):
    net = build(kernel_size=4).to(dtype)
    x = torch.randn(BATCH, TIME, WIDTH, dtype=dtype)
    whole, end = net(x)
    pieces, state = in_pieces(net, x, [1, 2, 6], net.initial_state(BATCH))
    torch.testing.assert_close(pieces, whole)
    torch.testing.assert_close(state, end)
    torch.testing.assert_close(state[0], x[:, -3:])
    steps, state = unrolled(net, x, net.initial_state(BATCH))
    torch.testing.assert_close(steps, whole)
    torch.testing.assert_close(state, end)


def test_the_trace_gives_the_signals_of_the_backbone_under_its_name():
    net = ConvEncoder(WIDTH, partial(MLP, hidden_size=HIDDEN, window=2), channels=CHANNELS)
    x = torch.randn(BATCH, TIME, WIDTH)
    signals = net.trace(x)
    assert set(signals) == {"output", "convolution", "backbone.output", "backbone.layers.0.hidden"}
    torch.testing.assert_close(signals["output"], net(x)[0])


def test_in_front_of_a_backbone_that_is_not_causal_there_is_no_state_and_no_step():
    net = ConvEncoder(WIDTH, Bidirectional, channels=CHANNELS)
    x = torch.randn(BATCH, TIME, WIDTH)
    assert not net.causal
    assert net(x)[1] == net.initial_state(BATCH) == ()
    for call in (net, net.trace):
        with pytest.raises(RuntimeError, match="not causal"):
            call(x, ())
    with pytest.raises(RuntimeError, match="not causal"):
        net.step(x[:, 0], ())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, "channels must be a positive integer"),
        ({"kernel_size": 0}, "kernel_size must be a positive integer"),
        ({"activation": "swish"}, "unknown activation 'swish'"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvEncoder(WIDTH, **arguments)
