from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from forecastlab.backbones.gru import GRU
from forecastlab.hybrids.bidirectional import Bidirectional
from forecastlab.hybrids.patches import Patches
from tests.backbones.states import in_pieces, unrolled

BATCH, TIME, WIDTH, HIDDEN = 3, 13, 2, 4
SMALL = partial(GRU, hidden_size=HIDDEN)
SIZES = [(1, 1), (4, 4), (4, 2), (5, 3)]


def build(length, stride, backbone=SMALL, **arguments):
    return Patches(WIDTH, backbone, length=length, stride=stride, embedding_size=6, **arguments).double()


def inputs(time=TIME):
    return torch.randn(BATCH, time, WIDTH, dtype=torch.float64)


@pytest.mark.parametrize(("length", "stride"), SIZES)
def test_segments_are_the_steps_of_the_backbone_and_their_outputs_are_held(length, stride):
    net, x = build(length, stride), inputs()
    gru = nn.GRU(6, HIDDEN, batch_first=True).double()
    gru.load_state_dict(net.backbone.rnn.state_dict())
    weight, bias = (part.detach().numpy() for part in net.embedding.parameters())
    begins = range(0, TIME - length + 1, stride)
    segments = [np.maximum(x[:, b : b + length].reshape(BATCH, -1).numpy() @ weight.T + bias, 0) for b in begins]
    h = gru(torch.from_numpy(np.stack(segments, 1)))[0].detach().numpy()
    expected = np.zeros((BATCH, TIME, HIDDEN))
    for number, begin in enumerate(begins):
        expected[:, begin + length - 1 :] = h[:, number, None]
    np.testing.assert_allclose(net(x)[0].detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("length", "stride"), SIZES)
def test_pieces_and_steps_equal_the_whole(length, stride):
    net, x = build(length, stride), inputs()
    whole = net(x)[0]
    torch.testing.assert_close(in_pieces(net, x, 5)[0], whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(unrolled(net, x, net.initial_state(BATCH))[0], whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("length", "stride"), SIZES)
@pytest.mark.parametrize("time", [4, 9, 10, 11, 12])
def test_the_latest_outputs_and_their_gradients_are_those_of_the_whole(length, stride, time):
    net, x = build(length, stride), inputs(time)
    for steps in range(1, time + 1):
        end, whole = net.latest(x, steps), net(x)[0][:, -steps:]
        torch.testing.assert_close(end, whole, rtol=0, atol=1e-12)
        if whole.requires_grad:  # else no segment has ended
            expected = torch.autograd.grad(whole.square().sum(), net.embedding.weight)
            torch.testing.assert_close(torch.autograd.grad(end.square().sum(), net.embedding.weight), expected)


def test_a_sequence_shorter_than_a_segment_gives_zeros_and_is_remembered():
    net, x = build(8, 8), inputs(8)
    first, state = net(x[:, :7])
    assert not first.any()
    torch.testing.assert_close(net(x[:, 7:], state)[0], net(x)[0][:, 7:], rtol=0, atol=1e-12)


def test_windows_fit_if_they_end_with_a_segment():
    net = build(4, 2)
    assert [rows for rows in range(12) if net.fits(rows)] == [4, 6, 8, 10]


def test_a_backbone_that_reads_both_ways_serves_windows_only():
    net = build(4, 4, partial(Bidirectional, backbone=SMALL))
    assert not net.causal
    assert net(inputs())[1] == ()
    with pytest.raises(RuntimeError, match="not causal"):
        net.step(inputs()[:, 0], ())


def test_signals_of_segments_stand_at_the_rows_at_which_they_end():
    signals = build(4, 2).trace(inputs())
    assert {"output", "embedding", "backbone.output"} <= set(signals)
    assert all(signal.shape[:2] == (BATCH, TIME) for signal in signals.values())
    ends = [3, 5, 7, 9, 11]
    torch.testing.assert_close(signals["output"][:, ends], signals["backbone.output"][:, ends])
    others = [row for row in range(TIME) if row not in ends]
    assert not signals["backbone.output"][:, others].any()


def test_dropout_is_of_embedded_segments_and_in_training_only():
    net, x = build(4, 4, dropout=0.9), inputs()
    assert not torch.equal(net(x)[0], net(x)[0])
    torch.testing.assert_close(net.eval()(x)[0], net(x)[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"length": 0}, "length must be a positive integer"),
        ({"length": 4, "stride": 5}, "stride must be at most the length of 4"),
        ({"embedding_size": 0}, "embedding_size must be a positive integer"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
    ],
)
def test_impossible_sizes_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Patches(WIDTH, **arguments)
