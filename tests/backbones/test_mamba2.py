import numpy as np
import pytest
import torch

from forecastlab.backbones.mamba2 import Mamba2
from tests.backbones.delta_rules import convolved, silu
from tests.backbones.states import unrolled

BATCH, TIME, WIDTH, HIDDEN, STATES = 2, 9, 3, 6, 4


def sequence(time=TIME):
    return torch.randn(BATCH, time, WIDTH, dtype=torch.float64)


def build(**arguments):
    """A network whose parameters are large enough for wrong readings to show."""
    sizes = {"hidden_size": HIDDEN, "num_heads": 2, "state_size": STATES}
    model = Mamba2(WIDTH, **{**sizes, **arguments}).double()
    with torch.no_grad():
        for layer in model.layers:
            layer.weight_ih.mul_(2)
            layer.norm.uniform_(0.5, 1.5)
            layer.A_log.copy_(torch.linspace(-1, 0, layer.num_heads))
            layer.D.copy_(torch.linspace(0.5, 1, layer.num_heads))
            layer.gate("step").bias.zero_()
    return model


def paper(model, u, norm_last=True, scaled=True, timed=True, through=True, smooth=silu):
    """The dual form of the paper's section 3, y = (L * C Bᵀ) (Δ x), without a state, and the block around it."""
    u = u.numpy()
    for layer in model.layers:
        rows, heads = {}, layer.num_heads
        for name in layer.gates:
            weight, _, bias = (part.detach().numpy() for part in layer.gate(name))
            rows[name] = u @ weight.T + bias
        mixed = convolved(np.concatenate([rows[name] for name in ("value", "key", "query")], -1), layer)
        N = layer.state_size
        x, B, C = np.split(smooth(mixed), [mixed.shape[-1] - 2 * N, mixed.shape[-1] - N], -1)
        x = x.reshape(*x.shape[:2], heads, -1)
        step = np.logaddexp(0, rows["step"])
        log_a = -np.exp(layer.A_log.detach().numpy()) * (step if timed else np.ones_like(step))
        y = np.zeros_like(x)
        for t in range(u.shape[1]):
            for s in range(t + 1):
                kept = np.exp(log_a[:, s + 1 : t + 1].sum(1)) * (step[:, s] if scaled else 1)
                y[:, t] += kept[..., None] * (C[:, t] * B[:, s]).sum(-1)[:, None, None] * x[:, s]
        if through:
            y = y + layer.D.detach().numpy()[:, None] * x
        y, z = y.reshape(*u.shape[:2], -1), silu(rows["output"])
        y = y * z if norm_last else y
        y = y / np.sqrt(np.square(y).mean(-1, keepdims=True) + 1e-5) * layer.norm.detach().numpy()
        u = y if norm_last else y * z
    return u


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("num_heads", [1, 3])
@pytest.mark.parametrize("chunk_size", [4, 32])
def test_equals_the_dual_form_in_numpy_whole_and_in_steps(num_layers, num_heads, chunk_size):
    model, x = build(num_layers=num_layers, num_heads=num_heads, chunk_size=chunk_size), sequence()
    expected = paper(model, x)
    np.testing.assert_allclose(model(x)[0].detach(), expected, rtol=0, atol=1e-12)
    stepped, _ = unrolled(model, x, model.initial_state(BATCH))
    np.testing.assert_allclose(stepped.detach(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [{"norm_last": False}, {"scaled": False}, {"timed": False}, {"through": False}, {"smooth": lambda a: a}],
    ids=["norm before the gate", "input not scaled by the step", "decay of no step", "no D", "no activation"],
)
def test_known_wrong_readings_are_other_models(wrong):
    model, x = build(), sequence()
    assert abs(model(x)[0].detach().numpy() - paper(model, x, **wrong)).max() > 1e-2


def test_the_state_is_values_by_keys_and_stays_float32_in_a_network_of_bfloat16():
    model = build().bfloat16()
    y, ((past, S),) = model(torch.randn(BATCH, 50, WIDTH, dtype=torch.bfloat16))
    assert y.dtype == past.dtype == torch.bfloat16
    assert S.dtype == torch.float32
    assert past.shape == (BATCH, 3, HIDDEN + 2 * STATES)
    assert S.shape == (BATCH, 2, HIDDEN // 2, STATES)


def test_trace_gives_signals_that_make_the_state():
    model, x = build(num_layers=2, chunk_size=4), sequence()
    s = {name.removeprefix("layers.1."): signal for name, signal in model.trace(x).items()}
    S = torch.zeros(BATCH, 2, 3, STATES, dtype=torch.float64)
    for t in range(TIME):
        written = s["step_size"][:, t, :, None] * s["value"][:, t].unflatten(-1, (2, 3))
        S = s["decay"][:, t, :, None, None] * S + written[..., None] * s["key"][:, t, None, None]
    torch.testing.assert_close(S, model(x)[1][1][1], rtol=0, atol=1e-12)
    read = torch.einsum("bhpn,bn->bhp", S, s["query"][:, -1]) + model.layers[1].D[:, None] * s["value"][
        :, -1
    ].unflatten(-1, (2, 3))
    gated = read.flatten(1) * s["output_gate"][:, -1]
    h = gated / torch.sqrt(gated.square().mean(-1, keepdim=True) + 1e-5) * model.layers[1].norm
    torch.testing.assert_close(s["hidden"][:, -1], h, rtol=0, atol=1e-12)


def test_a_state_of_no_columns_is_refused():
    with pytest.raises(ValueError, match="state_size must be a positive integer, got 0"):
        Mamba2(WIDTH, state_size=0)
