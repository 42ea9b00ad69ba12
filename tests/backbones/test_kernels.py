"""The compiled kernels against the loops in Python and against torch.nn: outputs, states, every gradient."""

import copy
import inspect
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from forecastlab.backbones.gru import GRU
from forecastlab.backbones.kernels.choice import MIN_STEPS
from forecastlab.backbones.kernels.diagonal import diagonal
from forecastlab.backbones.kernels.gru import gru
from forecastlab.backbones.kernels.lstm import lstm
from forecastlab.backbones.kernels.rglru import rglru
from forecastlab.backbones.kernels.rnn import rnn
from forecastlab.backbones.kernels.slstm import slstm
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.peephole_lstm import PeepholeLSTM
from forecastlab.backbones.rnn import RNN
from forecastlab.backbones.stepping import Stepped
from forecastlab.backbones.xlstm import XLSTM
from tests.backbones.fused import CELLS, HIDDEN, TIME, TOLERANCE, WIDTH, both_dtypes, every, pair, sequence
from tests.backbones.states import in_pieces, leaves, unrolled

loops = pytest.importorskip("forecastlab.backbones.kernels.loops", reason="numba is optional")
from forecastlab.backbones.kernels.loops import blocks, compiling, elementwise  # noqa: E402  # they import numba

DROPPED = {
    **{
        name: partial(cell, recurrent_dropout=0.4)
        for name, cell in CELLS.items()
        if "recurrent_dropout" in inspect.signature(cell).parameters
    },
    "LSTM": partial(LSTM, WIDTH, HIDDEN, 2, recurrent_dropout=0.4),
}


def like(state, values):
    return next(values) if isinstance(state, Tensor) else tuple(like(part, values) for part in state)


@pytest.fixture
def only_kernels(monkeypatch):
    """Makes a model's other ways to compute fail."""

    def refuse(*_, **__):
        raise AssertionError("the kernel was not used")

    def apply(model):
        for module in model.modules():
            if isinstance(module, Stepped):
                monkeypatch.setattr(module, "scan", refuse, raising=False)
            if isinstance(module, nn.RNNBase):
                monkeypatch.setattr(module, "forward", refuse)
        return model

    return apply


def started(model, batch, dtype):
    """A state amid a sequence, as leaves that want gradients."""
    with torch.no_grad():
        state = model(sequence(batch, 4, dtype))[1]
    return state, [leaf.detach().clone().requires_grad_() for leaf in leaves(state)]


def results(model, x, state, given):
    """Outputs, last state, and the gradients of a random function of both, by input, state and parameters."""
    torch.manual_seed(4)
    y, last = model(x, like(state, iter(given)))
    after = [y, *leaves(last)]
    torch.manual_seed(5)
    total = torch.stack([(leaf * torch.randn(leaf.shape, dtype=leaf.dtype)).sum() for leaf in after]).sum()
    wanted = {"input": x, **{f"state {n}": leaf for n, leaf in enumerate(given)}, **dict(model.named_parameters())}
    gradients = torch.autograd.grad(total, list(wanted.values()))
    return {**{f"output {n}": leaf for n, leaf in enumerate(after)}, **dict(zip(wanted, gradients, strict=True))}


def assert_same(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        size = max(1.0, value.abs().max().item())
        torch.testing.assert_close(found[name], value, rtol=0, atol=tolerance * size, msg=lambda m, n=name: f"{n}: {m}")


# the same results


@pytest.mark.parametrize("batch", [1, 5, blocks.ROWS + 1])
@both_dtypes
@every
def test_kernel_equals_the_other_way_in_outputs_state_and_gradients(name, dtype, batch, only_kernels):
    fused, plain = pair(CELLS[name], dtype)
    state, given = started(plain, batch, dtype)
    x = sequence(batch, dtype=dtype).requires_grad_()
    assert_same(results(only_kernels(fused), x, state, given), results(plain, x, state, given), TOLERANCE[dtype])


@every
def test_a_part_of_the_state_gets_its_gradient_where_nothing_else_wants_one(name, only_kernels):
    """The gates of all steps are kept for it: a network that is frozen may start from a state that is learned."""
    fused, plain = (model.requires_grad_(False) for model in pair(CELLS[name]))
    state, given = started(plain, 2, torch.float64)
    x = sequence(2)
    only_kernels(fused)
    for part, leaf in enumerate(given):
        alone = [other if number == part else other.detach() for number, other in enumerate(given)]
        found, expected = (model(x, like(state, iter(alone)))[0].sin().sum() for model in (fused, plain))
        gradients = [torch.autograd.grad(total, leaf)[0] for total in (found, expected)]
        torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-10)


