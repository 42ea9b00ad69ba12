import math
from functools import partial

import numpy as np
import pytest
import torch

from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.mlp import MLP
from forecastlab.hybrids import attentive
from forecastlab.hybrids.attentive import Attentive
from forecastlab.hybrids.bidirectional import Bidirectional
from tests.backbones.states import in_pieces, unrolled

BATCH, TIME, WIDTH, HIDDEN = 3, 7, 2, 4
SCORES = ["additive", "dot", "general", "scaled_dot"]
LSTM_OF_FOUR = partial(LSTM, hidden_size=HIDDEN)


def build(score, backbone=LSTM_OF_FOUR, **arguments):
    return Attentive(WIDTH, backbone, score=score, **arguments).double()


def inputs(time=TIME):
    return torch.randn(BATCH, time, WIDTH, dtype=torch.float64)


def numpy_score(net, h_t, h_i):
    weight = {name: parameter.detach().numpy() for name, parameter in net.named_parameters()}
    if net.score == "additive":
        return float(weight["energy.weight"][0] @ np.tanh(weight["query.weight"] @ h_t + weight["key.weight"] @ h_i))
    if net.score == "general":
        return float(h_t @ weight["key.weight"] @ h_i)
    return float(h_t @ h_i) / (math.sqrt(len(h_t)) if net.score == "scaled_dot" else 1)


def numpy_attention(net, h, causal=True):
    """The equations of the docstring for one sequence of outputs h (time, width)."""
    combine = net.combine.weight.detach().numpy()
    outputs, weights = [], np.zeros((len(h), len(h)))
    for t, h_t in enumerate(h):
        seen = range(t + 1) if causal else range(len(h))
        e = [math.exp(numpy_score(net, h_t, h[i])) for i in seen]
        context = sum(e_i * h[i] for e_i, i in zip(e, seen, strict=True)) / sum(e)
        weights[t, : len(e)] = np.array(e) / sum(e)
        outputs.append(np.tanh(combine @ np.concatenate([context, h_t])))
    return np.stack(outputs), weights


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("causal", [True, False])
def test_output_and_weights_equal_the_equations_over_the_past_or_over_the_window(score, causal):
    net = build(score, LSTM_OF_FOUR if causal else partial(Bidirectional, backbone=LSTM_OF_FOUR))
    x = inputs()
    signals = net.trace(x)
    assert net.causal is causal
    for row, h in enumerate(net.backbone(x)[0].detach().numpy()):
        output, weights = numpy_attention(net, h, causal)
        np.testing.assert_allclose(net(x)[0][row].detach().numpy(), output, atol=1e-12)
        np.testing.assert_allclose(signals["output"][row].detach().numpy(), output, atol=1e-12)
        np.testing.assert_allclose(signals["attention"][row].detach().numpy(), weights, atol=1e-12)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sequence_in_pieces_and_step_by_step_equals_the_whole(score, dtype):
    net, x = build(score).to(dtype), inputs().to(dtype)
    whole, end = net(x)
    pieces, state = in_pieces(net, x, [1, 4, 2], net.initial_state(BATCH))
    torch.testing.assert_close(pieces, whole)
    torch.testing.assert_close(state, end)
    steps, state = unrolled(net, x, net.initial_state(BATCH))
    torch.testing.assert_close(steps, whole)
    torch.testing.assert_close(state, end)


@pytest.mark.parametrize("score", SCORES)
def test_the_trace_of_a_later_piece_shows_the_weights_of_the_steps_before_it(score):
    net, x = build(score), inputs()
    _, state = net(x[:, :4])
    torch.testing.assert_close(net.trace(x[:, 4:], state)["attention"], net.trace(x)["attention"][:, 4:])


@pytest.mark.parametrize("score", SCORES)
def test_the_first_step_can_attend_to_itself_only(score):
    net, x = build(score), inputs(1)
    h = net.backbone(x)[0]
    assert (net.trace(x)["attention"] == 1).all()
    torch.testing.assert_close(net(x)[0], torch.tanh(net.combine(torch.cat([h, h], -1))))


@pytest.mark.parametrize(("score", "caches"), [("additive", 2), ("dot", 1), ("general", 2), ("scaled_dot", 1)])
def test_the_state_holds_the_outputs_so_far_and_their_projections(score, caches):
    net, x = build(score), inputs()
    _, (_, *cache) = net(x)
    h = net.backbone(x)[0]
    assert len(cache) == caches
    torch.testing.assert_close(cache[0], h)
    if caches == 2:
        torch.testing.assert_close(cache[1], h @ net.key.weight.T)


@pytest.mark.parametrize("causal", [True, False])
def test_long_sequences_in_blocks_give_the_same_outputs_and_gradients(causal, monkeypatch):
    part = partial(MLP, hidden_size=HIDDEN, window=2, activation="tanh")
    net = build("additive", part if causal else partial(Bidirectional, backbone=part))
    x = inputs(11).requires_grad_()

    def run():
        _, state = net(x[:, :3]) if causal else (None, None)
        y, _ = net(x[:, 3:], state)
        return y, torch.autograd.grad(y.square().sum(), [x, *net.parameters()])

    whole = run()
    monkeypatch.setattr(attentive, "_BLOCK", 3)
    torch.testing.assert_close(run(), whole)


def test_the_backbone_can_be_any_other_and_its_signals_are_traced_under_its_name():
    net = build("dot", partial(MLP, hidden_size=HIDDEN, window=3))
    x = inputs()
    signals = net.trace(x)
    assert set(signals) == {"output", "attention", "backbone.output", "backbone.layers.0.hidden"}
    torch.testing.assert_close(signals["backbone.output"], net.backbone(x)[0])


def test_over_a_backbone_that_is_not_causal_there_is_no_state_and_no_step():
    net = build("dot", partial(Bidirectional, backbone=LSTM_OF_FOUR))
    x = inputs()
    assert net(x)[1] == ()
    assert net.initial_state(BATCH) == ()
    with pytest.raises(RuntimeError, match="not causal"):
        net.step(x[:, 0], ())
    with pytest.raises(RuntimeError, match="not causal"):
        net(x, ())
    with pytest.raises(RuntimeError, match="not causal"):
        net.trace(x, ())


def test_attention_size_is_the_width_of_the_additive_scores_hidden_layer():
    net = build("additive", attention_size=9)
    assert net.query.weight.shape == net.key.weight.shape == (9, HIDDEN)
    assert net.energy.weight.shape == (1, 9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"score": "cosine"}, "score must be one of additive, dot, general, scaled_dot"),
        ({"score": "additive", "attention_size": 0}, "attention_size must be a positive integer"),
        ({"score": "dot", "attention_size": 8}, "attention_size belongs to the additive score"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        Attentive(WIDTH, **arguments)
