import numpy as np
import pytest
import torch
from scipy.special import expit as logistic
from torch import nn
from torch.nn.functional import dropout

from forecastlab.backbones.peephole_lstm import PeepholeLSTM

BATCH, TIME, WIDTH, HIDDEN = 3, 7, 4, 5


def sequence():
    return torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)


def zangari(model, x, output_sees="new", candidate_sees=False, mask=1.0):
    """Eqs. 2.39-2.41 with 2.35, 2.36 and 2.38 in NumPy, matrices V in full; a diagonal one is written as a matrix."""
    x = x.numpy()
    for layer in model.layers:
        gates = [layer.gate(name) for name in ("input", "forget", "candidate", "output")]
        (W_i, U_i, b_i), (W_f, U_f, b_f), (W_c, U_c, b_c), (W_o, U_o, b_o) = (
            [part.detach().numpy() for part in gate] for gate in gates
        )
        V_i, V_f, V_o = (np.diag(v) if v.ndim == 1 else v for v in layer.weight_ch.detach().numpy())
        h = c = np.zeros((len(x), len(b_i)))
        outputs = []
        for t in range(x.shape[1]):
            x_t, seen, before = x[:, t], h * mask, c
            f = logistic(x_t @ W_f.T + seen @ U_f.T + before @ V_f.T + b_f)
            i = logistic(x_t @ W_i.T + seen @ U_i.T + before @ V_i.T + b_i)
            g = np.tanh(x_t @ W_c.T + seen @ U_c.T + b_c + (before @ V_i.T if candidate_sees else 0))
            c = f * before + i * g
            o = logistic(x_t @ W_o.T + seen @ U_o.T + (c if output_sees == "new" else before) @ V_o.T + b_o)
            h = o * np.tanh(c)
            outputs.append(h)
        x = np.stack(outputs, 1)
    return x


@pytest.mark.parametrize("peephole", ["diagonal", "full"])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_equals_the_equations_in_numpy(peephole, num_layers):
    model, x = PeepholeLSTM(WIDTH, HIDDEN, num_layers, peephole=peephole).double(), sequence()
    np.testing.assert_allclose(model(x)[0].detach(), zangari(model, x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("peephole", ["diagonal", "full"])
@pytest.mark.parametrize("wrong", [{"output_sees": "old"}, {"candidate_sees": True}])
def test_known_wrong_readings_are_other_models(peephole, wrong):
    model, x = PeepholeLSTM(WIDTH, HIDDEN, peephole=peephole).double(), sequence()
    assert abs(model(x)[0].detach().numpy() - zangari(model, x, **wrong)).max() > 1e-3


def test_without_peepholes_it_is_torchs_lstm():
    model, twin = PeepholeLSTM(WIDTH, HIDDEN).double(), nn.LSTM(WIDTH, HIDDEN, batch_first=True).double()
    layer = model.layers[0]
    with torch.no_grad():
        layer.weight_ch.zero_()
        layer.weight_ih.copy_(twin.weight_ih_l0)
        layer.weight_hh.copy_(twin.weight_hh_l0)
        layer.bias.copy_(twin.bias_ih_l0 + twin.bias_hh_l0)
    x = sequence()
    y, ((h, c),) = model(x)
    expected, (expected_h, expected_c) = twin(x)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(h, expected_h[0], rtol=0, atol=1e-13)
    torch.testing.assert_close(c, expected_c[0], rtol=0, atol=1e-13)


def test_full_peepholes_of_diagonal_matrices_are_diagonal_peepholes():
    full, diagonal = PeepholeLSTM(WIDTH, HIDDEN, peephole="full").double(), PeepholeLSTM(WIDTH, HIDDEN).double()
    weights = diagonal.state_dict()
    full.load_state_dict(weights | {"layers.0.weight_ch": torch.diag_embed(weights["layers.0.weight_ch"])})
    x = sequence()
    torch.testing.assert_close(full(x)[0], diagonal(x)[0], rtol=0, atol=1e-13)


def test_recurrent_dropout_hides_the_same_units_of_h_at_every_step():
    model, x = PeepholeLSTM(WIDTH, 20, recurrent_dropout=0.4).double(), sequence()
    torch.manual_seed(13)
    y = model(x)[0].detach()
    torch.manual_seed(13)
    mask = dropout(torch.ones(BATCH, 20, dtype=torch.float64), 0.4).numpy()
    assert 0 < (mask == 0).sum() < mask.size
    np.testing.assert_allclose(y, zangari(model, x, mask=mask), rtol=0, atol=1e-13)


def test_trace_gives_gates_that_make_the_cell_state():
    model, x = PeepholeLSTM(WIDTH, HIDDEN).double(), sequence()
    s = {name.removeprefix("layers.0."): signal for name, signal in model.trace(x).items()}
    before = torch.cat([torch.zeros_like(s["cell"][:, :1]), s["cell"][:, :-1]], 1)
    torch.testing.assert_close(s["forget_gate"] * before + s["input_gate"] * s["candidate"], s["cell"])
    torch.testing.assert_close(s["output_gate"] * s["cell"].tanh(), s["hidden"])


def test_gate_is_a_view_and_the_forget_bias_is_the_forget_gates():
    torch.manual_seed(14)
    plain = PeepholeLSTM(WIDTH, HIDDEN, num_layers=2)
    torch.manual_seed(14)
    moved = PeepholeLSTM(WIDTH, HIDDEN, num_layers=2, forget_bias=2.0)
    for name in ("input", "forget", "candidate", "output"):
        change = moved.gate(1, name).bias - plain.gate(1, name).bias
        torch.testing.assert_close(change, torch.full((HIDDEN,), 2.0 if name == "forget" else 0.0))
    with pytest.raises(ValueError, match="layer must be at least 0 and below 2, got 2"):
        plain.gate(2, "input")
    with pytest.raises(ValueError, match="unknown gate 'reset'; PeepholeLSTMLayer has input, forget"):
        plain.gate(0, "reset")


def test_unknown_peephole_raises():
    with pytest.raises(ValueError, match="peephole must be 'diagonal' or 'full', got 'none'"):
        PeepholeLSTM(WIDTH, peephole="none")