@both_dtypes
@pytest.mark.parametrize("name", DROPPED)
def test_kernel_and_loop_drop_the_same_units(name, dtype, only_kernels):
    fused, plain = pair(DROPPED[name], dtype)
    state, given = started(plain.eval(), 3, dtype)
    x = sequence(3, dtype=dtype).requires_grad_()
    found = results(only_kernels(fused.train()), x, state, given)
    assert_same(found, results(plain.train(), x, state, given), TOLERANCE[dtype])
    assert not torch.equal(found["output 0"], plain.eval()(x, like(state, iter(given)))[0])


@pytest.mark.parametrize("cell", [RNN, GRU])
def test_kernel_and_torch_drop_the_same_units_between_layers(cell, only_kernels):
    fused, plain = pair(partial(cell, WIDTH, HIDDEN, 3, dropout=0.4))
    x = sequence(3)
    torch.manual_seed(8)
    found = only_kernels(fused)(x)[0]
    torch.manual_seed(8)
    torch.testing.assert_close(found, plain(x)[0], rtol=0, atol=1e-12)


@every
def test_kernel_starts_from_no_state_as_the_other_way_does(name, only_kernels):
    fused, plain = pair(CELLS[name])
    x = sequence()
    torch.testing.assert_close(only_kernels(fused)(x)[0], plain(x)[0], rtol=0, atol=1e-12)


@every
def test_gradients_of_the_kernel_equal_finite_differences(name, only_kernels):
    model = only_kernels(CELLS[name]().double())
    state, given = started(CELLS[name]().double(), 2, torch.float64)

    def outputs(x, *rest):  # gradcheck changes the parameters in place
        y, last = model(x, like(state, iter(rest[: len(given)])))
        return y, *leaves(last)

    x = sequence(2, MIN_STEPS).requires_grad_()
    assert torch.autograd.gradcheck(outputs, (x, *given, *model.parameters()), fast_mode=True, atol=1e-5)


