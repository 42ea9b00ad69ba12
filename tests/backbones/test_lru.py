import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import expit as logistic

from forecastlab.backbones.lru import LRU, log_norm, on_a_ring

BATCH, TIME, WIDTH, HIDDEN, STATES = 3, 7, 4, 5, 6


def sequence():
    return torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)


def arrays(module):
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def poles(p):
    """λ of a layer, as the paper writes it."""
    return np.exp(-np.exp(p["nu_log"]) + 1j * np.exp(p["theta_log"]))


def weights(p):
    """B and C of a layer as complex matrices."""
    return p["B"][0] + 1j * p["B"][1], p["C"][:, 0] - 1j * p["C"][:, 1]


def glu(y, p):
    """The gated linear unit, whose value may have a matrix of its own."""
    value = y @ p["value_linear.weight"].T + p["value_linear.bias"] if "value_linear.weight" in p else y
    return value * logistic(y @ p["gate_linear.weight"].T + p["gate_linear.bias"])


def standardised(u, p):
    """Layer norm, written out."""
    centred = u - u.mean(-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-5) * p["norm.weight"] + p["norm.bias"]


def paper(model, x, gamma=True, through=True, norm_first=True, shortcut=True, sign=1):
    """The block of figure 1 around the equations of section 3, in NumPy with complex numbers."""
    u, last = x.numpy(), []
    for number, layer in enumerate(model.layers):
        p = arrays(layer)
        if number == 0:
            u = u @ p["encoder.weight"].T + p["encoder.bias"]
        B, C = weights(p)
        v = standardised(u, p) if norm_first else u
        s, y = np.zeros((len(u), len(p["nu_log"])), complex), np.empty_like(u)
        for t in range(u.shape[1]):
            written = v[:, t] @ B.T * (np.exp(p["gamma_log"]) if gamma else 1)
            s = poles(p) * s + written
            y[:, t] = s.real @ C.real.T - sign * s.imag @ C.imag.T + (p["D"] * v[:, t] if through else 0)
        added = glu(y, p)
        added = added if norm_first else standardised(added, p)
        u = (u if shortcut else 0) + added
        last.append(s)
    return u, last


