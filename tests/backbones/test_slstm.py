from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import expit as sigmoid
from torch.nn.functional import dropout

from forecastlab.backbones.mlstm import MLSTM
from forecastlab.backbones.slstm import NOTHING, SLSTM, SLSTMLayer
from forecastlab.backbones.xlstm import XLSTM
from tests.backbones.states import in_pieces

GATES = ("input", "forget", "candidate", "output")


def log_sigmoid(a):
    return -np.logaddexp(0, -a)


def parameters(layer):
    """The layer's weights by gate: W (hidden, input), R (hidden, hidden) with zeros between the heads, b (hidden,)."""
    weights = {}
    for name in GATES:
        gate = layer.gate(name)
        R = torch.block_diag(*gate.weight_hh.view(layer.num_heads, -1, gate.weight_hh.shape[1]))
        weights[name] = tuple(p.detach().numpy() for p in (gate.weight_ih, R, gate.bias))
    return weights


def pre_activations(weights, x_t, h):
    return {name: x_t @ W.T + h @ R.T + b for name, (W, R, b) in weights.items()}


def stabilised(weights, x, forget, start=-np.inf, naive=False):
    """Beck et al. 2024, section 2.2, step by step: outputs and the state after the last step.

    A naive one takes the logarithms of the gates themselves, log(exp(.)), instead of their pre-activations.
    """
    h = c = n = np.zeros((len(x), len(weights["input"][2])))
    m = np.full_like(h, start)
    outputs = []
    for t in range(x.shape[1]):
        a = pre_activations(weights, x[:, t], h)
        log_i, log_f = a["input"], log_sigmoid(a["forget"]) if forget == "sigmoid" else a["forget"]
        if naive:
            log_i, log_f = np.log(np.exp(log_i)), np.log(np.exp(log_f))
        m_new = np.maximum(log_f + m, log_i)
        i, f = np.exp(log_i - m_new), np.exp(log_f + m - m_new)
        c, n, m = f * c + i * np.tanh(a["candidate"]), f * n + i, m_new
        h = sigmoid(a["output"]) * c / n
        outputs.append(h)
    return np.stack(outputs, 1), (h, c, n, m)


def unstabilised(weights, x, forget):
    """The same cell as first stated, without a stabiliser: outputs, cells and normalisers."""
    h = c = n = np.zeros((len(x), len(weights["input"][2])))
    outputs = []
    for t in range(x.shape[1]):
        a = pre_activations(weights, x[:, t], h)
        i = np.exp(a["input"])
        f = sigmoid(a["forget"]) if forget == "sigmoid" else np.exp(a["forget"])
        c, n = f * c + i * np.tanh(a["candidate"]), f * n + i
        h = sigmoid(a["output"]) * c / n
        outputs.append(h)
    return np.stack(outputs, 1), c, n


def build(dtype=torch.float64, scale=1.0, **arguments):
    torch.manual_seed(1)
    model = SLSTM(3, **{"hidden_size": 6, **arguments}).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2 * scale)
    return model


