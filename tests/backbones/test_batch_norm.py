"""Batch normalisation over rows with places, beside torch's over the places that count."""

import torch
from torch import nn

from forecastlab.backbones.batch_norm import StepBatchNorm

ROWS, PLACES, SIZE = 5, 4, 3


def pair():
    """Ours and torch's with the same gains and offsets."""
    ours, torchs = StepBatchNorm(SIZE, max_length=6, scale=1.0).double(), nn.BatchNorm1d(SIZE).double()
    with torch.no_grad():
        torchs.weight.copy_(ours.scale.uniform_(0.5, 1.5))
        torchs.bias.copy_(ours.shift.normal_())
    return ours, torchs


def step(number):
    return torch.full((ROWS,), number)


def test_places_that_count_are_normalised_as_the_rows_of_torchs_batch_norm():
    ours, torchs = pair()
    counted = torch.tensor([[False, False, True, True]]).expand(ROWS, -1)
    for _ in range(3):
        u = torch.randn(ROWS, PLACES, SIZE, dtype=torch.float64, requires_grad=True)
        found, expected = ours(u, step(2), counted)[counted], torchs(u[counted])
        torch.testing.assert_close(found, expected)
        cast = torch.randn_like(found)
        gradients = [torch.autograd.grad((y * cast).sum(), u)[0] for y in (found, expected)]
        torch.testing.assert_close(gradients[0], gradients[1])
    torch.testing.assert_close(ours.running_mean[2], torchs.running_mean)
    torch.testing.assert_close(ours.running_variance[2], torchs.running_var)
    assert ours.reached == 3
    assert (ours.running_mean[[0, 1, 3, 4, 5]] == 0).all()


def test_in_evaluation_each_row_uses_the_statistics_of_its_step():
    ours, torchs = pair()
    every = torch.ones(ROWS, PLACES, dtype=torch.bool)
    for number in range(2):
        ours(torch.randn(ROWS, PLACES, SIZE, dtype=torch.float64) + number, step(number), every)
    u = torch.randn(ROWS, PLACES, SIZE, dtype=torch.float64)
    found = ours.eval()(u, torch.tensor([0, 1, 1, 0, 5]), every)
    for row, entry in enumerate([0, 1, 1, 0, 1]):  # training has reached two steps
        torchs.running_mean, torchs.running_var = ours.running_mean[entry], ours.running_variance[entry]
        torch.testing.assert_close(found[row], torchs.eval()(u[row]))
