import numpy as np
import pytest
import torch
from scipy import signal
from scipy.special import erf
from scipy.special import expit as logistic

from forecastlab.backbones.kernels.choice import MIN_STEPS
from forecastlab.backbones.s5 import S5, hippo_n

BATCH, TIME, WIDTH, HIDDEN, STATES = 3, 7, 4, 6, 4


def sequence():
    return torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)


def arrays(module):
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


def standardised(u, p):
    """Layer norm, written out."""
    centred = u - u.mean(-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-5) * p["norm.weight"] + p["norm.bias"]


def discretised(pole, step, rule):
    """Factor and input scale of one mode, by the formulas of section 3 and appendix A."""
    if rule == "zoh":
        return np.exp(pole * step), (np.exp(pole * step) - 1) / pole
    if rule == "bilinear":
        return (1 + pole * step / 2) / (1 - pole * step / 2), step / (1 - pole * step / 2)
    return 1 + pole * step, step  # Euler's, which is neither


def paper(model, x, rule, pairs=2, steps=True, gate_reads="gelu", sign=1, lengths=None):
    """The layers in NumPy with complex numbers; `lengths` are those of the steps, (batch, time)."""
    u = x.numpy()
    lengths = np.ones(u.shape[:2]) if lengths is None else lengths
    for number, layer in enumerate(model.layers):
        p = arrays(layer)
        if number == 0:
            u = u @ p["encoder.weight"].T + p["encoder.bias"]
        pole = -np.exp(p["log_decay"]) + 1j * p["frequency"]
        usual = np.exp(p["log_step"]) if steps else 1.0
        B, C = p["B"][0] + 1j * p["B"][1], p["C"][:, 0] - 1j * sign * p["C"][:, 1]
        v, s, y = standardised(u, p), 0, np.empty_like(u)
        for t in range(u.shape[1]):
            a, f = discretised(pole, usual * lengths[:, t, None], rule)
            s = a * s + f * (v[:, t] @ B.T)
            y[:, t] = pairs * (s @ C.T).real + p["D"] * v[:, t]
        g = gelu(y)
        read = g if gate_reads == "gelu" else y
        u = u + g * logistic(read @ p["gate_linear.weight"].T + p["gate_linear.bias"])
    return u


def started(rule="zoh", num_layers=1, **arguments):
    """A network whose steps are large enough for wrong readings to show."""
    arguments = {"state_size": STATES, "dt_min": 0.1, "dt_max": 1.0, **arguments}
    return S5(WIDTH, HIDDEN, num_layers, discretisation=rule, **arguments).double()


@pytest.mark.parametrize("rule", ["zoh", "bilinear"])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_equals_the_equations_in_numpy(rule, num_layers):
    model, x = started(rule, num_layers), sequence()
    np.testing.assert_allclose(model(x)[0].detach(), paper(model, x, rule), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [{"rule": "bilinear"}, {"rule": "euler"}, {"pairs": 1}, {"steps": False}, {"gate_reads": "y"}, {"sign": -1}],
)
def test_known_wrong_readings_are_other_models(wrong):
    model, x = started(), sequence()
    assert abs(model(x)[0].detach().numpy() - paper(model, x, **{"rule": "zoh", **wrong})).max() > 1e-3


def dense(states):
    """HiPPO-N as printed: -1/2 on the diagonal, roots of (n + 1/2)(k + 1/2) below with a minus, above with a plus."""
    A = np.empty((states, states))
    for n in range(states):
        for k in range(states):
            root = np.sqrt((n + 0.5) * (k + 0.5))
            A[n, k] = -0.5 if n == k else (-root if n > k else root)
    return A


