import json
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

from forecastlab.network.factory import build, describe, subclasses
from forecastlab.penalties import ActivationPenalty, Penalty

BATCH, TIME, WIDTH = 3, 5, 4


def drawn():
    torch.manual_seed(0)
    output = torch.randn(BATCH, TIME, WIDTH)
    return output, nn.Dropout(0.5)(output)


def by_hand(output, dropped, lengths, alpha, beta):
    """The definition, one number after the other."""
    squares = [dropped[b, t, i] ** 2 for b in range(BATCH) for t in range(lengths[b]) for i in range(WIDTH)]
    changes = [
        (output[b, t, i] - output[b, t - 1, i]) ** 2
        for b in range(BATCH)
        for t in range(1, lengths[b])
        for i in range(WIDTH)
    ]
    return alpha * float(np.mean(squares)) + beta * float(np.mean(changes))


@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 1.0), (3.0, 0.0), (0.0, 0.5)])
def test_the_penalty_is_the_mean_square_of_dropped_activations_and_of_changes_along_time(alpha, beta):
    output, dropped = drawn()
    wanted = by_hand(output.numpy(), dropped.numpy(), [TIME] * BATCH, alpha, beta)
    assert ActivationPenalty(alpha, beta)(output, dropped).item() == pytest.approx(wanted, rel=1e-6)


def test_padding_counts_neither_as_activation_nor_as_change():
    output, dropped = drawn()
    lengths = [5, 1, 3]
    weight = torch.stack([(torch.arange(TIME) < length).float() for length in lengths])
    wanted = by_hand(output.numpy(), dropped.numpy(), lengths, 2.0, 1.0)
    assert ActivationPenalty()(output, dropped, weight).item() == pytest.approx(wanted, rel=1e-6)
    padded = weight[..., None] == 0
    others = (part.masked_fill(padded, 1e3) for part in (output, dropped))
    assert ActivationPenalty()(*others, weight).item() == pytest.approx(wanted, rel=1e-6)


def test_the_rows_of_a_batch_are_not_compared_but_the_steps_are():
    rows = torch.arange(3.0)[:, None, None].expand(BATCH, TIME, WIDTH)
    steps = torch.arange(5.0)[:, None].expand(BATCH, TIME, WIDTH)
    changes = ActivationPenalty(alpha=0)
    assert changes(rows, rows).item() == 0
    assert changes(steps, steps).item() == 1


def test_changes_are_those_before_dropout_and_activations_those_after():
    output, dropped = drawn()
    nothing = torch.zeros_like(output)
    assert ActivationPenalty(alpha=0)(nothing, dropped).item() == 0
    assert ActivationPenalty(beta=0)(output, nothing).item() == 0


def test_one_step_has_no_changes_and_finite_gradients():
    output = torch.randn(BATCH, 1, WIDTH, requires_grad=True)
    assert ActivationPenalty(alpha=0)(output, output).item() == 0
    ActivationPenalty()(output, output).backward()
    np.testing.assert_allclose(output.grad, 2 * 2 * output.detach() / output.numel(), rtol=1e-5)


def test_sequences_of_padding_alone_cost_nothing():
    output, dropped = drawn()
    assert ActivationPenalty()(output, dropped, torch.zeros(BATCH, TIME)).item() == 0


@pytest.mark.parametrize("name", ["alpha", "beta"])
@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_a_penalty_that_is_no_weight_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be 0 or a positive number, got {value}"):
        ActivationPenalty(**{name: value})


def model(penalties: list[Callable[[], Penalty]] = []) -> list[Callable[[], Penalty]]:  # noqa: B006  # never changed
    return penalties


def test_the_command_line_builds_penalties_and_a_checkpoint_builds_them_again():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_function_arguments(model)
    text = '[{"class_path": "ActivationPenalty", "init_args": {"alpha": 1.5}}, {"class_path": "ActivationPenalty"}]'
    found = [describe(part) for part in parser.instantiate(parser.parse_args([f"--penalties={text}"])).penalties]
    first, second = (build(json.loads(json.dumps(part)), Penalty) for part in found)
    assert (first.alpha, first.beta, second.alpha, second.beta) == (1.5, 1, 2, 1)
    assert describe(partial(ActivationPenalty, alpha=1.5))["init_args"] == {"alpha": 1.5}


def test_every_penalty_is_tested_here():
    assert {cls for cls in subclasses(Penalty).values() if cls.__module__.startswith("forecastlab.")} == {
        ActivationPenalty
    }
