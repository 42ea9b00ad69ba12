"""The compiled kernels against the loops in Python and against torch.nn: outputs, states, every gradient."""

import copy
import math
import os
import pickle
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from forecastlab.backbones.gru import GRU
from forecastlab.backbones.kernels import choice
from forecastlab.backbones.kernels.choice import MIN_STEPS, usable
from forecastlab.backbones.kernels.gru import gru
from forecastlab.backbones.kernels.lstm import lstm
from forecastlab.backbones.kernels.rnn import rnn
from forecastlab.backbones.kernels.slstm import slstm
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.peephole_lstm import PeepholeLSTM
from forecastlab.backbones.residual_lstm import ResidualLSTM
from forecastlab.backbones.rnn import RNN
from forecastlab.backbones.slstm import SLSTM
from forecastlab.backbones.stepping import Stepped
from forecastlab.backbones.xlstm import XLSTM

loops = pytest.importorskip("forecastlab.backbones.kernels.loops", reason="numba is optional")
from forecastlab.backbones.kernels.loops import blocks, compiling, elementwise  # noqa: E402  # they import numba

WIDTH, HIDDEN, TIME = 5, 11, 2 * MIN_STEPS + 3
CELLS = {
    "RNN": partial(RNN, WIDTH, HIDDEN, 2),
    "RNN(relu)": partial(RNN, WIDTH, HIDDEN, activation="relu"),
    "GRU": partial(GRU, WIDTH, HIDDEN, 2),
    "GRU(reset before)": partial(GRU, WIDTH, HIDDEN, 2, reset_after=False),
    "PeepholeLSTM": partial(PeepholeLSTM, WIDTH, HIDDEN, 2),
    "ResidualLSTM": partial(ResidualLSTM, WIDTH, HIDDEN, 2),
    "ResidualLSTM(bare)": partial(ResidualLSTM, WIDTH, WIDTH, peephole="none", projection=False),
    "SLSTM": partial(SLSTM, WIDTH, HIDDEN, 2),
    "SLSTM(exp, heads)": partial(SLSTM, WIDTH, 12, forget="exp", num_heads=3),
}
DROPPED = {
    **{name: partial(cell, recurrent_dropout=0.4) for name, cell in CELLS.items()},
    "LSTM": partial(LSTM, WIDTH, HIDDEN, 2, recurrent_dropout=0.4),
}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}

every = pytest.mark.parametrize("name", CELLS)
both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(3)


def sequence(batch=2, time=TIME, dtype=torch.float64):
    return torch.randn(batch, time, WIDTH, dtype=dtype)


def leaves(state):
    return [state] if isinstance(state, Tensor) else [leaf for part in state for leaf in leaves(part)]


def like(state, values):
    return next(values) if isinstance(state, Tensor) else tuple(like(part, values) for part in state)


def pair(cell, dtype=torch.float64):
    """The same network with and without kernels."""
    fused, plain = cell().to(dtype), cell(fused=False).to(dtype)
    plain.load_state_dict(fused.state_dict())
    return fused, plain


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
    state, pieces = None, []
    for piece in x.split([MIN_STEPS + 1, 1, TIME - MIN_STEPS - 2], 1):
        piece_y, state = model(piece, state)
        pieces.append(piece_y)
    torch.testing.assert_close(torch.cat(pieces, 1), y, rtol=0, atol=1e-12)
    state = model.initial_state(3)
    for t in range(TIME):
        y_t, state = model.step(x[:, t], state)
        torch.testing.assert_close(y_t, y[:, t], rtol=0, atol=1e-12)
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


# when a kernel is used


