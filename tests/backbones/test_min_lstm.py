import numpy as np
import pytest
import torch
from scipy.special import expit as logistic

from forecastlab.backbones.min_gru import MinGRU
from forecastlab.backbones.min_lstm import MinLSTM

BATCH, TIME, WIDTH, HIDDEN = 3, 7, 4, 5
GATES = ("forget", "input", "candidate")


def sequence(scale=1.0):
    return scale * torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)


def paper(model, x, candidate="linear", normalised=True, swapped=False, squash=lambda g: g):
    """Section 3.2 in NumPy, layer by layer, with the quotients as printed."""
    x = x.numpy()
    for layer in model.layers:
        parameters = ([p.detach().numpy() for p in layer.gate(name)] for name in GATES)
        (W_f, _, b_f), (W_i, _, b_i), (W_g, _, b_g) = parameters
        h, outputs = np.zeros((len(x), len(b_f))), []
        for t in range(x.shape[1]):
            f, i = logistic(x[:, t] @ W_f.T + b_f), logistic(x[:, t] @ W_i.T + b_i)
            g = squash(x[:, t] @ W_g.T + b_g)
            if candidate == "positive":
                g = np.where(g >= 0, g + 0.5, logistic(g))
            if normalised:
                f, i = f / (f + i), i / (f + i)
            if swapped:
                f, i = i, f
            h = f * h + i * g
            outputs.append(h)
        x = np.stack(outputs, 1)
    return x


@pytest.mark.parametrize("candidate", ["linear", "positive"])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_equals_the_equations_in_numpy(candidate, num_layers):
    model, x = MinLSTM(WIDTH, HIDDEN, num_layers, candidate=candidate).double(), sequence()
    np.testing.assert_allclose(model(x)[0].detach(), paper(model, x, candidate), rtol=0, atol=1e-13)


@pytest.mark.parametrize("wrong", [{"normalised": False}, {"swapped": True}, {"squash": np.tanh}])
def test_known_wrong_readings_are_other_models(wrong):
    model, x = MinLSTM(WIDTH, HIDDEN).double(), sequence()
    assert abs(model(x)[0].detach().numpy() - paper(model, x, **wrong)).max() > 1e-3


def test_trace_gives_gates_that_sum_to_one_and_make_the_hidden_state():
    model, x = MinLSTM(WIDTH, HIDDEN).double(), sequence()
    s = {name.removeprefix("layers.0."): signal for name, signal in model.trace(x).items()}
    before = torch.cat([torch.zeros_like(s["hidden"][:, :1]), s["hidden"][:, :-1]], 1)
    torch.testing.assert_close(s["forget_gate"] + s["input_gate"], torch.ones_like(before))
    torch.testing.assert_close(s["forget_gate"] * before + s["input_gate"] * s["candidate"], s["hidden"])


def test_two_gates_that_are_shut_share_the_step_as_their_logarithms_say():
    model = MinLSTM(WIDTH, HIDDEN, forget_bias=0.0)
    with torch.no_grad():
        model.layers[0].weight_ih.zero_()
        model.gate(0, "forget").bias.fill_(-300.0)  # s(-300) is 0 in float32
        model.gate(0, "input").bias.fill_(-301.0)
        model.gate(0, "candidate").bias.fill_(1.0)
    y = model(torch.zeros(1, 1, WIDTH))[0]
    torch.testing.assert_close(y[0, 0], torch.full((HIDDEN,), float(logistic(-1.0))), rtol=1e-5, atol=0)
    y.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_with_an_input_gate_held_open_it_is_a_minimal_gru():
    # f' = f / (f + 1) = s(log f), so a MinGRU whose gate is -log f computes the same
    lstm, gru = MinLSTM(WIDTH, HIDDEN).double(), MinGRU(WIDTH, HIDDEN).double()
    with torch.no_grad():
        lstm.gate(0, "input").weight_ih.zero_()
        lstm.gate(0, "input").bias.fill_(60.0)
        lstm.gate(0, "forget").weight_ih.zero_()
        for ours, theirs in zip(lstm.gate(0, "candidate"), gru.gate(0, "candidate"), strict=True):
            theirs.copy_(ours)
        gru.gate(0, "update").weight_ih.zero_()
        gru.gate(0, "update").bias.copy_(torch.logaddexp(torch.zeros(()), -lstm.gate(0, "forget").bias))
    x = sequence()
    torch.testing.assert_close(lstm(x)[0], gru(x)[0], rtol=0, atol=1e-13)


def test_forget_bias_is_the_forget_gates():
    torch.manual_seed(14)
    plain = MinLSTM(WIDTH, HIDDEN, forget_bias=0.0)
    torch.manual_seed(14)
    moved = MinLSTM(WIDTH, HIDDEN, forget_bias=2.0)
    for name in GATES:
        change = moved.gate(0, name).bias - plain.gate(0, name).bias
        torch.testing.assert_close(change, torch.full((HIDDEN,), 2.0 if name == "forget" else 0.0))


def test_unknown_candidate_raises():
    with pytest.raises(ValueError, match="candidate must be 'linear' or 'positive', got 'tanh'"):
        MinLSTM(WIDTH, candidate="tanh")
