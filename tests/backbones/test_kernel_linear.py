"""Linear maps of all steps: what they compute, with which derivatives, by which library."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import linear as torchs

from forecastlab.backbones.gru import GRU
from forecastlab.backbones.kernels import linear as linears
from forecastlab.backbones.kernels.linear import ONEDNN_FROM, Linear, linear, of_linear, product
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.rnn import RNN


def drawn(*shapes, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


@pytest.mark.parametrize(("rows", "dtype"), [(20, torch.float32), (700, torch.float32), (700, torch.float64)])
@pytest.mark.parametrize("biased", [True, False])
def test_a_product_is_that_of_numpy_below_and_above_the_size_from_which_onednn_multiplies(rows, dtype, biased):
    x, weight, bias = drawn((2, rows, 48), (32, 48), (32,), dtype=dtype)
    assert (2 * rows * 48 * 32 >= ONEDNN_FROM) == (rows == 700)
    with torch.no_grad():
        found = product(x, weight, bias if biased else None)
    exact = x.double().numpy() @ weight.double().numpy().T + (bias.double().numpy() if biased else 0)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-5
    np.testing.assert_allclose(found.numpy(), exact, rtol=0, atol=tolerance)


@pytest.mark.parametrize("layout", [(64, 24), (24, 64)], ids=["more units than inputs", "more inputs than units"])
def test_gradients_in_single_precision_are_those_of_torch(layout):
    units, width = layout
    x, weight, bias, dy = drawn((8, 120, width), (units, width), (units,), (8, 120, units))
    given = [part.requires_grad_() for part in (x, weight, bias)]
    expected = torch.autograd.grad(torchs(*given), given, dy)
    assert dy.numel() * width >= ONEDNN_FROM
    for found, other in zip(torch.autograd.grad(linear(*given, fused=True), given, dy), expected, strict=True):
        torch.testing.assert_close(found, other, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        assert of_linear(dy, x, weight, (False, True, False))[::2] == (None, None)


def test_some_columns_of_a_matrix_are_multiplied_like_a_matrix_of_their_own():
    a, b = drawn((900, 96), (900, 80))
    with torch.no_grad():
        found = product(a[:, 10:74].T, b[:, :32].T)
    assert ONEDNN_FROM <= 900 * 64 * 32
    exact = a.double().numpy()[:, 10:74].T @ b.double().numpy()[:, :32]
    np.testing.assert_allclose(found.numpy(), exact, rtol=0, atol=1e-4)


@pytest.mark.parametrize("cell", [RNN, GRU, partial(GRU, reset_after=False), partial(LSTM, recurrent_dropout=0.3)])
def test_weights_of_large_batches_have_the_gradients_of_the_loop_in_double_precision(cell):
    torch.manual_seed(4)
    model = cell(48, 64)
    model.fused_up_to = 2**20  # whatever is faster: the kernel is meant
    exact = cell(48, 64, fused=False).double()
    exact.load_state_dict(model.state_dict())
    (x,) = drawn((96, 20, 48))
    assert ONEDNN_FROM <= 96 * 20 * 64 * 48
    for network, inputs in ((model, x), (exact, x.double())):
        torch.manual_seed(5)
        network(inputs)[0].square().mean().backward()
    for ours, theirs in zip(model.parameters(), exact.parameters(), strict=True):
        scale = theirs.grad.abs().max()
        torch.testing.assert_close(ours.grad.double() / scale, theirs.grad / scale, rtol=0, atol=2e-4)


def test_it_has_first_and_second_derivatives():
    given = [part.requires_grad_() for part in drawn((2, 16, 3), (4, 3), (4,), dtype=torch.float64)]
    assert gradcheck(lambda *parts: linear(*parts, fused=True), given)
    assert gradgradcheck(lambda *parts: linear(*parts, fused=True), given)


def test_without_onednn_torch_multiplies(monkeypatch):
    x, weight, bias = drawn((8, 120, 32), (64, 32), (64,))
    monkeypatch.setattr(linears, "onednn_linear", lambda *parts: pytest.fail("oneDNN was called"))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with torch.no_grad():
        torch.testing.assert_close(product(x, weight, bias), torchs(x, weight, bias), rtol=0, atol=0)


def test_the_layer_has_the_parameters_and_the_first_values_of_torchs():
    torch.manual_seed(3)
    ours = Linear(5, 7, fused=True)
    torch.manual_seed(3)
    other = torch.nn.Linear(5, 7)
    assert list(ours.state_dict()) == list(other.state_dict())
    x = torch.randn(2, 20, 5)
    torch.testing.assert_close(ours(x), other(x), rtol=1e-5, atol=1e-6)
