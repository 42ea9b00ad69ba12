import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import dropout

from forecastlab.backbones.rnn import RNN

BATCH, TIME, WIDTH, HIDDEN = 3, 7, 4, 5


def sequence():
    return torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)


def elman(model, x, a, mask=1.0):
    """Elman's recursion in NumPy, layer over layer, without dropout between them."""
    weights = {name: value.detach().numpy() for name, value in model.rnn.named_parameters()}
    h_in = x.numpy()
    for layer in range(model.num_layers):
        w, u, b, b2 = (weights[f"{kind}_l{layer}"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        h, outputs = np.zeros((len(h_in), len(u))), []
        for t in range(h_in.shape[1]):
            h = a(h_in[:, t] @ w.T + b + (h * mask) @ u.T + b2)
            outputs.append(h)
        h_in = np.stack(outputs, 1)
    return h_in


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_equals_torch_by_weight_copy(nonlinearity):
    model = RNN(WIDTH, HIDDEN, num_layers=2, activation=nonlinearity).double()
    twin = nn.RNN(WIDTH, HIDDEN, 2, nonlinearity=nonlinearity, batch_first=True).double()
    assert [name for name, _ in model.rnn.named_parameters()] == [name for name, _ in twin.named_parameters()]
    model.rnn.load_state_dict(twin.state_dict())
    x = sequence()
    y, h = model(x)
    expected, expected_h = twin(x)
    assert torch.equal(y, expected)
    assert h.shape == (BATCH, 2, HIDDEN)
    assert torch.equal(h, expected_h.transpose(0, 1))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_own_loop_equals_torchs_kernel_in_outputs_state_and_gradients(activation):
    model, x = RNN(WIDTH, HIDDEN, num_layers=2, activation=activation).double(), sequence()
    results = []
    for model.native in (True, False):
        model.zero_grad()
        y, h = model(x, torch.ones(BATCH, 2, HIDDEN, dtype=torch.float64))
        (y.square().sum() + h.exp().sum()).backward()
        results.append([y, h, *(parameter.grad for parameter in model.parameters())])
    for kernel, own in zip(*results, strict=True):
        torch.testing.assert_close(own, kernel, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("activation", "a"),
    [
        ("tanh", np.tanh),
        ("relu", lambda x: np.maximum(x, 0)),
        ("softsign", lambda x: x / (1 + abs(x))),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
    ],
)
def test_equals_elmans_recursion_in_numpy(activation, a):
    model, x = RNN(WIDTH, HIDDEN, num_layers=2, activation=activation).double(), sequence()
    np.testing.assert_allclose(model(x)[0].detach(), elman(model, x, a), rtol=0, atol=1e-13)


def test_recurrent_dropout_hides_the_same_units_at_every_step():
    model, x = RNN(WIDTH, 20, recurrent_dropout=0.4).double(), sequence()
    torch.manual_seed(2)
    y = model(x)[0].detach()
    torch.manual_seed(2)
    mask = dropout(torch.ones(BATCH, 20, dtype=torch.float64), 0.4).numpy()
    assert 0 < (mask == 0).sum() < mask.size
    np.testing.assert_allclose(y, elman(model, x, np.tanh, mask), rtol=0, atol=1e-13)


def test_trace_gives_the_hidden_states_of_each_layer():
    model, x = RNN(WIDTH, HIDDEN, num_layers=2).double(), sequence()
    signals = model.trace(x)
    assert list(signals) == ["layers.0.hidden", "layers.1.hidden", "output"]
    below = RNN(WIDTH, HIDDEN).double()
    below.rnn.load_state_dict({name: value for name, value in model.rnn.state_dict().items() if name.endswith("l0")})
    torch.testing.assert_close(signals["layers.0.hidden"], below(x)[0])


def test_gate_is_a_view_of_the_parameters():
    model = RNN(WIDTH, HIDDEN)
    gate = model.gate(0, "hidden")
    assert torch.equal(gate.weight_ih, model.rnn.weight_ih_l0)
    with torch.no_grad():
        gate.bias_hh.fill_(3.0)
    assert torch.equal(model.rnn.bias_hh_l0, torch.full((HIDDEN,), 3.0))


def test_orthogonal_initialization_keeps_the_length_of_the_hidden_state():
    model = RNN(WIDTH, HIDDEN, num_layers=2, initialization="orthogonal").double()
    for layer in range(2):
        gate = model.gate(layer, "hidden")
        torch.testing.assert_close(gate.weight_hh @ gate.weight_hh.T, torch.eye(HIDDEN).double(), rtol=0, atol=1e-6)
        assert gate.weight_ih.abs().max() <= (6 / (gate.weight_ih.shape[1] + HIDDEN)) ** 0.5
        assert not gate.bias_ih.any()
        assert not gate.bias_hh.any()


@pytest.mark.parametrize("shape", [(TIME, WIDTH), (BATCH, TIME, WIDTH + 1), (BATCH, TIME, WIDTH, 1)])
def test_input_of_another_shape_raises(shape):
    with pytest.raises(ValueError, match=r"expects an input of shape \(batch, time, 4\), got"):
        RNN(WIDTH)(torch.zeros(shape))


def test_unknown_gate_or_layer_raises():
    with pytest.raises(ValueError, match="unknown gate 'forget'; RNN has hidden"):
        RNN(WIDTH).gate(0, "forget")
    with pytest.raises(ValueError, match="layer must be at least 0 and below 1, got 1"):
        RNN(WIDTH).gate(1, "hidden")
