import numpy as np
import pytest
import torch
from scipy.special import expit as logistic
from torch import nn
from torch.nn.functional import dropout

from forecastlab.backbones.lstm import LSTM

BATCH, TIME, WIDTH, HIDDEN = 3, 7, 4, 5


def rectified(x):
    return np.maximum(x, 0)


def sequence():
    return torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)


def gates_of(model, layer):
    """Theta, U and b of van Diepen's eq. 1 for z in I, F, C, O: torch's rows in torch's order, biases summed."""
    weights = {name: value.detach().numpy() for name, value in model.rnn.named_parameters()}
    theta, u = weights[f"weight_ih_l{layer}"], weights[f"weight_hh_l{layer}"]
    b = weights[f"bias_ih_l{layer}"] + weights[f"bias_hh_l{layer}"]
    size = len(u) // 4
    return {z: tuple(part[n * size : (n + 1) * size] for part in (theta, u, b)) for n, z in enumerate("IFCO")}


def equation_1(model, x, sigma, sigma_c, sigma_h, mask=1.0):
    """Van Diepen's eq. 1 in NumPy, one time step after the other: all c and all h of the top layer."""
    x = x.numpy()
    for layer in range(model.num_layers):
        gates, hs, cs = gates_of(model, layer), [], []
        h = c = np.zeros((len(x), model.hidden_size))
        for t in range(x.shape[1]):
            g = {z: x[:, t] @ theta.T + (h * mask) @ u.T + b for z, (theta, u, b) in gates.items()}
            c = sigma(g["F"]) * c + sigma(g["I"]) * sigma_c(g["C"])
            h = sigma(g["O"]) * sigma_h(c)
            cs.append(c)
            hs.append(h)
        x = np.stack(hs, 1)
    return np.stack(cs, 1), x


def test_equals_torch_by_weight_copy():
    model, twin = LSTM(WIDTH, HIDDEN, num_layers=2).double(), nn.LSTM(WIDTH, HIDDEN, 2, batch_first=True).double()
    assert [name for name, _ in model.rnn.named_parameters()] == [name for name, _ in twin.named_parameters()]
    model.rnn.load_state_dict(twin.state_dict())
    x = sequence()
    y, (h, c) = model(x)
    expected, (expected_h, expected_c) = twin(x)
    assert torch.equal(y, expected)
    assert h.shape == c.shape == (BATCH, 2, HIDDEN)
    assert torch.equal(h, expected_h.transpose(0, 1))
    assert torch.equal(c, expected_c.transpose(0, 1))


def test_default_forward_is_torchs_kernel(monkeypatch):
    calls = []
    kernel = nn.LSTM.forward
    monkeypatch.setattr(nn.LSTM, "forward", lambda self, *given: calls.append(self) or kernel(self, *given))
    model = LSTM(WIDTH, recurrent_dropout=0.5)
    model.eval()(torch.zeros(1, 2, WIDTH))
    assert calls == [model.rnn]
    model.train()(torch.zeros(1, 2, WIDTH))
    assert calls == [model.rnn]


def test_same_seed_gives_torchs_own_weights():
    torch.manual_seed(4)
    model = LSTM(WIDTH, HIDDEN, num_layers=2)
    torch.manual_seed(4)
    twin = nn.LSTM(WIDTH, HIDDEN, 2)
    assert all(map(torch.equal, model.parameters(), twin.parameters()))


def test_own_loop_equals_torchs_kernel_in_outputs_state_and_gradients():
    model, x = LSTM(WIDTH, HIDDEN, num_layers=2).double(), sequence()
    start = tuple(torch.randn(BATCH, 2, HIDDEN, dtype=torch.float64) for _ in range(2))
    results = []
    for model.native in (True, False):
        model.zero_grad()
        y, (h, c) = model(x, start)
        (y.square().sum() + h.exp().sum() + c.exp().sum()).backward()
        results.append([y, h, c, *(parameter.grad for parameter in model.parameters())])
    for kernel, own in zip(*results, strict=True):
        torch.testing.assert_close(own, kernel, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "functions"),
    [
        ({}, (logistic, np.tanh, np.tanh)),
        ({"activation": "relu"}, (logistic, rectified, rectified)),
        ({"activation": "tanh", "cell_activation": "identity"}, (logistic, np.tanh, lambda x: x)),
        ({"gate_activation": "hard_sigmoid"}, (lambda x: np.clip(x / 6 + 0.5, 0, 1), np.tanh, np.tanh)),
        (
            {"gate_activation": "softsign", "activation": "elu", "cell_activation": "relu"},
            (lambda x: x / (1 + abs(x)), lambda x: np.where(x > 0, x, np.expm1(x)), rectified),
        ),
    ],
)
def test_equals_equation_1_in_numpy_with_its_free_functions(arguments, functions):
    model, x = LSTM(WIDTH, HIDDEN, num_layers=2, **arguments).double(), sequence()
    y, (h, c) = model(x)
    cs, hs = equation_1(model, x, *functions)
    np.testing.assert_allclose(y.detach(), hs, rtol=0, atol=1e-13)
    np.testing.assert_allclose(h[:, -1].detach(), hs[:, -1], rtol=0, atol=1e-13)
    np.testing.assert_allclose(c[:, -1].detach(), cs[:, -1], rtol=0, atol=1e-13)


