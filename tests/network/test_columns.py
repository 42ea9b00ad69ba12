"""Some columns of a tensor: what is taken and what is put back, whether they follow each other or not."""

import numpy as np
import pytest
import torch

from forecastlab.network.columns import replaced, taken

CHOICES = [[0], [1, 2, 3], [3, 4], [0, 2], [2, 1], [4, 0, 3], [0, 1, 2, 3, 4], []]


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("columns", CHOICES)
def test_columns_that_are_taken_are_those_of_numpy(columns):
    x = drawn(2, 3, 5)
    np.testing.assert_array_equal(taken(x, columns).numpy(), x.numpy()[..., np.array(columns, dtype=int)])


@pytest.mark.parametrize("columns", CHOICES)
def test_columns_that_are_replaced_change_and_the_others_and_the_original_do_not(columns):
    x, values = drawn(2, 3, 5), drawn(2, 3, len(columns)) + 10
    before, expected = x.clone(), x.numpy().copy()
    expected[..., np.array(columns, dtype=int)] = values.numpy()
    np.testing.assert_array_equal(replaced(x, columns, values).numpy(), expected)
    assert torch.equal(x, before)


@pytest.mark.parametrize("columns", [[1, 2], [2, 0]])
def test_gradients_reach_what_is_taken_and_what_is_put_in(columns):
    x, values = drawn(2, 4).requires_grad_(), drawn(2, 2).requires_grad_()
    (taken(x, columns).sum() + 3 * replaced(x, columns, values).sum()).backward()
    inside = np.isin(np.arange(4), columns)
    np.testing.assert_array_equal(x.grad[0].numpy(), np.where(inside, 1.0, 3.0))
    assert (values.grad == 3).all()