def series(dtype=torch.float64, batch=2, time=9):
    return torch.randn(batch, time, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("num_heads", [1, 2, 3])
@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
def test_two_layers_equal_the_published_equations(num_heads, forget, dtype, tolerance):
    model, x = build(dtype, num_heads=num_heads, forget=forget, num_layers=2), series(dtype)
    y, state = model(x)
    expected = x.double().numpy()
    for layer, got in zip(model.double().layers, state, strict=True):
        expected, last = stabilised(parameters(layer), expected, forget)
        for ours, theirs in zip(got, last, strict=True):
            np.testing.assert_allclose(ours.detach(), theirs, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(y.detach(), expected, rtol=tolerance, atol=tolerance)
    assert y.dtype == dtype


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_the_stabiliser_changes_nothing_but_the_scale_of_cell_and_normaliser(forget):
    model, x = build(num_heads=2, forget=forget), series()
    y, ((h, c, n, m),) = model(x)
    expected, cell, normaliser = unstabilised(parameters(model.layers[0]), x.numpy(), forget)
    np.testing.assert_allclose(y.detach(), expected, rtol=1e-12)
    np.testing.assert_allclose((c * m.exp()).detach(), cell, rtol=1e-12)
    np.testing.assert_allclose((n * m.exp()).detach(), normaliser, rtol=1e-12)
    torch.testing.assert_close(h, y[:, -1])


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_the_first_stabiliser_is_the_input_gates_pre_activation(forget):
    model, x = build(forget=forget), series(time=1)
    _, ((_, c, n, m),) = model(x)
    gate = model.layers[0].gate("input")
    torch.testing.assert_close(m, x[:, 0] @ gate.weight_ih.T + gate.bias, rtol=0, atol=1e-14)
    torch.testing.assert_close(n, torch.ones_like(n), rtol=0, atol=0)
    candidate = model.layers[0].gate("candidate")
    torch.testing.assert_close(c, torch.tanh(x[:, 0] @ candidate.weight_ih.T + candidate.bias))


def test_known_errors_would_be_noticed():
    model, x = build(forget="exp"), series()
    weights, values = parameters(model.layers[0]), x.numpy()
    y = model(x)[0].detach().numpy()
    mixed = dict(weights, input=weights["forget"], forget=weights["input"])
    assert np.abs(stabilised(weights, values, "sigmoid")[0] - y).max() > 1e-2  # the other forget gate
    assert np.abs(stabilised(mixed, values, "exp")[0] - y).max() > 1e-2  # gates in another order
    _, ((_, _, n, _),) = model(x)
    assert np.abs(stabilised(weights, values, "exp", start=0.0)[1][2] - n.detach().numpy()).max() > 1e-2  # m_0 = 0
    far = dict(weights, input=(*weights["input"][:2], weights["input"][2] - 800))
    with np.errstate(invalid="ignore"):  # with m_0 = 0 the first normaliser vanishes: 0 / 0
        assert np.isnan(stabilised(far, values, "sigmoid", start=0.0)[0]).any()
    assert np.isfinite(stabilised(far, values, "sigmoid")[0]).all()


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@pytest.mark.parametrize("offset", [-2000.0, 2000.0])
def test_gates_far_beyond_the_range_of_exp_stay_exact(forget, offset):
    model, x = build(forget=forget), series()
    x[..., 0] = torch.arange(x.shape[1])
    with torch.no_grad():  # ĩ runs away by the offset at every step, and f̃ makes up for it
        model.layers[0].gate("input").weight_ih[:, 0] = offset
        model.layers[0].gate("forget").bias.add_(offset)
    weights = parameters(model.layers[0])
    y, _ = model(x)
    np.testing.assert_allclose(y.detach(), stabilised(weights, x.numpy(), forget)[0], rtol=1e-9, atol=1e-11)
    y.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    with np.errstate(all="ignore"):  # log(exp(.)) overflows where the pre-activation does not
        assert np.isnan(stabilised(weights, x.numpy(), forget, naive=True)[0]).any()


def test_units_mix_within_their_head_only():
    model, x = build(num_heads=3), series()
    (h, c, n, m) = (part.clone() for part in model(x)[1][0])
    shifted = h.clone()
    shifted[:, 2:4] += 1.0  # the second head's units
    before, _ = model.step(x[:, 0], ((h, c, n, m),))
    after, _ = model.step(x[:, 0], ((shifted, c, n, m),))
    changed = (before != after).any(0)
    assert changed.tolist() == [False, False, True, True, False, False]


@pytest.mark.parametrize("pieces", [[1] * 9, [4, 5], [1, 7, 1]])
def test_a_sequence_in_pieces_equals_the_whole_with_all_gradients(pieces):
    model, x = build(num_heads=2, num_layers=2), series()

    def total(outputs, state):
        leaves = [leaf for layer in state for leaf in layer]
        loss = (outputs * torch.linspace(-1, 1, outputs.numel()).view_as(outputs)).sum()
        loss = loss + sum((leaf * torch.linspace(1, 2, leaf.numel()).view_as(leaf)).sum() for leaf in leaves)
        return outputs, *leaves, *torch.autograd.grad(loss, list(model.parameters()))

    whole = total(*model(x))
    split = in_pieces(model, x, pieces, model.initial_state(2))
    for ours, theirs in zip(total(*split), whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_gradients_of_outputs_and_states_equal_finite_differences(forget):
    model = build(hidden_size=4, num_heads=2, forget=forget)
    x = series(time=4).requires_grad_()
    state = tuple(part.detach().requires_grad_() for part in model(series(time=2))[1][0])

    def run(x, *state):
        y, (last,) = model(x, (state,))
        return y, *last

    assert torch.autograd.gradcheck(run, (x, *state))


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_a_long_series_of_huge_values_keeps_finite_outputs_and_gradients(forget):
    model = SLSTM(3, hidden_size=8, num_heads=2, forget=forget)
    x = 1e3 * series(torch.float32, batch=1, time=1500)
    x.requires_grad_()
    y, _ = model(x)
    y.square().mean().backward()
    assert y.isfinite().all()
    assert y.abs().max() <= 1  # a weighted mean of values of tanh, times a sigmoid
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_the_normaliser_never_falls_below_one():
    signals = build(scale=4, forget="exp").trace(series(time=50))
    assert signals["layers.0.normaliser"].min() >= 1


def test_trace_gives_the_signals_of_the_equations_and_the_same_output():
    model, x = build(num_heads=2, num_layers=2), series()
    signals = model.trace(x)
    torch.testing.assert_close(signals["output"], model(x)[0], rtol=0, atol=0)
    i, f, z, o, c, n, m, h = (
        signals[f"layers.1.{name}"]
        for name in (
            "input_gate",
            "forget_gate",
            "candidate",
            "output_gate",
            "cell",
            "normaliser",
            "stabiliser",
            "hidden",
        )
    )
    assert all(signal.shape == (2, 9, 6) for signal in (i, f, z, o, c, n, m, h))
    torch.testing.assert_close(h, o * c / n)
    torch.testing.assert_close(h, signals["output"])
    torch.testing.assert_close(c[:, 1:], f[:, 1:] * c[:, :-1] + i[:, 1:] * z[:, 1:])
    torch.testing.assert_close(n[:, 1:], f[:, 1:] * n[:, :-1] + i[:, 1:])
    torch.testing.assert_close(torch.maximum(i, f), torch.ones_like(i))
    assert SLSTMLayer.parts[:4] == ("input_gate", "forget_gate", "candidate", "output_gate")
    assert SLSTMLayer.parts[4:] == ("cell", "normaliser", "stabiliser", "hidden")
    assert len(signals) == 1 + 2 * 8


def test_recurrent_dropout_drops_the_same_units_at_every_step():
    model, x = build(recurrent_dropout=0.5), series(batch=4, time=12)
    layer = model.layers[0]
    with torch.no_grad():  # the hidden state reaches the candidate alone, each unit its own
        layer.weight_hh.zero_()
        layer.gate("candidate").weight_hh.copy_(0.3 * torch.eye(6))
    signals = model.train().trace(x)
    gate = layer.gate("candidate")
    share = torch.atanh(signals["layers.0.candidate"]) - x @ gate.weight_ih.T - gate.bias
    mask = share[:, 1:] / (0.3 * signals["layers.0.hidden"][:, :-1])
    torch.testing.assert_close(mask, mask[:, :1].expand_as(mask))
    assert set(mask.round(decimals=6).abs().unique().tolist()) == {0.0, 2.0}
    assert (mask[0, 0] != mask[1, 0]).any()
    torch.testing.assert_close(model.eval()(x)[0], model.eval()(x)[0], rtol=0, atol=0)


def test_dropout_acts_between_layers_in_training_only():
    model, x = build(num_layers=2, dropout=0.5), series()
    torch.manual_seed(3)
    y, _ = model.train()(x)
    torch.manual_seed(3)
    below = model.layers[0].run(x, model.layers[0].initial_state(2))[0]
    between = dropout(below, 0.5).detach().numpy()
    above, _ = stabilised(parameters(model.layers[1]), between, "sigmoid")
    np.testing.assert_allclose(y.detach(), above, rtol=1e-10)
    assert (model.eval()(x)[0] != y).any()


def test_gate_parameters_are_views_that_set_the_network():
    model, x = build(num_heads=2), series()
    gate = model.gate(0, "output")
    assert [tuple(p.shape) for p in gate] == [(6, 3), (6, 3), (6,)]
    with torch.no_grad():
        for p in gate:
            p.zero_()
        gate.bias.fill_(-50.0)
    assert model(x)[0].abs().max() < 1e-20
    with pytest.raises(ValueError, match="unknown gate 'cell'; SLSTMLayer has input, forget, candidate, output"):
        model.gate(0, "cell")


def test_the_forget_bias_is_added_at_the_start():
    torch.manual_seed(4)
    raised = SLSTM(3, forget_bias=2.5, num_layers=2)
    torch.manual_seed(4)
    plain = SLSTM(3, num_layers=2, forget_bias=0.0)
    for layer in (0, 1):
        torch.testing.assert_close(raised.gate(layer, "forget").bias, plain.gate(layer, "forget").bias + 2.5)
        torch.testing.assert_close(raised.gate(layer, "input").bias, plain.gate(layer, "input").bias)


@pytest.mark.parametrize(
    ("cls", "units"),
    [(SLSTM, 6), (partial(MLSTM, num_heads=3), 3), (partial(XLSTM, num_heads=3, pattern=["m", "s"]), 3)],
)
def test_forget_gates_start_between_half_open_and_open_unless_they_are_exponential(cls, units):
    added = {}
    for forget, bias in (("sigmoid", None), ("exp", None), ("sigmoid", (3, 6)), ("sigmoid", 0.0)):
        torch.manual_seed(4)
        added[forget, bias] = cls(3, hidden_size=6, forget=forget, forget_bias=bias).gate(0, "forget").bias.detach()
    plain = added["sigmoid", 0.0]
    torch.testing.assert_close(added["sigmoid", None] - plain, torch.linspace(0, 6, units))
    torch.testing.assert_close(added["sigmoid", (3, 6)] - plain, torch.linspace(3, 6, units))
    torch.testing.assert_close(added["exp", None], plain)
    with pytest.raises(ValueError, match="forget_bias must be a number, or those of the first and the last unit"):
        cls(3, hidden_size=6, forget_bias=(1, 2, 3))


def test_the_first_value_is_recalled_after_forty_steps():
    torch.manual_seed(0)
    model, head = SLSTM(2, hidden_size=32), torch.nn.Linear(32, 1)
    parameters = [*model.parameters(), *head.parameters()]
    optimizer, generator = torch.optim.Adam(parameters, 0.01), torch.Generator().manual_seed(1)
    for _ in range(200):
        x = torch.zeros(64, 41, 2)
        x[:, 0] = torch.stack([torch.randn(64, generator=generator), torch.ones(64)], 1)
        loss = (head(model(x)[0][:, -1])[:, 0] - x[:, 0, 0]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    assert loss < 0.1  # with forget_bias=0 it stays at 1, the variance of the value


def test_the_state_before_the_first_step_is_zero_but_for_the_stabiliser():
    state = SLSTM(3, hidden_size=4, num_layers=2).initial_state(5)
    for h, c, n, m in state:
        assert all(part.shape == (5, 4) for part in (h, c, n, m))
        assert not any(part.any() for part in (h, c, n))
        assert (m == NOTHING).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 3, "hidden_size": 4}, "hidden_size must be a multiple of num_heads = 3, got 4"),
        ({"num_heads": 0}, "num_heads must be a positive integer, got 0"),
        ({"hidden_size": 0}, "hidden_size must be a positive integer, got 0"),
        ({"num_layers": 0}, "num_layers must be a positive integer, got 0"),
        ({"forget": "relu"}, "forget must be 'sigmoid' or 'exp', got 'relu'"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"recurrent_dropout": -0.1}, "recurrent_dropout must be at least 0 and below 1, got -0.1"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SLSTM(3, **arguments)
