from functools import partial

import pytest
import torch

from forecastlab.backbones.gru import GRU
from forecastlab.backbones.lstm import LSTM
from forecastlab.hybrids.bidirectional import Bidirectional
from forecastlab.hybrids.parallel import Parallel
from forecastlab.hybrids.residual import Residual
from forecastlab.hybrids.series import Series
from forecastlab.hybrids.stack import Stack

HYBRIDS = [Parallel, Residual, Series, Stack]


@pytest.mark.parametrize("hybrid", HYBRIDS)
def test_hybrid_is_as_causal_as_its_parts(hybrid):
    assert hybrid(3, branches=[LSTM, GRU]).causal
    assert not hybrid(3, branches=[LSTM, Bidirectional]).causal
    assert not hybrid(3, branches=[partial(Stack, branches=[Bidirectional]), LSTM]).causal


@pytest.mark.parametrize("hybrid", HYBRIDS)
def test_state_is_the_tuple_of_the_parts_states(hybrid):
    model = hybrid(3, branches=[partial(LSTM, hidden_size=4), partial(GRU, hidden_size=5, num_layers=2)])
    (h, c), gru = model(torch.randn(2, 6, 3))[1]
    assert h.shape == c.shape == (2, 1, 4)
    assert gru.shape == (2, 2, 5)


@pytest.mark.parametrize("hybrid", HYBRIDS)
def test_step_asks_each_part_for_a_step(hybrid, monkeypatch):
    stepped = []
    step = GRU.step
    monkeypatch.setattr(GRU, "step", lambda self, x_t, state: stepped.append(x_t.dim()) or step(self, x_t, state))
    model = hybrid(3, branches=[GRU, GRU])
    y, _ = model.step(torch.randn(2, 3), model.initial_state(2))
    assert y.shape == (2, model.output_size)
    assert stepped == [2, 2]


@pytest.mark.parametrize("hybrid", HYBRIDS)
def test_trace_prefixes_the_signals_of_the_parts(hybrid):
    x = torch.randn(2, 6, 3)
    model = hybrid(3, branches=[GRU, partial(Parallel, branches=[LSTM])])
    signals = model.trace(x)
    assert {"branches.0.layers.0.update_gate", "branches.1.branches.0.layers.0.cell"} < set(signals)
    torch.testing.assert_close(signals["output"], model(x)[0])
    torch.testing.assert_close(signals["branches.0.output"], model.branches[0](x)[0])


@pytest.mark.parametrize("hybrid", HYBRIDS)
def test_no_branches_raise(hybrid):
    with pytest.raises(ValueError, match="branches must name at least one backbone, got none"):
        hybrid(3, branches=[])


def test_bad_argument_of_a_branch_raises():
    with pytest.raises(ValueError, match="hidden_size must be a positive integer, got 0"):
        Stack(3, branches=[LSTM, partial(GRU, hidden_size=0)])


@pytest.mark.parametrize("state", [(), (torch.zeros(2, 1, 64),), torch.zeros(2, 1, 64)])
def test_state_of_another_structure_raises(state):
    with pytest.raises(ValueError, match="expected a state of 2 parts, one for each branch"):
        Stack(3, branches=[GRU, GRU])(torch.zeros(2, 4, 3), state)


def test_input_of_another_width_raises():
    with pytest.raises(ValueError, match=r"Parallel expects an input of shape \(batch, time, 3\), got \(2, 4, 5\)"):
        Parallel(3)(torch.zeros(2, 4, 5))