def test_recurrent_dropout_hides_the_same_units_at_every_step_and_from_every_gate():
    model, x = LSTM(WIDTH, 20, recurrent_dropout=0.4).double(), sequence()
    torch.manual_seed(5)
    y = model(x)[0].detach()
    torch.manual_seed(5)
    mask = dropout(torch.ones(BATCH, 20, dtype=torch.float64), 0.4).numpy()
    assert 0 < (mask == 0).sum() < mask.size
    np.testing.assert_allclose(y, equation_1(model, x, logistic, np.tanh, np.tanh, mask)[1], rtol=0, atol=1e-13)


def test_trace_gives_the_signals_of_the_equations():
    model, x = LSTM(WIDTH, HIDDEN).double(), sequence()
    signals = {name.removeprefix("layers.0."): signal.detach().numpy() for name, signal in model.trace(x).items()}
    cs, hs = equation_1(model, x, logistic, np.tanh, np.tanh)
    np.testing.assert_allclose(signals["cell"], cs, rtol=0, atol=1e-13)
    np.testing.assert_allclose(signals["hidden"], hs, rtol=0, atol=1e-13)
    before_h, before_c = (np.concatenate([0 * s[:, :1], s[:, :-1]], 1) for s in (hs, cs))
    for z, name in (("I", "input_gate"), ("F", "forget_gate"), ("O", "output_gate")):
        theta, u, b = gates_of(model, 0)[z]
        gate = logistic(x.numpy() @ theta.T + before_h @ u.T + b)
        np.testing.assert_allclose(signals[name], gate, rtol=0, atol=1e-13)
    cell = signals["forget_gate"] * before_c + signals["input_gate"] * signals["candidate"]
    np.testing.assert_allclose(signals["cell"], cell, rtol=0, atol=1e-13)


def test_gate_is_a_view_of_torchs_rows():
    model = LSTM(WIDTH, HIDDEN, num_layers=2)
    for number, name in enumerate(("input", "forget", "candidate", "output")):
        rows = slice(number * HIDDEN, (number + 1) * HIDDEN)
        gate = model.gate(1, name)
        assert torch.equal(gate.weight_ih, model.rnn.weight_ih_l1[rows])
        assert torch.equal(gate.weight_hh, model.rnn.weight_hh_l1[rows])
        with torch.no_grad():
            gate.bias_ih.fill_(number)
        assert torch.equal(model.rnn.bias_ih_l1[rows], torch.full((HIDDEN,), float(number)))


def test_forget_bias_moves_the_forget_gate_alone():
    torch.manual_seed(6)
    plain = LSTM(WIDTH, HIDDEN, num_layers=2)
    torch.manual_seed(6)
    moved = LSTM(WIDTH, HIDDEN, num_layers=2, forget_bias=1.5)
    for name, value in plain.rnn.named_parameters():
        expected = value.detach().clone()
        if name.startswith("bias_ih"):
            expected[HIDDEN : 2 * HIDDEN] += 1.5
        assert torch.equal(dict(moved.rnn.named_parameters())[name], expected)


def test_orthogonal_initialization_is_per_gate():
    model = LSTM(WIDTH, HIDDEN, initialization="orthogonal", forget_bias=1.0).double()
    for name in ("input", "forget", "candidate", "output"):
        gate = model.gate(0, name)
        torch.testing.assert_close(gate.weight_hh @ gate.weight_hh.T, torch.eye(HIDDEN).double(), rtol=0, atol=1e-6)
        assert 0 < gate.weight_ih.abs().max() <= (6 / (WIDTH + HIDDEN)) ** 0.5
        assert (gate.bias_ih + gate.bias_hh).tolist() == [1.0 if name == "forget" else 0.0] * HIDDEN


def test_unknown_option_raises_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown gate 'new'; LSTM has input, forget, candidate, output"):
        LSTM(WIDTH).gate(0, "new")
    with pytest.raises(ValueError, match="initialization must be 'uniform' or 'orthogonal', got 'he'"):
        LSTM(WIDTH, initialization="he")
    with pytest.raises(ValueError, match="unknown activation 'gelu'"):
        LSTM(WIDTH, activation="gelu")