@pytest.mark.parametrize("full_glu", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_equals_the_equations_in_numpy(num_layers, full_glu):
    model, x = LRU(WIDTH, HIDDEN, num_layers, state_size=STATES, full_glu=full_glu).double(), sequence()
    y, states = model(x)
    expected, last = paper(model, x)
    np.testing.assert_allclose(y.detach(), expected, rtol=0, atol=1e-12)
    for found, wanted in zip(states, last, strict=True):
        np.testing.assert_allclose(found.detach(), np.concatenate([wanted.real, wanted.imag], 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "wrong", [{"gamma": False}, {"through": False}, {"norm_first": False}, {"shortcut": False}, {"sign": -1}]
)
def test_known_wrong_readings_are_other_models(wrong):
    model, x = LRU(WIDTH, HIDDEN, state_size=STATES).double(), sequence()
    assert abs(model(x)[0].detach().numpy() - paper(model, x, **wrong)[0]).max() > 1e-3


def test_response_to_an_impulse_is_a_sum_of_powers():
    # without a recurrence at all: y_t = Re(C λ^t diag(exp γ) B v) after an input at step 0
    model = LRU(WIDTH, HIDDEN, state_size=STATES).double()
    layer, p = model.layers[0], arrays(model.layers[0])
    v = torch.randn(1, HIDDEN, dtype=torch.float64)
    a, b, c = layer.discretised()
    (B, C), powers = weights(p), poles(p) ** np.arange(50)[:, None]
    expected = ((powers * np.exp(p["gamma_log"]) * (B @ v[0].numpy())) @ C.T).real
    s = v @ b.T
    for y in expected:
        np.testing.assert_allclose((s @ c.T).detach()[0], y, rtol=0, atol=1e-12)
        re, im = s.chunk(2, -1)
        s = torch.cat([a[:STATES] * re - a[STATES:] * im, a[:STATES] * im + a[STATES:] * re], -1)


@pytest.mark.parametrize(("r_min", "r_max", "max_phase"), [(0.0, 1.0, 2 * math.pi), (0.9, 0.999, 0.1)])
def test_poles_start_uniform_on_a_ring(r_min, r_max, max_phase):
    nu, theta = on_a_ring(4000, r_min, r_max, max_phase)
    squares = torch.exp(-2 * nu).numpy()
    assert stats.kstest(squares, stats.uniform(r_min**2, r_max**2 - r_min**2).cdf).pvalue > 0.01
    assert stats.kstest(theta.numpy(), stats.uniform(0, max_phase).cdf).pvalue > 0.01
    assert abs(np.corrcoef(squares, theta)[0, 1]) < 0.1


def test_under_white_noise_all_states_have_the_variance_of_what_is_written():
    torch.manual_seed(2)
    model = LRU(WIDTH, 32, state_size=8, r_min=0.5, r_max=0.95).double()
    layer = model.layers[0]
    a, b, _ = (part.detach() for part in layer.discretised())
    v, s = torch.randn(2000, 100, 32, dtype=torch.float64), torch.zeros(2000, 16, dtype=torch.float64)
    for v_t in v.unbind(1):
        re, im = s.chunk(2, -1)
        s = torch.cat([a[:8] * re - a[8:] * im, a[:8] * im + a[8:] * re], -1) + v_t @ b.T
    sums = (s[:, :8].square() + s[:, 8:].square()).mean(0)
    torch.testing.assert_close(sums, layer.B.detach().square().sum((0, 2)), rtol=0.1, atol=0)


def test_no_parameter_makes_a_pole_leave_the_unit_circle():
    model = LRU(WIDTH, HIDDEN)
    with torch.no_grad():
        model.layers[0].nu_log.fill_(-3.0).add_(torch.tensor([0.0, 10.0]))
        model.layers[0].theta_log.fill_(9.0)
    re, im = model.layers[0].discretised().a.chunk(2)
    assert (torch.hypot(re, im) < 1).all()


def test_normalisation_keeps_its_digits_where_poles_are_near_the_circle():
    nu = torch.tensor([1e-12, 1e-6, 1.0, 400.0], dtype=torch.float64)
    expected = 0.5 * np.log(-np.expm1(-2 * nu.numpy().astype(np.longdouble)))
    np.testing.assert_allclose(log_norm(nu), expected.astype(float), rtol=1e-14, atol=1e-300)
    assert log_norm(nu.float())[0].item() == pytest.approx(0.5 * math.log(2e-12), rel=1e-6)


def test_trace_gives_states_and_the_gate_that_make_the_output():
    model, x = LRU(WIDTH, HIDDEN, 2, state_size=STATES).double(), sequence()
    signals, (_, last) = model.trace(x), model(x)[1]
    states = torch.cat([signals["layers.1.state_real"], signals["layers.1.state_imaginary"]], -1)
    torch.testing.assert_close(states[:, -1], last)
    p = arrays(model.layers[1])
    u = signals["layers.0.hidden"].detach().numpy()
    _, C = weights(p)
    y = (states.detach().numpy() @ np.concatenate([C.real, -C.imag], 1).T) + p["D"] * standardised(u, p)
    gate = logistic(y @ p["gate_linear.weight"].T + p["gate_linear.bias"])
    np.testing.assert_allclose(signals["layers.1.output_gate"].detach(), gate, rtol=0, atol=1e-12)
    np.testing.assert_allclose(signals["output"].detach(), u + y * gate, rtol=0, atol=1e-12)


def test_a_state_is_half_as_wide_as_the_outputs_unless_it_is_given():
    assert LRU(WIDTH, 10).initial_state(2)[0].shape == (2, 10)
    assert LRU(WIDTH, 1).initial_state(2)[0].shape == (2, 2)
    assert LRU(WIDTH, 10, state_size=7).initial_state(2)[0].shape == (2, 14)


@pytest.mark.parametrize(
    "bad",
    [{"r_min": -0.1}, {"r_min": 0.9, "r_max": 0.9}, {"r_max": 1.1}, {"max_phase": 0.0}, {"max_phase": 7.0}],
)
def test_a_ring_outside_the_unit_circle_is_refused(bad):
    with pytest.raises(ValueError, match=r"radii must be|max_phase must be"):
        LRU(WIDTH, **bad)


def test_a_state_of_no_numbers_is_refused():
    with pytest.raises(ValueError, match="state_size must be a positive integer, got 0"):
        LRU(WIDTH, state_size=0)
