import numpy as np
import pytest
import torch
from scipy.special import expit as logistic
from torch import nn
from torch.nn.functional import dropout

from forecastlab.backbones.residual_lstm import ResidualLSTM

BATCH, TIME, WIDTH, HIDDEN = 3, 7, 4, 5


def sequence(width=WIDTH):
    return torch.randn(BATCH, TIME, width, dtype=torch.float64)


def kim(model, x, shortcut="inside", output_sees="new", mask=1.0):
    """Kim's equations in NumPy; shortcut="outside" and "not recurrent" are the two models it is confused with."""
    x = x.numpy()
    for layer in model.layers:
        p = {name: value.detach().numpy() for name, value in layer.named_parameters()}
        size = layer.hidden_size
        W, U, b = (np.split(p[name], 4) for name in ("weight_ih", "weight_hh", "bias"))
        v_i, v_f, v_o = p.get("weight_ch", np.zeros((3, size)))
        W_p, W_r = p.get("projection", np.eye(size)), p.get("shortcut", np.eye(size))
        h = c = np.zeros((len(x), size))
        outputs = []
        for t in range(x.shape[1]):
            x_t, before = x[:, t], c
            a_i, a_f, a_g, a_o = (x_t @ W[n].T + (h * mask) @ U[n].T + b[n] for n in range(4))
            c = logistic(a_f + v_f * before) * before + logistic(a_i + v_i * before) * np.tanh(a_g)
            o = logistic(a_o + v_o * (c if output_sees == "new" else before))
            m, r = np.tanh(c) @ W_p.T, x_t @ W_r.T
            if shortcut == "inside":
                h = y = o * (m + r)
            elif shortcut == "outside":
                h = y = o * m + r
            else:
                h, y = o * m, o * (m + r)
            outputs.append(y)
        x = np.stack(outputs, 1)
    return x


@pytest.mark.parametrize("peephole", ["diagonal", "none"])
@pytest.mark.parametrize("projection", [True, False])
@pytest.mark.parametrize(("width", "num_layers"), [(WIDTH, 1), (HIDDEN, 1), (WIDTH, 2)])
def test_equals_the_equations_in_numpy(peephole, projection, width, num_layers):
    model = ResidualLSTM(width, HIDDEN, num_layers, peephole=peephole, projection=projection).double()
    x = sequence(width)
    np.testing.assert_allclose(model(x)[0].detach(), kim(model, x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("wrong", [{"shortcut": "outside"}, {"shortcut": "not recurrent"}, {"output_sees": "old"}])
def test_known_wrong_readings_are_other_models(wrong):
    model, x = ResidualLSTM(WIDTH, HIDDEN).double(), sequence()
    assert abs(model(x)[0].detach().numpy() - kim(model, x, **wrong)).max() > 1e-3


def test_shortcut_is_the_identity_where_widths_agree():
    model = ResidualLSTM(WIDTH, HIDDEN, num_layers=2)
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert shapes["layers.0.shortcut"] == (HIDDEN, WIDTH)
    assert "layers.1.shortcut" not in shapes
    assert shapes["layers.1.projection"] == (HIDDEN, HIDDEN)
    bare = ResidualLSTM(HIDDEN, HIDDEN, peephole="none", projection=False)
    assert sorted(name for name, _ in bare.named_parameters()) == [
        "layers.0.bias",
        "layers.0.weight_hh",
        "layers.0.weight_ih",
    ]


def test_without_shortcut_and_peepholes_it_is_torchs_lstm():
    model = ResidualLSTM(WIDTH, HIDDEN, peephole="none", projection=False).double()
    twin = nn.LSTM(WIDTH, HIDDEN, batch_first=True).double()
    layer = model.layers[0]
    with torch.no_grad():
        layer.shortcut.zero_()
        layer.weight_ih.copy_(twin.weight_ih_l0)
        layer.weight_hh.copy_(twin.weight_hh_l0)
        layer.bias.copy_(twin.bias_ih_l0 + twin.bias_hh_l0)
    x = sequence()
    torch.testing.assert_close(model(x)[0], twin(x)[0], rtol=0, atol=1e-13)


def test_recurrent_dropout_hides_the_same_units_of_h_at_every_step():
    model, x = ResidualLSTM(WIDTH, 20, recurrent_dropout=0.4).double(), sequence()
    torch.manual_seed(16)
    y = model(x)[0].detach()
    torch.manual_seed(16)
    mask = dropout(torch.ones(BATCH, 20, dtype=torch.float64), 0.4).numpy()
    assert 0 < (mask == 0).sum() < mask.size
    np.testing.assert_allclose(y, kim(model, x, mask=mask), rtol=0, atol=1e-13)


def test_trace_gives_the_shortcut_beside_the_gates():
    model, x = ResidualLSTM(WIDTH, HIDDEN, projection=False).double(), sequence()
    s = {name.removeprefix("layers.0."): signal for name, signal in model.trace(x).items()}
    torch.testing.assert_close(s["shortcut"], x @ model.layers[0].shortcut.T)
    torch.testing.assert_close(s["output_gate"] * (s["cell"].tanh() + s["shortcut"]), s["hidden"])


def test_forget_bias_is_the_forget_gates():
    torch.manual_seed(17)
    plain = ResidualLSTM(WIDTH, HIDDEN)
    torch.manual_seed(17)
    moved = ResidualLSTM(WIDTH, HIDDEN, forget_bias=2.0)
    change = moved.layers[0].bias - plain.layers[0].bias
    torch.testing.assert_close(change.view(4, HIDDEN)[:, 0], torch.tensor([0.0, 2.0, 0.0, 0.0]))


def test_unknown_peephole_raises():
    with pytest.raises(ValueError, match="peephole must be 'none' or 'diagonal', got 'full'"):
        ResidualLSTM(WIDTH, peephole="full")
