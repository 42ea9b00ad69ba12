import numpy as np
import pytest
import torch

from forecastlab.backbones.attention import causal_attention, causal_mask, causal_weights, sinusoidal_positions


def tensors(time, past, key_size, value_size):
    shapes = [(2, 3, time, key_size), (2, 3, past + time, key_size), (2, 3, past + time, value_size)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def naive(query, key, value, scale):
    """Position by position: a softmax over what a query may see, and the mean of the values with these weights."""
    past = key.shape[2] - query.shape[2]
    outputs = []
    for t in range(query.shape[2]):
        seen = past + t + 1
        score = scale * (query[:, :, t, None] * key[:, :, :seen]).sum(-1)
        weight = score.exp() / score.exp().sum(-1, keepdim=True)
        outputs.append((weight[..., None] * value[:, :, :seen]).sum(2))
    return torch.stack(outputs, 2)


@pytest.mark.parametrize("past", [0, 1, 4])
@pytest.mark.parametrize("time", [1, 2, 6])
@pytest.mark.parametrize(("key_size", "value_size"), [(4, 4), (3, 5), (5, 3)])
def test_attention_and_its_gradients_equal_the_naive_loop(time, past, key_size, value_size):
    query, key, value = given = tensors(time, past, key_size, value_size)
    y, expected = causal_attention(query, key, value, 0.6), naive(query, key, value, 0.6)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-13)
    projection = torch.randn_like(y)
    for found, wanted in zip(
        torch.autograd.grad(y, given, projection), torch.autograd.grad(expected, given, projection), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_weights_are_those_of_the_attention():
    query, key, value = tensors(4, 2, 3, 3)
    weights = causal_weights(query, key, 0.6)
    torch.testing.assert_close(weights @ value, causal_attention(query, key, value, 0.6))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 4).double())


def test_mask_is_aligned_to_the_newest_position():
    query, key, _ = tensors(2, 3, 1, 1)
    assert causal_mask(query, key).tolist() == [[True] * 4 + [False], [True] * 5]


@pytest.mark.parametrize("width", [1, 4, 7])
def test_positions_equal_the_formula_of_vaswani(width):
    found = sinusoidal_positions(5, torch.zeros(2, 3, width, dtype=torch.float64)).numpy()
    assert found.shape == (3, width)
    for row in range(3):
        for column in range(width):
            angle = (5 + row) / 10000 ** (2 * (column // 2) / width)
            expected = np.sin(angle) if column % 2 == 0 else np.cos(angle)
            assert found[row, column] == pytest.approx(expected, abs=1e-13)


def test_low_precision_still_tells_late_positions_apart():
    late = sinusoidal_positions(5000, torch.zeros(1, 2, 8, dtype=torch.bfloat16))
    assert late.dtype == torch.bfloat16
    exact = sinusoidal_positions(5000, torch.zeros(1, 2, 8, dtype=torch.float64))
    torch.testing.assert_close(late.double(), exact, rtol=0, atol=5e-3)
