import math

import numpy as np
import pytest
import torch

from forecastlab.backbones.delta_product import DeltaProduct
from tests.backbones.delta_rules import WRONG, stacked

BATCH, TIME, WIDTH, HIDDEN = 2, 9, 3, 6


def sequence():
    return torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)


def build(**arguments):
    model = DeltaProduct(WIDTH, **{"hidden_size": HIDDEN, "num_heads": 2, **arguments}).double()
    with torch.no_grad():
        for layer in model.layers:
            layer.weight_ih.mul_(2)
            layer.norm.uniform_(0.5, 1.5)
            if layer.A_log is not None:
                layer.A_log.fill_(0.0)
    return model


@pytest.mark.parametrize("num_writes", [1, 2, 3])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("chunk_size", [2, 16])
def test_equals_the_equations_in_numpy(num_writes, gated, negative, chunk_size):
    options = {"num_writes": num_writes, "gated": gated, "negative_eigenvalues": negative, "chunk_size": chunk_size}
    model, x = build(num_layers=2, **options), sequence()
    y, states = model(x)
    expected, last = stacked(model, x, largest=2.0 if negative else 1.0)
    np.testing.assert_allclose(y.detach(), expected, rtol=0, atol=1e-12)
    for (_, S), wanted in zip(states, last, strict=True):
        np.testing.assert_allclose(S.detach(), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("wrong", [*WRONG.values(), {"largest": 1.0}], ids=[*WRONG, "gates up to 1"])
def test_known_wrong_readings_are_other_models(wrong):
    model, x = build(gated=True), sequence()
    assert abs(model(x)[0].detach().numpy() - stacked(model, x, **wrong)[0]).max() > 1e-2


def test_the_order_of_the_writes_of_a_step_matters():
    model, x = build(), sequence()
    swapped = build()
    swapped.load_state_dict(model.state_dict())
    layer, width = swapped.layers[0], HIDDEN // 2
    with torch.no_grad():
        for name, rows in (("key", width), ("value", width), ("write", 1)):
            weight, _, bias = swapped.gate(0, name)
            weight.copy_(weight.unflatten(0, (2, 2, rows)).flip(1).flatten(0, 2).clone())
            bias.copy_(bias.unflatten(0, (2, 2, rows)).flip(1).flatten().clone())
        for parameter in (layer.conv.weight, layer.conv.bias):
            for start in (HIDDEN, 3 * HIDDEN):
                part = parameter[start : start + 2 * HIDDEN]
                part.copy_(part.unflatten(0, (2, 2, width)).flip(1).flatten(0, 2).clone())
    assert (swapped(x)[0] - model(x)[0]).abs().max() > 1e-2


def test_two_gates_of_two_rotate_the_state():
    # keys at an angle of 22.5 degrees: two mirrors turn by 45 degrees, and eight steps make a whole turn
    model = DeltaProduct(1, hidden_size=2, num_heads=1, kernel_size=1).double()
    layer, angle = model.layers[0], math.pi / 8
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        layer.conv.weight.fill_(1.0)
        layer.gate("key").bias.copy_(1e6 * torch.tensor([1.0, 1e-9, math.cos(angle), math.sin(angle)]))
        layer.gate("write").bias.fill_(60.0)
    past, S = model.initial_state(1)[0]
    S = S + torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    x = torch.zeros(1, 8, 1, dtype=torch.float64)
    eighth = model(x[:, :1], ((past, S),))[1][0][1]
    c = math.cos(math.pi / 4)
    turned = S @ torch.tensor([[c, c], [-c, c]], dtype=torch.float64)
    torch.testing.assert_close(eighth, turned, rtol=0, atol=1e-6)
    torch.testing.assert_close(model(x, ((past, S),))[1][0][1], S, rtol=0, atol=1e-5)


def test_without_a_decay_its_gate_has_no_rows_and_its_signal_is_one():
    model, x = build(num_writes=3), sequence()
    assert model.gate(0, "decay").bias.shape == (0,)
    assert "layers.0.A_log" not in model.state_dict()
    signals = model.trace(x)
    assert (signals["layers.0.decay"] == 1).all()
    assert signals["layers.0.key"].shape == (BATCH, TIME, 3 * HIDDEN)
    assert signals["layers.0.write_gate"].shape == (BATCH, TIME, 3 * 2)
    assert (signals["layers.0.write_gate"] > 1).any()


def test_a_step_of_no_writes_is_refused():
    with pytest.raises(ValueError, match="num_writes must be a positive integer, got 0"):
        DeltaProduct(WIDTH, num_writes=0)