@pytest.mark.parametrize("size", [2, 8, 64])
def test_poles_and_vectors_diagonalise_hippo_n(size):
    poles, vectors = (part.numpy() for part in hippo_n(size))
    A = dense(size)
    np.testing.assert_allclose(A @ vectors, vectors * poles, rtol=0, atol=1e-11 * size)
    np.testing.assert_allclose(vectors.conj().T @ vectors, np.eye(size // 2), rtol=0, atol=1e-12)
    expected = np.linalg.eigvals(A)
    np.testing.assert_allclose(np.sort(poles.imag), np.sort(expected.imag[expected.imag > 0]), rtol=1e-8)


@pytest.mark.parametrize("rule", ["zoh", "bilinear"])
def test_it_starts_as_a_real_system_that_scipy_discretises(rule):
    torch.manual_seed(6)
    step = 0.3
    model = started(rule, dt_min=step, dt_max=step, num_blocks=2)
    a, b, c = (part.detach() for part in model.layers[0].discretised())
    _, vectors = hippo_n(STATES)  # two blocks of as many real states
    V = torch.block_diag(vectors, vectors).numpy()
    layer = arrays(model.layers[0])
    B = 2 * (V @ (layer["B"][0] + 1j * layer["B"][1])).real  # a state and its conjugate
    C = 2 * ((layer["C"][:, 0] - 1j * layer["C"][:, 1]) @ V.conj().T).real
    A = np.kron(np.eye(2), dense(STATES))
    v = np.random.default_rng(0).standard_normal((50, HIDDEN))
    A_d, B_d, *_ = signal.cont2discrete((A, B, C, np.zeros((HIDDEN, HIDDEN))), step, rule)
    real, s = np.zeros(len(A)), torch.zeros(2 * STATES, dtype=torch.float64)
    for v_t in v:
        real = A_d @ real + B_d @ v_t
        re, im = s.chunk(2)
        s = torch.cat([a[:STATES] * re - a[STATES:] * im, a[:STATES] * im + a[STATES:] * re]) + b @ torch.tensor(v_t)
        np.testing.assert_allclose(c @ s, C @ real, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rule", ["zoh", "bilinear"])
def test_small_steps_keep_their_digits(rule):
    model = started(rule, dt_min=1e-6, dt_max=1e-6)
    exact = model.layers[0].discretised().b
    single = model.float().layers[0].discretised().b
    torch.testing.assert_close(single.double(), exact, rtol=2e-6, atol=1e-6 * exact.abs().max().item())


def test_steps_start_log_uniform():
    steps = S5(WIDTH, 4000, dt_min=0.01, dt_max=1.0, state_size=2, num_blocks=1).layers[0].log_step
    assert steps.shape == (2,)
    many = torch.cat([S5(WIDTH, 4, dt_min=0.01, dt_max=1.0, state_size=50).layers[0].log_step for _ in range(40)])
    assert many.min() >= np.log(0.01)
    assert many.max() <= 0
    assert many.mean().item() == pytest.approx(np.log(0.1), abs=0.1)


@pytest.mark.parametrize("rule", ["zoh", "bilinear"])
def test_no_parameter_makes_a_state_grow(rule):
    model = started(rule)
    with torch.no_grad():
        model.layers[0].log_decay.copy_(torch.tensor([-9.0, -1.0, 3.0, 9.0]))
        model.layers[0].frequency.copy_(torch.tensor([1e3, -5.0, 0.0, 7.0]))
    re, im = model.layers[0].discretised().a.chunk(2)
    assert (torch.hypot(re, im) < 1).all()


PLACE = 2
"""Which input tells the lengths of the steps."""


def unequal(rule="zoh", num_layers=1):
    """A network that reads the lengths of its steps, and one of the same weights whose steps all last 1."""
    plain = started(rule, num_layers)
    model = S5(WIDTH + 1, HIDDEN, num_layers, state_size=STATES, discretisation=rule, elapsed=PLACE).double()
    model.load_state_dict(plain.state_dict())
    return model, plain


def told(x, lengths):
    """The inputs with the lengths of the steps among them."""
    lengths = torch.as_tensor(lengths, dtype=x.dtype).expand(x.shape[:2])
    return torch.cat([x[..., :PLACE], lengths[..., None], x[..., PLACE:]], -1)


LENGTHS = np.random.default_rng(1).choice([0.0, 0.3, 1.0, 2.5, 30.0], (BATCH, TIME))


@pytest.mark.parametrize("rule", ["zoh", "bilinear"])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_steps_of_unequal_length_equal_the_equations_in_numpy(rule, num_layers):
    (model, plain), x = unequal(rule, num_layers), sequence()
    found = model(told(x, LENGTHS))[0].detach().numpy()
    np.testing.assert_allclose(found, paper(plain, x, rule, lengths=LENGTHS), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lengths": None},
        {"lengths": np.roll(LENGTHS, -1, 1)},  # the time until the next step
        {"lengths": np.broadcast_to(LENGTHS[:1], LENGTHS.shape)},
        {"rule": "bilinear"},
    ],
)
def test_known_wrong_lengths_are_other_models(wrong):
    (model, plain), x = unequal(), sequence()
    found = model(told(x, LENGTHS))[0].detach().numpy()
    assert abs(found - paper(plain, x, **{"rule": "zoh", "lengths": LENGTHS, **wrong})).max() > 1e-3


@pytest.mark.parametrize("time", [TIME, 2 * MIN_STEPS])
@pytest.mark.parametrize("rule", ["zoh", "bilinear"])
def test_steps_that_all_last_1_are_those_of_a_network_without_lengths(rule, time):
    (model, plain), x = unequal(rule, 2), torch.randn(BATCH, time, WIDTH, dtype=torch.float64)
    y, state = model(told(x, 1))
    expected, expected_state = plain(x)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(state, expected_state, rtol=0, atol=1e-12)


@pytest.mark.parametrize("parts", [[1.0, 1.0], [0.25, 1.5, 0.25]])
def test_a_long_step_equals_short_ones_while_the_input_is_held(parts):
    """What zero-order hold means, and no more than that: the trapezoidal rule is another at each length."""
    before, held = sequence(), torch.randn(BATCH, 1, WIDTH, dtype=torch.float64)
    for rule in ("zoh", "bilinear"):
        model, _ = unequal(rule)
        state = model(told(before, LENGTHS))[1]
        (once,) = model(told(held, 2.0), state)[1]
        (often,) = model(told(held.expand(-1, len(parts), -1), parts), state)[1]
        assert torch.allclose(once, often, rtol=0, atol=1e-13) == (rule == "zoh")


def test_a_step_without_or_with_a_negative_length_changes_no_state():
    model, _ = unequal()
    state = model(told(sequence(), LENGTHS))[1]
    for length in (0.0, -1.0):
        torch.testing.assert_close(model(told(sequence()[:, :1], length), state)[1], state, rtol=0, atol=0)


@pytest.mark.parametrize(("elapsed", "inputs"), [(2, 2), (-1, 2), (0, 1)])
def test_a_length_that_is_not_among_several_inputs_is_refused(elapsed, inputs):
    with pytest.raises(ValueError, match=f"position of one of several inputs, got {elapsed} of {inputs}"):
        S5(inputs, elapsed=elapsed)


def swinging(sequences=128, time=40):
    """Inputs that change at irregular times and are held between, and what an oscillator that they drive does."""
    random = np.random.default_rng(4)
    lengths, x = random.exponential(1.0, (sequences, time)), random.choice([-1.0, 1.0], (sequences, time))
    s, y, pole = 0, np.empty_like(x), -0.3 + 1.5j
    for t in range(time):
        a = np.exp(pole * lengths[:, t])
        s = a * s + (a - 1) / pole * x[:, t]
        y[:, t] = s.imag
    x, lengths, y = (torch.tensor(part, dtype=torch.float32) for part in (x, lengths, y))
    return torch.stack([x, lengths], -1), y


def trained(**arguments):
    """The share of the variance of new sequences that a network leaves open after a short training."""
    (x, y), half = swinging(), 64
    torch.manual_seed(2)
    model = torch.nn.ModuleList([S5(2, 16, state_size=8, dt_min=0.1, dt_max=1.0, **arguments), torch.nn.Linear(16, 1)])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def error(some):
        return (model[1](model[0](x[some])[0])[..., 0] - y[some]).square().mean() / y[some].var()

    for _ in range(200):
        optimizer.zero_grad()
        error(slice(half)).backward()
        optimizer.step()
    with torch.no_grad():
        return error(slice(half, None)).item()


def test_an_oscillator_is_learned_at_irregular_times_by_who_has_their_lengths():
    assert trained(elapsed=1) < 0.002
    assert trained() > 0.1  # it reads the lengths as an input like all others


def test_trace_gives_states_and_the_gate_that_make_the_output():
    model, x = started(num_layers=2), sequence()
    signals, (_, last) = model.trace(x), model(x)[1]
    states = torch.cat([signals["layers.1.state_real"], signals["layers.1.state_imaginary"]], -1)
    torch.testing.assert_close(states[:, -1], last)
    p, u = arrays(model.layers[1]), signals["layers.0.hidden"].detach().numpy()
    read = 2 * p["C"].reshape(HIDDEN, -1)
    g = gelu(states.detach().numpy() @ read.T + p["D"] * standardised(u, p))
    gate = signals["layers.1.output_gate"].detach().numpy()
    np.testing.assert_allclose(gate, logistic(g @ p["gate_linear.weight"].T + p["gate_linear.bias"]), atol=1e-12)
    np.testing.assert_allclose(signals["output"].detach(), u + g * gate, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"state_size": 5, "num_blocks": 2}, "state_size must be a multiple of num_blocks = 2, got 5"),
        ({"discretisation": "euler"}, "discretisation must be 'zoh' or 'bilinear', got 'euler'"),
        ({"dt_min": 0.0}, "step sizes must be 0 < dt_min <= dt_max"),
        ({"dt_min": 0.2, "dt_max": 0.1}, "step sizes must be 0 < dt_min <= dt_max"),
        ({"state_size": 0}, "state_size must be a positive integer, got 0"),
    ],
)
def test_bad_arguments_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        S5(WIDTH, **bad)
