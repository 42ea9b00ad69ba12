"""The cases of the conformance suite, and what its tests share (see variants.py for what is built)."""

import pytest
import torch

from forecastlab.network.registry import registered_backbones
from tests.backbones.states import assert_near, leaves
from tests.backbones.variants import INPUT_SIZE, Case, cases

CASES = cases()
CAUSAL = [case for case in CASES if case.build().causal]
NOT_CAUSAL = [case for case in CASES if not case.build().causal]
CLASSES = list(registered_backbones().values())
BATCH, TIME = 3, 9
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5}


def every(selected):
    ids = [case.name if isinstance(case, Case) else case.__name__ for case in selected]
    return pytest.mark.parametrize("case", selected, ids=ids)


both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])


def ready(case, dtype=torch.float64):
    return case.build().to(dtype).eval()


def sequence(batch=BATCH, time=TIME, dtype=torch.float64):
    return torch.randn(batch, time, INPUT_SIZE, dtype=dtype)


def assert_states_near(found, expected, tolerance):
    assert len(leaves(found)) == len(leaves(expected))
    for one, other in zip(leaves(found), leaves(expected), strict=True):
        assert_near(one, other, tolerance)


def gradients_of(model, y):
    """The gradients of a random projection of the output, by parameter name."""
    torch.manual_seed(21)
    (y * torch.randn(y.shape, dtype=y.dtype)).sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}
