import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import expit as logistic

from forecastlab.backbones.kernels.choice import MIN_STEPS
from forecastlab.backbones.rglru import RGLRU, scale

BATCH, TIME, WIDTH, HIDDEN = 3, 7, 4, 5
GATES = ("recurrence", "input", "candidate")


def sequence(time=TIME):
    return torch.randn(BATCH, time, WIDTH, dtype=torch.float64)


def started(**arguments):
    """A network whose decays differ enough for wrong readings to show."""
    model = RGLRU(WIDTH, HIDDEN, **arguments).double()
    with torch.no_grad():
        for layer in model.layers:
            layer.Lambda.copy_(torch.linspace(-3, 1, HIDDEN))
    return model


def paper(model, x, c=8.0, kept="square", gates=(0, 1), sign=1):
    """Equations 1 to 4 of the paper and appendix A in NumPy, layer by layer."""
    x = x.numpy()
    for layer in model.layers:
        parameters = [[p.detach().numpy() for p in layer.gate(name)] for name in GATES]
        Lambda = layer.Lambda.detach().numpy()
        h, outputs = np.zeros((len(x), HIDDEN)), []
        for t in range(x.shape[1]):
            r, i, u = (x[:, t] @ W.T + b for W, _, b in parameters)
            r, i = ((logistic(r), logistic(i))[g] for g in gates)
            a = np.exp(-c * np.log1p(np.exp(sign * Lambda)) * r)
            written = {"square": np.sqrt(1 - a**2), "plain": 1 - a, "none": 1.0}[kept]
            h = a * h + written * (i * u)
            outputs.append(h)
        x = np.stack(outputs, 1)
    return x


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("time", [TIME, MIN_STEPS + 3])
def test_equals_the_equations_in_numpy(num_layers, time):
    model, x = started(num_layers=num_layers), sequence(time)
    np.testing.assert_allclose(model(x)[0].detach(), paper(model, x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("wrong", [{"c": 1.0}, {"kept": "plain"}, {"kept": "none"}, {"gates": (1, 0)}, {"sign": -1}])
def test_known_wrong_readings_are_other_models(wrong):
    model, x = started(), sequence()
    assert abs(model(x)[0].detach().numpy() - paper(model, x, **wrong)).max() > 1e-3


def test_with_a_candidate_that_is_the_input_it_is_the_papers_layer():
    # the paper's layer reads what it writes: u = x
    model, x = RGLRU(HIDDEN, HIDDEN).double(), torch.randn(BATCH, TIME, HIDDEN, dtype=torch.float64)
    with torch.no_grad():
        model.gate(0, "candidate").weight_ih.copy_(torch.eye(HIDDEN))
        model.gate(0, "candidate").bias.zero_()
    (W_a, _, b_a), (W_x, _, b_x) = (model.gate(0, name) for name in GATES[:2])
    r, i = torch.sigmoid(x @ W_a.T + b_a), torch.sigmoid(x @ W_x.T + b_x)
    a = torch.sigmoid(-model.layers[0].Lambda) ** (8 * r)
    h, outputs = torch.zeros(BATCH, HIDDEN, dtype=torch.float64), []
    for t in range(TIME):
        h = a[:, t] * h + torch.sqrt(1 - a[:, t] ** 2) * (i[:, t] * x[:, t])
        outputs.append(h)
    torch.testing.assert_close(model(x)[0], torch.stack(outputs, 1), rtol=0, atol=1e-13)


def test_decays_at_an_open_gate_start_uniform_between_point_9_and_point_999():
    decays = torch.sigmoid(-RGLRU(WIDTH, 4000).layers[0].Lambda.double()).pow(8).detach().numpy()
    assert stats.kstest(decays, stats.uniform(0.9, 0.099).cdf).pvalue > 0.01


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_scale_keeps_its_digits_where_nothing_is_forgotten(dtype):
    log_a = -torch.tensor([1e-12, 1e-9, 1e-6, 1e-2, 1.0, 90.0], dtype=dtype)
    expected = np.sqrt(-np.expm1(2 * log_a.numpy().astype(np.longdouble))).astype(np.float64)
    tolerance = 4 * torch.finfo(dtype).eps
    np.testing.assert_allclose(scale(log_a).double(), expected, rtol=tolerance)
    lost = torch.sqrt(1 - torch.exp(log_a) ** 2)  # as printed
    assert abs(lost.double().numpy() / expected - 1).max() > 1e-5


@pytest.mark.parametrize("fused", [True, False], ids=["kernel", "loop"])
def test_kernel_and_loop_keep_the_digits_of_the_scale(fused):
    model = RGLRU(WIDTH, HIDDEN, fused=fused)
    with torch.no_grad():
        model.layers[0].weight_ih.zero_()
        model.layers[0].Lambda.fill_(0.0)
        model.gate(0, "recurrence").bias.fill_(-16.0)
        model.gate(0, "input").bias.fill_(20.0)
        model.gate(0, "candidate").bias.fill_(1.0)
    y = model(torch.zeros(1, MIN_STEPS, WIDTH))[0][0, 0].double()
    log_a = -8 * np.log(2.0) * logistic(-16.0)
    torch.testing.assert_close(y, torch.full_like(y, float(np.sqrt(-np.expm1(2 * log_a)))), rtol=1e-6, atol=0)


@pytest.mark.parametrize("fused", [True, False], ids=["kernel", "loop"])
def test_a_gate_that_is_shut_keeps_the_state_and_gets_no_gradient(fused):
    model = RGLRU(WIDTH, HIDDEN, fused=fused)
    with torch.no_grad():
        model.gate(0, "recurrence").bias.fill_(-1000.0)
    start = torch.randn(BATCH, HIDDEN)
    y, (last,) = model(torch.randn(BATCH, MIN_STEPS, WIDTH), (start,))
    torch.testing.assert_close(last, start, rtol=0, atol=1e-6)
    y.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert model.layers[0].Lambda.grad.abs().max() == 0


def test_trace_gives_gates_that_make_the_hidden_state():
    model, x = started(), sequence()
    s = {name.removeprefix("layers.0."): signal for name, signal in model.trace(x).items()}
    before = torch.cat([torch.zeros_like(s["hidden"][:, :1]), s["hidden"][:, :-1]], 1)
    written = torch.sqrt(1 - s["decay"] ** 2) * s["input_gate"] * s["candidate"]
    torch.testing.assert_close(s["decay"] * before + written, s["hidden"])
    rates = 8 * torch.nn.functional.softplus(model.layers[0].Lambda)
    torch.testing.assert_close(s["decay"], torch.exp(-rates * s["recurrence_gate"]))


def test_state_keeps_the_variance_of_white_noise_that_is_written():
    torch.manual_seed(3)
    model = RGLRU(1, 4).double()
    with torch.no_grad():
        model.layers[0].weight_ih.zero_()
        model.layers[0].bias.zero_()
        model.gate(0, "recurrence").bias.fill_(30.0)
        model.gate(0, "input").bias.fill_(30.0)
        model.gate(0, "candidate").weight_ih.fill_(1.0)
    y = model(torch.randn(4000, 200, 1, dtype=torch.float64))[0][:, -1]
    decays = torch.sigmoid(-model.layers[0].Lambda) ** 8
    torch.testing.assert_close(y.var(0), 1 - decays**400, rtol=0.1, atol=0)
