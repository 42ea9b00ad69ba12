import math

import numpy as np
import pytest
import torch

from forecastlab.backbones.delta_product import DeltaProduct
from forecastlab.backbones.gated_delta_net import GatedDeltaNet
from tests.backbones.delta_rules import WRONG, stacked
from tests.backbones.states import unrolled

BATCH, TIME, WIDTH, HIDDEN = 2, 9, 3, 6


def sequence(time=TIME):
    return torch.randn(BATCH, time, WIDTH, dtype=torch.float64)


def build(**arguments):
    """A network whose parameters are large enough for wrong readings to show."""
    model = GatedDeltaNet(WIDTH, **{"hidden_size": HIDDEN, "num_heads": 2, **arguments}).double()
    with torch.no_grad():
        for layer in model.layers:
            layer.weight_ih.mul_(2)
            layer.norm.uniform_(0.5, 1.5)
            layer.A_log.fill_(0.0)
    return model


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("num_heads", [1, 3])
@pytest.mark.parametrize("chunk_size", [4, 32])
@pytest.mark.parametrize("kernel_size", [1, 4])
def test_equals_the_equations_in_numpy(num_layers, num_heads, chunk_size, kernel_size):
    model = build(num_layers=num_layers, num_heads=num_heads, chunk_size=chunk_size, kernel_size=kernel_size)
    x = sequence()
    y, states = model(x)
    expected, last = stacked(model, x)
    np.testing.assert_allclose(y.detach(), expected, rtol=0, atol=1e-12)
    for (_, S), wanted in zip(states, last, strict=True):
        np.testing.assert_allclose(S.detach(), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_known_wrong_readings_are_other_models(wrong):
    model, x = build(), sequence()
    assert abs(model(x)[0].detach().numpy() - stacked(model, x, **wrong)[0]).max() > 1e-2


def test_it_is_a_delta_product_of_one_write_with_a_decay():
    model, x = build(num_layers=2), sequence()
    other = DeltaProduct(WIDTH, HIDDEN, 2, num_heads=2, num_writes=1, gated=True, negative_eigenvalues=False).double()
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(x)[0], model(x)[0], rtol=0, atol=1e-13)


def test_a_second_value_under_a_key_replaces_the_first():
    model = GatedDeltaNet(5, hidden_size=4, num_heads=1, kernel_size=1).double()
    layer = model.layers[0]
    with torch.no_grad():  # inputs 0 and 1 choose the key and the query, input 2 is the value, input 3 opens the gate
        for parameter in model.parameters():
            parameter.zero_()
        layer.conv.weight.fill_(1.0)
        layer.norm.fill_(1.0)
        for name in ("query", "key"):
            layer.gate(name).weight_ih[0, 0] = layer.gate(name).weight_ih[1, 1] = 10.0
        layer.gate("value").weight_ih[2, 2] = layer.gate("value").weight_ih[3, 4] = 10.0
        layer.gate("output").bias.fill_(1.0)
        layer.gate("write").bias.fill_(-60.0)
        layer.gate("write").weight_ih[0, 3] = 120.0
        layer.gate("decay").bias.fill_(-60.0)
    one, two = [1.0, 0.0], [0.0, 1.0]
    steps = [[*one, 5, 1, 0], [*two, 3, 1, 0], [*one, 0, 1, 1], [*one, 0, 0, 0], [*two, 0, 0, 0]]
    y, ((_, S),) = model(torch.tensor([steps], dtype=torch.float64))
    expected = torch.zeros(4, 4, dtype=torch.float64)
    expected[3, 0], expected[2, 1] = 10 / (1 + math.exp(-10.0)), 30.0  # silu of 10 and of 30
    torch.testing.assert_close(S[0, 0], expected, rtol=1e-7, atol=1e-5)
    directions = y[0, 3:].abs() > 1  # a norm of one unit among four gives 2
    assert directions.tolist() == [[False, False, False, True], [False, False, True, False]]


