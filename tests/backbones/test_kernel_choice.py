"""When a compiled kernel is used, and what becomes of its machine code."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from forecastlab.backbones.gru import GRU
from forecastlab.backbones.kernels import choice
from forecastlab.backbones.kernels.choice import MIN_STEPS, usable
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.rnn import RNN
from tests.backbones.fused import CELLS, HIDDEN, WIDTH, every, pair, sequence

loops = pytest.importorskip("forecastlab.backbones.kernels.loops", reason="numba is optional")
from forecastlab.backbones.kernels.loops import compiling  # noqa: E402  # they import numba


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
