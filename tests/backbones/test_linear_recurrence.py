"""Diagonal linear recurrences against sums written out in NumPy: kernel and loop in Python alike."""

import numpy as np
import pytest
import torch

from forecastlab.backbones.kernels.choice import MIN_STEPS, usable
from forecastlab.backbones.linear_recurrence import recur, recur_complex
from forecastlab.backbones.stepping import Stepped

BATCH, TIME, UNITS = 3, 2 * MIN_STEPS + 1, 5
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
    """Factors within the unit circle as two reals, summands, and a first state."""
    size, angle = torch.rand(UNITS, dtype=dtype), 6 * torch.rand(UNITS, dtype=dtype)
    a = torch.cat([size * angle.cos(), size * angle.sin()])
    return a, draw(BATCH, TIME, 2 * UNITS, dtype=dtype), draw(BATCH, 2 * UNITS, dtype=dtype)


def unrolled(a, b, h):
    """h_t as the sum over s of b_s times all factors after s, (batch, time, units): no step uses the one before."""
    outputs = []
    for t in range(b.shape[1]):
        total = np.prod(a[:, : t + 1], 1) * h
        for s in range(t + 1):
            total = total + np.prod(a[:, s + 1 : t + 1], 1) * b[:, s]
        outputs.append(total)
    return np.stack(outputs, 1)


def as_complex(parts):
    re, im = np.split(parts.numpy(), 2, -1)
    return re + 1j * im


def gradients(run, a, b, h):
    """Outputs, last state, and all gradients of a random function of both."""
    given = [part.clone().requires_grad_() for part in (a, b, h)]
    y, last = run(Stepped(), *given)
    torch.manual_seed(3)
    total = (y * draw(*y.shape, dtype=y.dtype)).sum() + (last * draw(*last.shape, dtype=y.dtype)).sum()
    return [y, last, *torch.autograd.grad(total, given)]


@kernel_or_loop
def test_a_real_recurrence_equals_its_sum(fused):
    a, b, h = real_case()
    y, last = recur(Stepped(), a, b, h, fused)
    np.testing.assert_allclose(y, unrolled(a.numpy(), b.numpy(), h.numpy()), rtol=0, atol=1e-12)
    assert torch.equal(last, y[:, -1])


@kernel_or_loop
def test_a_complex_recurrence_equals_its_sum(fused):
    a, b, h = complex_case()
    y, last = recur_complex(Stepped(), a, b, h, fused)
    factors = np.broadcast_to(as_complex(a), (BATCH, TIME, UNITS))
    np.testing.assert_allclose(as_complex(y), unrolled(factors, as_complex(b), as_complex(h)), rtol=0, atol=1e-12)
    assert torch.equal(last, y[:, -1])


@both_dtypes
@pytest.mark.parametrize(("recurrence", "case"), [(recur, real_case), (recur_complex, complex_case)])
def test_kernel_and_loop_agree_in_outputs_last_state_and_every_gradient(recurrence, case, dtype):
    pytest.importorskip("numba", reason="numba is optional")
    given = case(dtype)
    assert usable(given[1])
    found, expected = (
        gradients(lambda *args, fused=fused: recurrence(*args, fused), *given) for fused in (True, False)
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        size = max(1.0, theirs.abs().max().item())
        torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE[dtype] * size)


@pytest.mark.parametrize(("recurrence", "case"), [(recur, real_case), (recur_complex, complex_case)])
@kernel_or_loop
def test_gradients_equal_finite_differences(recurrence, case, fused):
    given = tuple(part.requires_grad_() for part in case())
    assert torch.autograd.gradcheck(lambda *given: recurrence(Stepped(), *given, fused), given, fast_mode=True)


@pytest.mark.parametrize(("recurrence", "case"), [(recur, real_case), (recur_complex, complex_case)])
def test_only_what_is_asked_for_gets_a_gradient(recurrence, case):
    a, b, h = case()
    b.requires_grad_()
    found, expected = (
        torch.autograd.grad(recurrence(Stepped(), a, b, h, fused)[1].sum(), b)[0]  # the outputs take no part
        for fused in (True, False)
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
