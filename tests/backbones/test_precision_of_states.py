"""States that add up over thousands of steps keep more digits than bfloat16 has."""

import math

import pytest
import torch

from forecastlab.backbones import matrix_memory
from forecastlab.backbones.delta_product import DeltaProduct
from forecastlab.backbones.gated_delta_net import GatedDeltaNet
from forecastlab.backbones.lru import LRU
from forecastlab.backbones.mamba2 import Mamba2
from forecastlab.backbones.mlstm import MLSTM
from forecastlab.backbones.s5 import S5
from tests.backbones.states import leaves

TIME, WIDTH, HIDDEN = 600, 2, 4
SLOW = {
    MLSTM: {"input": -7.0, "forget": 7.0},
    GatedDeltaNet: {"write": -7.0, "decay": -12.0},
    DeltaProduct: {"write": -7.0},
    Mamba2: {"step": -7.0},
}
"""Gates that are nearly shut: a step writes about a thousandth of what the memory comes to hold."""
SHUT = {LRU: {"nu_log": -7.0, "theta_log": -20.0}, S5: {"log_decay": -7.0, "frequency": 0.0, "log_step": 0.0}}
"""Factors of absolute value 0.9991, for which bfloat16 has 1."""
every_cell = pytest.mark.parametrize("cell", SLOW, ids=lambda cell: cell.__name__)


def writing_slowly(cell):
    """A layer of one number per head in bfloat16, whose memory is written slowly, and the same in float64."""
    torch.manual_seed(1)
    models = [cell(WIDTH, HIDDEN, num_heads=2, chunk_size=1) for _ in range(2)]
    with torch.no_grad():
        for name, bias in SLOW[cell].items():
            gate = models[0].gate(0, name)
            gate.weight_ih.zero_()
            gate.bias.fill_(bias)
    models[0].bfloat16()
    models[1].load_state_dict(models[0].state_dict())
    return models[0], models[1].double()


def memory_of(state):
    """The matrix of the first layer, which has more axes than what else is in the state."""
    return max(leaves(state), key=lambda leaf: leaf.dim())


def assert_near(found, expected):
    """Compares states of float32 with those of float64. Inputs of bfloat16 have an error of half a percent."""
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=0.03 * expected.abs().max().item())


@every_cell
@pytest.mark.parametrize("way", ["network of bfloat16", "autocast"])
@pytest.mark.parametrize("form", ["chunks", "steps"])
def test_a_memory_that_is_written_slowly_fills_as_in_float64(cell, way, form):
    model, exact = writing_slowly(cell)
    x = torch.ones(1, TIME, WIDTH)
    expected = memory_of(exact(x.double())[1])
    with torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast"):
        model, x = (model.float(), x) if way == "autocast" else (model, x.bfloat16())
        if form == "chunks":
            state = model(x)[1]
        else:
            state = model.initial_state(1)
            for x_t in x.unbind(1):
                state = model.step(x_t, state)[1]
    assert_near(memory_of(state), expected)


@every_cell
def test_a_memory_of_bfloat16_would_stop_to_fill(cell):
    model, exact = writing_slowly(cell)
    x = torch.ones(1, TIME, WIDTH)
    expected, state = memory_of(exact(x.double())[1]), model.initial_state(1)
    for x_t in x.bfloat16().unbind(1):
        state = rounded(model.step(x_t, state)[1])
    with pytest.raises(AssertionError, match="not close"):
        assert_near(memory_of(state), expected)


def rounded(state):
    """A state with the digits of bfloat16."""
    return state.bfloat16().to(state.dtype) if isinstance(state, torch.Tensor) else tuple(rounded(s) for s in state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_memory_has_the_precision_of_its_layer_but_at_least_float32(dtype):
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    assert matrix_memory.memory(torch.zeros(1, dtype=dtype), 2, 3, 4, 5).dtype == expected
    assert {leaf.dtype for leaf in leaves(MLSTM(WIDTH, HIDDEN).to(dtype).initial_state(2))} == {expected}


@pytest.mark.parametrize("cell", [LRU, S5], ids=lambda cell: cell.__name__)
def test_autocast_rounds_neither_the_factors_nor_the_states_of_a_state_space_model(cell):
    model = cell(WIDTH, HIDDEN)
    with torch.no_grad():
        for name, value in {
            "nu_log": -7.0,
            "theta_log": -20.0,
            "log_decay": -7.0,
            "frequency": 0,
            "log_step": 0,
        }.items():
            getattr(model.layers[0], name, torch.empty(0)).fill_(value)
        model.layers[0].B.zero_()
    with torch.autocast("cpu", torch.bfloat16):
        (last,) = model(torch.zeros(1, TIME, WIDTH), (torch.ones(1, 2 * (HIDDEN // 2)),))[1]
    kept = math.exp(-TIME * math.exp(-7))
    assert last.dtype == torch.float32
    torch.testing.assert_close(last, torch.full_like(last, kept), rtol=1e-3, atol=0)
