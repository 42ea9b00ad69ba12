"""Loops over time that are exported for sequences of any length."""

import pytest
import torch
from torch import nn
from torch.export import Dim

from forecastlab.backbones.any_length import GrowingStateError, of_any_length
from forecastlab.backbones.stepping import scan


class Sums(nn.Module):
    """Sums along time, times weights that share memory with each other, of a state that is a tuple."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([2.0, 3.0]))

    def forward(self, x):
        a, b = self.weights.unbind()

        def step(x_t, state):
            total, steps = state
            total = a * total + b * x_t
            return total + steps.unsqueeze(1), (total, steps + 1), ()

        y, (total, steps), _ = scan(step, x, (x.new_zeros(x.shape[0], x.shape[2]), torch.zeros(x.shape[0]).long()))
        return y, total, steps


class Grows(nn.Module):
    """A state that gets longer."""

    def forward(self, x):
        def step(x_t, past):
            past = torch.cat([past, x_t], 1)
            return x_t, past, ()

        return scan(step, x, x.new_zeros(x.shape[0], 0))[0]


def exported(module, shape=(2, 5, 3), **axes):
    axes = axes or {"batch": Dim.DYNAMIC, "time": Dim.DYNAMIC}
    shapes = {"x": dict(enumerate(axes.values()))}
    with torch.no_grad():
        return torch.export.export(module, (torch.randn(shape),), dynamic_shapes=shapes, strict=False)


def expected(x):
    """The sums, written down for one step after the other."""
    total, outputs = torch.zeros(x.shape[0], x.shape[2]), []
    for t in range(x.shape[1]):
        total = 2 * total + 3 * x[:, t]
        outputs.append(total + t)
    return torch.stack(outputs, 1), total, torch.full((x.shape[0],), x.shape[1])


@pytest.mark.parametrize("shape", [(2, 5, 3), (1, 9, 3), (4, 1, 3)])
def test_an_exported_loop_is_one_operation_that_runs_for_any_length(shape):
    program = exported(Sums())
    assert [str(node.target) for node in program.graph.nodes].count("scan") == 1
    x = torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(x), expected(x))


def test_where_the_length_is_known_the_loop_is_as_it_was():
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(Sums()(x), expected(x))
    assert not of_any_length(x)
    program = exported(Sums(), batch=Dim.DYNAMIC)
    assert "scan" not in [str(node.target) for node in program.graph.nodes]


def test_a_state_that_grows_is_named():
    with pytest.raises(GrowingStateError, match=r"tensor 0 of the state changes from \(batch, 0\) to \(batch, 3\)"):
        exported(Grows())
