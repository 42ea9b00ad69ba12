import numpy as np
import pytest
import torch
from scipy.special import expit as logistic

from forecastlab.backbones.min_gru import MinGRU, activated

BATCH, TIME, WIDTH, HIDDEN = 3, 7, 4, 5


def sequence(scale=1.0):
    return scale * torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)


def g(x):
    """The continuous activation of the paper's appendix."""
    return np.where(x >= 0, x + 0.5, logistic(x))


def paper(model, x, candidate="linear", h=0.0, overwrites=True, squash=lambda n: n):
    """Section 3.1 in NumPy, layer by layer: a gate of 1 overwrites, and the candidate has no tanh."""
    x = x.numpy()
    for layer in model.layers:
        (W_z, _, b_z), (W_n, _, b_n) = ([p.detach().numpy() for p in layer.gate(n)] for n in ("update", "candidate"))
        h_t, outputs = np.zeros((len(x), len(b_z))) + h, []
        for t in range(x.shape[1]):
            z, n = logistic(x[:, t] @ W_z.T + b_z), squash(x[:, t] @ W_n.T + b_n)
            n = g(n) if candidate == "positive" else n
            h_t = (1 - z) * h_t + z * n if overwrites else z * h_t + (1 - z) * n
            outputs.append(h_t)
        x = np.stack(outputs, 1)
    return x


def log_space(model, x):
    """The appendix of the paper: log h_t from log-sums of exponentials, for h_0 = g(0) and one layer."""
    (W_z, _, b_z), (W_n, _, b_n) = (
        [p.detach().numpy() for p in model.layers[0].gate(n)] for n in ("update", "candidate")
    )
    k, n = x.numpy() @ W_z.T + b_z, x.numpy() @ W_n.T + b_n
    log_keep, log_z = -np.logaddexp(0, k), -np.logaddexp(0, -k)
    log_g = np.where(n >= 0, np.log(np.maximum(n, 0) + 0.5), -np.logaddexp(0, -n))
    passed = np.cumsum(log_keep, 1)
    terms = np.concatenate([np.full_like(k[:, :1], np.log(0.5)), log_z + log_g - passed], 1)
    return np.exp(passed + np.logaddexp.accumulate(terms, 1)[:, 1:])


@pytest.mark.parametrize("candidate", ["linear", "positive"])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_equals_the_equations_in_numpy(candidate, num_layers):
    model, x = MinGRU(WIDTH, HIDDEN, num_layers, candidate=candidate).double(), sequence()
    np.testing.assert_allclose(model(x)[0].detach(), paper(model, x, candidate), rtol=0, atol=1e-13)


@pytest.mark.parametrize("wrong", [{"overwrites": False}, {"squash": np.tanh}, {"candidate": "positive"}])
def test_known_wrong_readings_are_other_models(wrong):
    model, x = MinGRU(WIDTH, HIDDEN).double(), sequence()
    assert abs(model(x)[0].detach().numpy() - paper(model, x, **wrong)).max() > 1e-3


def test_a_positive_candidate_gives_what_the_log_space_form_of_the_paper_gives():
    model, x = MinGRU(WIDTH, HIDDEN, candidate="positive").double(), sequence(3.0)
    start = (torch.full((BATCH, HIDDEN), 0.5, dtype=torch.float64),)
    np.testing.assert_allclose(model(x, start)[0].detach(), log_space(model, x), rtol=1e-12)


def test_the_positive_activation_is_positive_and_continuous():
    x = torch.tensor([-200.0, -1e-9, 0.0, 1e-9, 3.0], dtype=torch.float64)
    y = activated(x, "positive")
    assert (y > 0).all()
    torch.testing.assert_close(y[1:], torch.tensor([0.5, 0.5, 0.5, 3.5], dtype=torch.float64))


def test_hidden_state_is_a_weighted_mean_that_stays_between_the_candidates():
    model, x = MinGRU(WIDTH, HIDDEN, forget_bias=0.0).double(), sequence(50.0)
    signals = model.trace(x)
    n, h = signals["layers.0.candidate"], signals["layers.0.hidden"]
    lowest, highest = torch.zeros_like(n[:, 0]), torch.zeros_like(n[:, 0])
    for t in range(TIME):
        lowest, highest = torch.minimum(lowest, n[:, t]), torch.maximum(highest, n[:, t])
        assert ((h[:, t] >= lowest - 1e-9) & (h[:, t] <= highest + 1e-9)).all()


def test_trace_gives_gates_that_make_the_hidden_state():
    model, x = MinGRU(WIDTH, HIDDEN).double(), sequence()
    s = {name.removeprefix("layers.0."): signal for name, signal in model.trace(x).items()}
    before = torch.cat([torch.zeros_like(s["hidden"][:, :1]), s["hidden"][:, :-1]], 1)
    torch.testing.assert_close((1 - s["update_gate"]) * before + s["update_gate"] * s["candidate"], s["hidden"])


def test_a_gate_that_is_nearly_shut_keeps_its_digits():
    model = MinGRU(WIDTH, HIDDEN, forget_bias=0.0)
    with torch.no_grad():
        model.gate(0, "update").weight_ih.zero_()
        model.gate(0, "update").bias.fill_(25.0)  # 1 - s(25) is 1.4e-11, and 0 if it is taken from a float32 of 1
    start = (torch.full((1, HIDDEN), 1e20),)
    y = model(torch.zeros(1, 1, WIDTH), start)[0]
    torch.testing.assert_close(y[0, 0], torch.full((HIDDEN,), 1e20 * float(logistic(-25.0))), rtol=1e-5, atol=0)


def test_forget_bias_is_taken_from_the_update_gate():
    torch.manual_seed(14)
    plain = MinGRU(WIDTH, HIDDEN, num_layers=2, forget_bias=0.0)
    torch.manual_seed(14)
    spread = MinGRU(WIDTH, HIDDEN, num_layers=2)
    for layer in (0, 1):
        change = plain.gate(layer, "update").bias - spread.gate(layer, "update").bias
        torch.testing.assert_close(change, torch.linspace(0, 6, HIDDEN))
        assert torch.equal(plain.gate(layer, "candidate").bias, spread.gate(layer, "candidate").bias)


def test_gate_has_no_recurrent_weights_and_unknown_names_raise():
    model = MinGRU(WIDTH, HIDDEN)
    assert [tuple(p.shape) for p in model.gate(0, "candidate")] == [(HIDDEN, WIDTH), (HIDDEN, 0), (HIDDEN,)]
    with pytest.raises(ValueError, match="unknown gate 'reset'; MinGRULayer has update, candidate"):
        model.gate(0, "reset")
    with pytest.raises(ValueError, match="candidate must be 'linear' or 'positive', got 'tanh'"):
        MinGRU(WIDTH, candidate="tanh")