def test_choice_depends_on_sizes_dtype_and_device_only():
    x = torch.randn(2, MIN_STEPS, 4)
    assert usable(x)
    assert usable(torch.full_like(x, torch.nan))
    assert usable(x, None, nn.Parameter(x))
    assert not usable(x[:, 1:])
    assert not usable(x.bfloat16())
    assert not usable(x, x.double())
    assert not usable(x.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not usable(x)


def test_lstm_without_recurrent_dropout_stays_torchs():
    model, x = LSTM(WIDTH, HIDDEN, num_layers=2, recurrent_dropout=0.3).eval(), sequence(dtype=torch.float32)
    assert torch.equal(model(x)[0], model.rnn(x)[0])


@pytest.mark.parametrize("cell", [RNN, GRU])
def test_large_batches_stay_torchs(cell):
    model = cell(WIDTH, 64)
    x = sequence(cell.fused_up_to // 64 + 1, MIN_STEPS, torch.float32)
    assert torch.equal(model(x)[0], model.rnn(x)[0])


@every
def test_result_is_the_same_without_numba(name, monkeypatch):
    model, x = CELLS[name]().double(), sequence()
    expected = model(x)[0]
    monkeypatch.setitem(sys.modules, "numba", None)
    for module in [module for module in sys.modules if module.startswith(loops.__name__)]:
        monkeypatch.delitem(sys.modules, module)
    choice.loops.cache_clear()
    try:
        assert not usable(x)
        torch.testing.assert_close(model(x)[0], expected, rtol=0, atol=1e-12)
    finally:
        monkeypatch.undo()
        choice.loops.cache_clear()


def test_kernel_that_cannot_be_kept_on_disk_still_runs(monkeypatch):
    njit = compiling.numba.njit

    def without_a_folder(**options):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(compiling.numba, "njit", without_a_folder)
    assert compiling.compiled(lambda x: x + 1)(2) == 3


def test_transforms_of_functions_take_the_loop():
    fused, plain = pair(CELLS["PeepholeLSTM"])
    x = sequence(1)
    jacobian = torch.func.jacrev(lambda x: fused(x)[0][:, -1].sum())(x)
    wanted = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(plain(wanted)[0][:, -1].sum(), wanted)
    torch.testing.assert_close(jacobian, expected, rtol=0, atol=1e-12)


def test_second_derivatives_are_refused_and_come_from_the_loop():
    fused, plain = pair(CELLS["PeepholeLSTM"])
    x = sequence().requires_grad_()
    with pytest.raises(RuntimeError, match="no second derivatives: build the backbone with fused=False"):
        torch.autograd.grad(fused(x)[0].sum(), x, create_graph=True)
    (first,) = torch.autograd.grad(plain(x)[0].sum(), x, create_graph=True)
    assert torch.autograd.grad(first.square().sum(), x)[0].abs().max() > 0


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_short_sequences_do_not_load_numba():
    code = (
        "import sys, torch; from forecastlab.backbones.gru import GRU; "
        f"GRU(3)(torch.randn(2, {MIN_STEPS - 1}, 3)); print('numba' in sys.modules)"
    )
    assert run(code) == "False"


def test_kernels_run_in_forked_and_in_fresh_processes():
    code = """
import multiprocessing, torch
from forecastlab.backbones.gru import GRU

def hidden(_):
    torch.manual_seed(0)
    model = GRU(3, 4).double()
    return model(torch.randn(1, 40, 3, dtype=torch.float64))[0].sum().item()

if __name__ == "__main__":
    print(hidden(0))
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.map(hidden, [0])[0])
"""
    here, forked = run(code).split()
    assert forked == here
    torch.manual_seed(0)
    model = GRU(3, 4).double()
    assert repr(model(torch.randn(1, 40, 3, dtype=torch.float64))[0].sum().item()) == here


@pytest.fixture
def copied_kernels(tmp_path):
    """A copy of the compiled kernels alone, and what its simple recurrent network with one unit gives for [1, 1]."""
    rooms = ("forecastlab", "forecastlab/backbones", "forecastlab/backbones/kernels")
    for room in rooms:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").touch()
    folder = tmp_path / rooms[-1] / "loops"
    shutil.copytree(Path(loops.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    code = """
import numpy as np
from forecastlab.backbones.kernels.loops import rnn
y = np.empty((1, 2, 1))
rnn.forward(np.ones((1, 2, 1)), np.full((1, 1), 0.5), np.ones((1, 1)), np.zeros((1, 1)), False, y)
print(y[0, 1, 0], sum(rnn.forward.stats.cache_hits.values()))
"""

    def ask():
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        environment.pop("NUMBA_CACHE_DIR", None)
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
        value, hits = done.stdout.split()
        return float(value), int(hits)

    return folder, ask


def test_a_change_in_a_file_that_kernels_share_is_compiled_anew(copied_kernels):
    folder, ask = copied_kernels

    def change(file, old, new):
        text = (folder / file).read_text()
        assert text.count(old) == 1
        (folder / file).write_text(text.replace(old, new))

    expected = math.tanh(1 + 0.5 * math.tanh(1))
    assert ask() == (pytest.approx(expected), 0)
    assert ask() == (pytest.approx(expected), 1), "the machine code is kept"
    change("blocks.py", "y[j] += a0 * w0[j]", "y[j] -= a0 * w0[j]")
    assert ask() == (pytest.approx(math.tanh(1 - 0.5 * math.tanh(1))), 0)
    change("elementwise.py", "math.copysign(e / (e + two), x)", "math.copysign(two, x)")
    assert ask() == (2, 0)
