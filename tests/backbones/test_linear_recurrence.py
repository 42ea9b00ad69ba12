"""Diagonal linear recurrences against sums written out in NumPy, and their kernels against loops in Python."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import linear

from forecastlab.backbones.kernels.choice import MIN_STEPS, usable
from forecastlab.backbones.kernels.shortcut import gated_shortcut
from forecastlab.backbones.kernels.state_space import state_space
from forecastlab.backbones.linear_recurrence import recur, recur_complex
from forecastlab.backbones.min_gru import MinGRU
from forecastlab.backbones.min_lstm import MinLSTM
from forecastlab.backbones.stepping import Stepped

pytest.importorskip("numba", reason="numba is optional")

BATCH, TIME, UNITS, WIDTH = 3, 2 * MIN_STEPS + 1, 5, 4
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}
both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
kernel_or_loop = pytest.mark.parametrize("fused", [True, False], ids=["kernel", "loop"])


def draw(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype)


def real_case(dtype=torch.float64):
    """Factors of both signs, summands, and a first state."""
    return (
        draw(BATCH, TIME, UNITS, dtype=dtype).tanh(),
        draw(BATCH, TIME, UNITS, dtype=dtype),
        draw(BATCH, UNITS, dtype=dtype),
    )


def complex_case(dtype=torch.float64):
    """Inputs of a state space model, factors within the unit circle as two reals, weights, and a first state."""
    size, angle = torch.rand(UNITS, dtype=dtype), 6 * torch.rand(UNITS, dtype=dtype)
    a = torch.cat([size * angle.cos(), size * angle.sin()])
    weights = draw(2 * UNITS, WIDTH, dtype=dtype), draw(WIDTH, 2 * UNITS, dtype=dtype), draw(WIDTH, dtype=dtype)
    return draw(BATCH, TIME, WIDTH, dtype=dtype), a, *weights, draw(BATCH, 2 * UNITS, dtype=dtype)


def in_python(v, a, b, c, d, s):
    """What the kernel of state space models computes, by a loop."""
    states, last = recur_complex(Stepped(), a, linear(v, b), s)
    return linear(states, c) + d * v, last


def unrolled(a, b, h):
    """h_t as the sum over s of b_s times all factors after s, (batch, time, units): no step uses the one before."""
    outputs = []
    for t in range(b.shape[1]):
        total = np.prod(a[:, : t + 1], 1) * h
        for s in range(t + 1):
            total = total + np.prod(a[:, s + 1 : t + 1], 1) * b[:, s]
        outputs.append(total)
    return np.stack(outputs, 1)


def as_complex(parts, axis=-1):
    re, im = np.split(parts.numpy(), 2, axis)
    return re + 1j * im


def results(run, given):
    """What a function gives, and all gradients of a random projection of it."""
    given = [part.clone().requires_grad_() for part in given]
    found = run(*given)
    torch.manual_seed(3)
    total = torch.stack([(part * draw(*part.shape, dtype=part.dtype)).sum() for part in found]).sum()
    return [*found, *torch.autograd.grad(total, given)]


@kernel_or_loop
def test_a_real_recurrence_equals_its_sum(fused):
    a, b, h = real_case()
    y, last = recur(Stepped(), a, b, h, fused)
    np.testing.assert_allclose(y, unrolled(a.numpy(), b.numpy(), h.numpy()), rtol=0, atol=1e-12)
    assert torch.equal(last, y[:, -1])


@pytest.mark.parametrize("run", [in_python, state_space])
def test_a_state_space_model_equals_its_sum_over_complex_states(run):
    v, a, b, c, d, s = complex_case()
    y, last = run(v, a, b, c, d, s)
    factors = np.broadcast_to(as_complex(a), (BATCH, TIME, UNITS))
    states = unrolled(factors, v.numpy() @ as_complex(b, 0).T, as_complex(s))
    read = as_complex(c, 1).conj()  # minus the imaginary part is what is kept
    np.testing.assert_allclose(y, (states @ read.T).real + d.numpy() * v.numpy(), rtol=0, atol=1e-11)
    np.testing.assert_allclose(as_complex(last), states[:, -1], rtol=0, atol=1e-12)


def gated(u, value, gate):
    return (u + value * torch.sigmoid(gate),)


def gated_by_kernel(u, value, gate):
    return (gated_shortcut(u, value, gate),)


def gated_case(dtype=torch.float64):
    return tuple(4 * draw(3, BATCH, TIME, UNITS, dtype=dtype))


PAIRS = {
    "recurrence": (real_case, lambda *x: recur(Stepped(), *x, True), lambda *x: recur(Stepped(), *x, False)),
    "state space": (complex_case, state_space, in_python),
    "gated shortcut": (gated_case, gated_by_kernel, gated),
}
every_pair = pytest.mark.parametrize("name", PAIRS)


@both_dtypes
@every_pair
def test_kernel_and_loop_agree_in_all_results_and_every_gradient(name, dtype):
    case, kernel, plain = PAIRS[name]
    given = case(dtype)
    assert usable(given[0])
    for ours, theirs in zip(results(kernel, given), results(plain, given), strict=True):
        assert ours.shape == theirs.shape
        size = max(1.0, theirs.abs().max().item())
        torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE[dtype] * size)


@every_pair
def test_gradients_of_a_kernel_equal_finite_differences(name):
    case, kernel, _ = PAIRS[name]
    given = tuple(part.requires_grad_() for part in case())
    assert torch.autograd.gradcheck(kernel, given, fast_mode=True)


@pytest.mark.parametrize("name", ["recurrence", "state space"])
def test_a_function_of_the_last_state_alone_has_the_right_gradients(name):
    case, kernel, plain = PAIRS[name]
    given = tuple(part.requires_grad_() for part in case())
    wanted = [part for number, part in enumerate(given) if name == "recurrence" or number not in (3, 4)]
    for ours, theirs in zip(
        *(torch.autograd.grad(run(*given)[1].square().sum(), wanted) for run in (kernel, plain)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


@pytest.mark.parametrize("cell", [MinGRU, MinLSTM])
def test_a_factor_near_one_is_not_rounded_to_one_under_autocast(cell):
    model = cell(WIDTH, UNITS, forget_bias=0.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.gate(0, "update" if cell is MinGRU else "input").bias.fill_(-8.0)
    with torch.autocast("cpu", torch.bfloat16):
        last = model(torch.zeros(1, TIME, WIDTH), (torch.ones(1, UNITS),))[1][0]
    shut = 1 / (1 + math.exp(8))
    kept = 1 - shut if cell is MinGRU else 0.5 / (0.5 + shut)  # bfloat16 has nothing between 0.996 and 1
    torch.testing.assert_close(last, torch.full((1, UNITS), kept**TIME), rtol=1e-4, atol=0)