def test_decays_start_as_those_of_mamba2():
    torch.manual_seed(1)
    layer = GatedDeltaNet(WIDTH, 8000, num_heads=4000).layers[0]
    rates = torch.nn.functional.softplus(layer.gate("decay").bias.double()).log().detach().numpy()
    assert rates.min() > math.log(1e-3) - 1e-2
    assert rates.max() < math.log(1e-1) + 1e-4
    assert np.quantile(rates, [0.25, 0.5, 0.75]) == pytest.approx(np.log([10**-2.5, 1e-2, 10**-1.5]), abs=0.15)
    speeds = layer.A_log.exp().detach().numpy()
    assert np.quantile(speeds, [0, 0.5, 1]) == pytest.approx([1, 8.5, 16], abs=0.5)


def test_trace_gives_signals_that_make_the_output():
    model, x = build(num_layers=2, chunk_size=4), sequence()
    s = {name.removeprefix("layers.1."): signal for name, signal in model.trace(x).items()}
    q, k, v, z = (s[name].unflatten(-1, (2, 3)) for name in ("query", "key", "value", "output_gate"))
    S = torch.zeros(BATCH, 2, 3, 3, dtype=torch.float64)
    for t in range(TIME):
        S = s["decay"][:, t, :, None, None] * S
        error = v[:, t] - torch.einsum("bhvk,bhk->bhv", S, k[:, t])
        S = S + s["write_gate"][:, t, :, None, None] * error[..., None] * k[:, t, :, None, :]
        read = torch.einsum("bhvk,bhk->bhv", S, q[:, t])
        h = read / torch.sqrt(read.square().mean(-1, keepdim=True) + 1e-6) * model.layers[1].norm * z[:, t]
        torch.testing.assert_close(s["hidden"][:, t], h.flatten(1), rtol=0, atol=1e-12)
    torch.testing.assert_close(s["output"], s["hidden"], rtol=0, atol=0)
    torch.testing.assert_close(k.norm(dim=-1), torch.ones(BATCH, TIME, 2, dtype=torch.float64), rtol=1e-3, atol=0)


def test_the_state_has_the_same_size_after_any_number_of_steps():
    model = GatedDeltaNet(WIDTH, HIDDEN, num_heads=2)
    sizes = [[leaf.shape for leaf in model(torch.randn(1, time, WIDTH))[1][0]] for time in (1, 50)]
    assert sizes[0] == sizes[1] == [(1, 3, 3 * HIDDEN), (1, 2, 3, 3)]


@pytest.mark.parametrize("cell", [GatedDeltaNet, DeltaProduct])
def test_a_network_of_bfloat16_keeps_a_state_of_float32(cell):
    model, x = cell(WIDTH, HIDDEN, num_heads=2).bfloat16(), torch.randn(BATCH, TIME, WIDTH)
    y, states = model(x.bfloat16())
    stepped, last = unrolled(model, x.bfloat16(), model.initial_state(BATCH))
    assert y.dtype == stepped.dtype == torch.bfloat16
    assert {S.dtype for _, S in (*states, *last)} == {torch.float32}
    torch.testing.assert_close(last[0][1], states[0][1], rtol=0, atol=0.05)  # keys and values have three digits
    y.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_decay_near_one_is_not_rounded_to_one_under_autocast():
    model = GatedDeltaNet(WIDTH, HIDDEN, num_heads=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.layers[0].gate("decay").bias.fill_(-6.0)
        model.layers[0].gate("write").bias.fill_(-200.0)
    past, S = model.initial_state(1)[0]
    with torch.autocast("cpu", torch.bfloat16):
        last = model(torch.zeros(1, 100, WIDTH), ((past, torch.ones_like(S)),))[1][0][1]
    kept = math.exp(-100 * math.log1p(math.exp(-6.0)))  # bfloat16 has nothing between 0.996 and 1
    assert last.dtype == torch.float32
    torch.testing.assert_close(last, torch.full_like(S, kept), rtol=1e-4, atol=0)
