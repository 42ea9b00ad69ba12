import numpy as np
import pytest
import torch
from scipy.special import expit as logistic
from torch import nn
from torch.nn.functional import dropout

from forecastlab.backbones.gru import GRU

BATCH, TIME, WIDTH, HIDDEN = 3, 7, 4, 5


def sequence():
    return torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)


def rows_of(model):
    weights = [value.detach().numpy() for value in model.rnn.parameters()]
    return [tuple(np.split(weight, 3)[n] for weight in weights) for n in range(3)]


def gru(model, x, reset_after, a=np.tanh, s=logistic, mask=1.0):
    """One layer in NumPy; reset_after=False is Cho's eqs. 5-8 with z and 1 - z as there."""
    (w_r, u_r, b_r, d_r), (w_z, u_z, b_z, d_z), (w, u, b, d) = rows_of(model)
    x, outputs = x.numpy(), []
    h = np.zeros((len(x), model.hidden_size))
    for t in range(x.shape[1]):
        seen = h * mask
        r = s(x[:, t] @ w_r.T + b_r + seen @ u_r.T + d_r)
        z = s(x[:, t] @ w_z.T + b_z + seen @ u_z.T + d_z)
        recurrent = r * (seen @ u.T + d) if reset_after else (r * seen) @ u.T + d
        h = z * h + (1 - z) * a(x[:, t] @ w.T + b + recurrent)
        outputs.append(h)
    return np.stack(outputs, 1)


def test_equals_torch_by_weight_copy():
    model, twin = GRU(WIDTH, HIDDEN, num_layers=2).double(), nn.GRU(WIDTH, HIDDEN, 2, batch_first=True).double()
    assert [name for name, _ in model.rnn.named_parameters()] == [name for name, _ in twin.named_parameters()]
    model.rnn.load_state_dict(twin.state_dict())
    x = sequence()
    y, h = model(x)
    expected, expected_h = twin(x)
    assert torch.equal(y, expected)
    assert torch.equal(h, expected_h.transpose(0, 1))


def test_own_loop_equals_torchs_kernel_in_outputs_state_and_gradients():
    model, x = GRU(WIDTH, HIDDEN, num_layers=2).double(), sequence()
    start = torch.randn(BATCH, 2, HIDDEN, dtype=torch.float64)
    results = []
    for model.native in (True, False):
        model.zero_grad()
        y, h = model(x, start)
        (y.square().sum() + h.exp().sum()).backward()
        results.append([y, h, *(parameter.grad for parameter in model.parameters())])
    for kernel, own in zip(*results, strict=True):
        torch.testing.assert_close(own, kernel, rtol=0, atol=1e-12)


@pytest.mark.parametrize("reset_after", [True, False])
def test_equals_the_equations_in_numpy(reset_after):
    model, x = GRU(WIDTH, HIDDEN, reset_after=reset_after).double(), sequence()
    y = model(x)[0].detach().numpy()
    np.testing.assert_allclose(y, gru(model, x, reset_after), rtol=0, atol=1e-13)
    assert abs(y - gru(model, x, not reset_after)).max() > 1e-3


def test_other_functions_equal_the_equations_in_numpy():
    model = GRU(WIDTH, HIDDEN, activation="relu", gate_activation="hard_sigmoid").double()
    x = sequence()
    expected = gru(model, x, True, lambda u: np.maximum(u, 0), lambda u: np.clip(u / 6 + 0.5, 0, 1))
    np.testing.assert_allclose(model(x)[0].detach(), expected, rtol=0, atol=1e-13)


def test_course_modules_update_gate_is_one_minus_torchs():
    model, x = GRU(WIDTH, HIDDEN, reset_after=False).double(), sequence()
    signals = {name.removeprefix("layers.0."): signal for name, signal in model.trace(x).items()}
    h = signals["hidden"]
    before = torch.cat([torch.zeros_like(h[:, :1]), h[:, :-1]], 1)
    z = 1 - signals["update_gate"]
    torch.testing.assert_close((1 - z) * before + z * signals["candidate"], h)
    (_, _, _, _), (w_z, u_z, b_z, d_z), _ = rows_of(model)
    negated = logistic(-(x.numpy() @ w_z.T + before.detach().numpy() @ u_z.T + b_z + d_z))
    np.testing.assert_allclose(z.detach(), negated, rtol=0, atol=1e-13)


@pytest.mark.parametrize("reset_after", [True, False])
def test_recurrent_dropout_hides_the_same_units_at_every_step_but_not_what_is_kept(reset_after):
    model, x = GRU(WIDTH, 20, recurrent_dropout=0.4, reset_after=reset_after).double(), sequence()
    torch.manual_seed(8)
    y = model(x)[0].detach()
    torch.manual_seed(8)
    mask = dropout(torch.ones(BATCH, 20, dtype=torch.float64), 0.4).numpy()
    assert 0 < (mask == 0).sum() < mask.size
    np.testing.assert_allclose(y, gru(model, x, reset_after, mask=mask), rtol=0, atol=1e-13)


def test_update_gate_held_open_keeps_the_state():
    model = GRU(WIDTH, HIDDEN).double()
    with torch.no_grad():
        model.gate(0, "update").bias_ih.fill_(100.0)
    start = torch.randn(BATCH, 1, HIDDEN, dtype=torch.float64)
    torch.testing.assert_close(model(sequence(), start)[1], start)


def test_gate_is_a_view_of_torchs_rows():
    model = GRU(WIDTH, HIDDEN)
    for number, name in enumerate(("reset", "update", "candidate")):
        rows = slice(number * HIDDEN, (number + 1) * HIDDEN)
        assert torch.equal(model.gate(0, name).weight_hh, model.rnn.weight_hh_l0[rows])
    with pytest.raises(ValueError, match="unknown gate 'forget'; GRU has reset, update, candidate"):
        model.gate(0, "forget")