@every
def test_kernel_equals_steps_and_pieces(name):
    model, x = CELLS[name]().double(), sequence(3)
    y, last = model(x)
    pieces, _ = in_pieces(model, x, [MIN_STEPS + 1, 1, TIME - MIN_STEPS - 2])
    torch.testing.assert_close(pieces, y, rtol=0, atol=1e-12)
    steps, state = unrolled(model, x, model.initial_state(3))
    torch.testing.assert_close(steps, y, rtol=0, atol=1e-12)
    for found, expected in zip(leaves(state), leaves(last), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@every
def test_memory_layout_of_input_and_gradient_does_not_matter(name):
    model, x = CELLS[name]().double(), sequence(3)
    strided = x.transpose(0, 1).contiguous().transpose(0, 1)
    expanded = torch.ones(1, dtype=x.dtype).expand(3, TIME, model.output_size)
    runs = []
    for given, gradient in ((x, expanded.contiguous()), (strided, expanded)):
        y = model(given)[0]
        runs.append([y, *torch.autograd.grad(y, list(model.parameters()), gradient)])
    for found, expected in zip(*runs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def kernel_calls(hidden):
    """Calls of the kernels without a cell around them, whose matrix product over all steps is torch's."""
    weight = torch.randn(4 * hidden, hidden) / hidden
    yield 1, lambda x, h: rnn(x, weight[:hidden], h, None, relu=False)
    for reset_after in (True, False):
        yield 3, lambda x, h, after=reset_after: gru(x, weight[hidden:], weight[0].repeat(3), h, None, after)
    yield 4, lambda x, h: lstm(x, weight, (h, h), None, weight[:3], x[..., :hidden].contiguous(), weight[:hidden])
    yield 2, lambda x, h: diagonal(x[..., :hidden].sigmoid(), x[..., hidden:].contiguous(), h)
    yield 3, lambda x, h: rglru(x, torch.eye(3 * hidden), torch.zeros(3 * hidden), weight[0].exp(), h)  # x is exact
    yield 4, lambda x, h: slstm(x, weight, (h, h, h.exp(), h), None, exponential=False)


@pytest.mark.parametrize(("gates", "call"), list(kernel_calls(HIDDEN)))
def test_a_row_is_computed_alike_wherever_it_stands(gates, call):
    x, h = torch.randn(blocks.ROWS + 3, TIME, gates * HIDDEN), torch.randn(blocks.ROWS + 3, HIDDEN)
    y = call(x, h)[0]
    assert torch.equal(call(x.flip(0), h.flip(0))[0].flip(0), y)
    assert torch.equal(call(x[-1:], h[-1:])[0], y[-1:])


@every
def test_kernel_gives_the_same_bits_every_time_and_without_gradients(name):
    model, x = CELLS[name](), sequence(3, dtype=torch.float32)
    runs = []
    for _ in range(2):
        y, last = model(x)
        runs.append([y, *leaves(last), *torch.autograd.grad(y.square().sum(), list(model.parameters()))])
    assert all(map(torch.equal, *runs))
    with torch.no_grad():
        y, last = model(x)
    assert all(map(torch.equal, [y, *leaves(last)], runs[0]))


@every
def test_kernel_hides_no_missing_values(name):
    fused, plain = pair(CELLS[name])
    x = sequence(3)
    x[1, 20, 2] = torch.nan
    y = fused(x)[0]
    assert y[1, 20:].isnan().all()
    assert torch.equal(y.isnan(), plain(x)[0].isnan())


@every
def test_state_of_a_kernel_is_not_what_it_was_given(name):
    model, x = CELLS[name]().double(), sequence()
    with torch.no_grad():
        y, state = model(x)
        kept = [leaf.clone() for leaf in leaves(state)]
        for leaf in leaves(model(x, state)[1]):
            leaf.zero_()
        y.zero_()
    assert all(map(torch.equal, leaves(state), kept))


def test_kernel_serves_the_blocks_of_an_xlstm(only_kernels):
    fused, plain = pair(partial(XLSTM, WIDTH, 8, pattern=["s"], num_heads=2))
    x = sequence()
    torch.testing.assert_close(only_kernels(fused)(x)[0], plain(x)[0], rtol=0, atol=1e-12)


def test_copies_of_a_fused_model_compute_the_same():
    model, x = PeepholeLSTM(WIDTH, HIDDEN).double(), sequence()
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(copied(x)[0], model(x)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("function", "reference"),
    [
        (elementwise.exp, np.exp),
        (elementwise.tanh, np.tanh),
        (elementwise.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
        (elementwise.logsigmoid, lambda x: np.minimum(x, 0) - np.log1p(np.exp(-abs(x)))),
    ],
)
def test_elementwise_functions_are_exact_to_two_units_in_the_last_place(function, reference, dtype):
    @compiling.numba.njit(**compiling.OPTIONS)
    def evaluate(x, out):
        for j in range(x.shape[0]):
            out[j] = function(x[j])

    random = np.random.default_rng(0)
    x = np.concatenate([random.uniform(-scale, scale, 5000) for scale in (1e-4, 1, 9, 80)]).astype(dtype)
    found = np.empty_like(x)
    evaluate(x, found)
    expected = reference(x.astype(np.longdouble))
    assert (abs(found - expected) <= 2 * np.finfo(dtype).eps * abs(expected)).all()

    x = np.array([-np.inf, -1e30, -800, 0, 800, 1e30, np.inf, np.nan], dtype)
    found = np.empty_like(x)
    evaluate(x, found)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(found, reference(x.astype(np.float64)).astype(dtype), rtol=1e-6, atol=1e-30)
