"""Every registered cell against torch's LSTM, kernels against loops, and what a step costs when streaming."""

import inspect
import subprocess
import sys
from functools import cache, partial

import pytest
import torch
from torch import nn

from forecastlab.network.registry import registered_backbones

SIZES = {
    "32 x 30 steps, 72 to 64": (32, 30, 72, 64),
    "128 x 64 steps, 8 to 128": (128, 64, 8, 128),
    "1 x 1250 steps, 72 to 64": (1, 1250, 72, 64),
}
"""Sequences, their steps, inputs, hidden units; two layers, but for cells that have none."""
LONG = "1 x 1250 steps, 72 to 64"
MANY = "64 x 336 steps, 72 to 64"
WITHOUT_RECURRENT_GATES = [
    "MinGRU",
    "MinLSTM",
    "LRU",
    "RGLRU",
    "S5",
    "MLSTM",
    "Mamba2",
    "GatedDeltaNet",
    "DeltaProduct",
]
"""Cells whose gates do not read the state, which are also measured on long windows in large batches."""
LAYERS = 2
CELLS = registered_backbones()
TORCHS = {"torch.nn.RNN": nn.RNN, "torch.nn.GRU": nn.GRU}
SAME = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
"""Those of ours that compute what a layer of torch's does, with parameters of the same names."""
FUSED = [name for name, cls in CELLS.items() if "fused" in inspect.signature(cls).parameters]

every_size = pytest.mark.parametrize("size", SIZES)


def built(name, width, hidden, layers=LAYERS, **arguments):
    """A cell of a size, as far as its class has such arguments, in evaluation: batch norm refuses a batch of one."""
    if name in TORCHS:
        return TORCHS[name](width, hidden, layers, batch_first=True)
    known = inspect.signature(CELLS[name]).parameters
    sizes = {"hidden_size": hidden, "num_layers": layers}
    return CELLS[name](width, **{key: value for key, value in sizes.items() if key in known}, **arguments).eval()


def label(name):
    """The name of a cell, saying where it has another width than what it is measured beside."""
    sized = name in TORCHS or "hidden_size" in inspect.signature(CELLS[name]).parameters
    return name if sized else f"{name} (default sizes)"


def forward(model, x):
    with torch.no_grad():
        return model(x)[0]


def both_ways(model, x):
    model.zero_grad()
    model(x)[0].sum().backward()


PASSES = {"forward": forward, "forward and backward": both_ways}


@every_size
@pytest.mark.parametrize("passes", PASSES)
@pytest.mark.parametrize("name", [*CELLS, *TORCHS])
def test_cell_against_torchs_lstm(name, passes, size, compare):
    batch, time, width, hidden = SIZES[size]
    x = torch.randn(batch, time, width)
    model = built(name, width, hidden)
    if name in SAME:
        require_same(model, SAME[name](width, hidden, LAYERS, batch_first=True), x)
    against_torchs_lstm(name, model, hidden, passes, size, x, compare)


@pytest.mark.parametrize("name", WITHOUT_RECURRENT_GATES)
def test_cell_without_recurrent_gates_against_torchs_lstm_on_long_windows(name, compare):
    x = torch.randn(64, 336, 72)
    against_torchs_lstm(name, built(name, 72, 64), 64, "forward and backward", MANY, x, compare)


def against_torchs_lstm(name, model, hidden, passes, size, x, compare):
    """Adds a row: two layers of a cell beside two layers of torch's LSTM of as many hidden units."""
    lstm = nn.LSTM(x.shape[2], hidden, LAYERS, batch_first=True)
    assert model(x)[0].isfinite().all()
    run = PASSES[passes]
    table = f"time of a cell / time of torch.nn.LSTM, {passes}"
    compare(table, label(name), size, partial(run, model, x), partial(run, lstm, x))


def require_same(model, torchs, x):
    """Raises AssertionError unless a layer of torch's gives the same with the same weights, and the same gradients."""
    torchs.load_state_dict(model.rnn.state_dict())
    torch.testing.assert_close(model(x)[0], torchs(x)[0], rtol=1e-4, atol=1e-5)
    both_ways(model, x)
    both_ways(torchs, x)
    for ours, other in zip(model.parameters(), torchs.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, other.grad, rtol=1e-3, atol=1e-4 * other.grad.abs().max().item())


@every_size
@pytest.mark.parametrize("name", FUSED)
def test_kernel_against_what_runs_without_it(name, size, compare):
    batch, time, width, hidden = SIZES[size]
    x = torch.randn(batch, time, width)
    arguments = {"recurrent_dropout": 0.2} if name == "LSTM" else {}
    models = [built(name, width, hidden, **arguments, fused=fused).train() for fused in (True, False)]
    models[1].load_state_dict(models[0].state_dict())
    gradients = []
    for model in models:
        torch.manual_seed(1)
        model(x)[0].sin().sum().backward()  # a plain sum says nothing behind a layer norm
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())
    table = "time with fused=True / time with fused=False, forward and backward"
    compare(table, name, size, *(partial(both_ways, model, x) for model in models))


MATRIX = "time of one layer of the MLSTM / time of ..., forward and backward"


def test_matrix_lstm_against_its_recurrent_form(compare):
    batch, time, width, hidden = SIZES[LONG]
    x = torch.randn(batch, time, width)
    model = built("MLSTM", width, hidden, 1)

    def stepped():
        model.zero_grad()
        outputs, state = [], model.initial_state(batch)
        for x_t in x.unbind(1):
            y_t, state = model.step(x_t, state)
            outputs.append(y_t)
        y = torch.stack(outputs, 1)
        y.sum().backward()
        return y

    torch.testing.assert_close(stepped(), model(x)[0], rtol=1e-3, atol=1e-4)
    compare(MATRIX, "its own steps", LONG, partial(both_ways, model, x), stepped)


def test_matrix_lstm_against_one_layer_of_torchs_lstm(compare):
    batch, time, width, hidden = SIZES[LONG]
    x = torch.randn(batch, time, width)
    model, lstm = built("MLSTM", width, hidden, 1), nn.LSTM(width, hidden, 1, batch_first=True)
    ours, other = partial(both_ways, model, x), partial(both_ways, lstm, x)
    compare(MATRIX, "torch.nn.LSTM, one layer", LONG, ours, other)


@pytest.mark.parametrize("name", [name for name, cls in CELLS.items() if built(name, 4, 8, 1).causal])
def test_streaming_step_against_torchs_lstm(name, compare):
    x = torch.randn(1, 200, 72)
    model, lstm = built(name, 72, 64), nn.LSTM(72, 64, LAYERS, batch_first=True)
    with torch.no_grad():
        whole, (_, state), kept = model(x)[0], model(x[:, :-1]), lstm(x[:, :-1])[1]
        step = partial(model.step, x[:, -1], state)
        torch.testing.assert_close(step()[0], whole[:, -1], rtol=1e-3, atol=1e-4)
        table, size = "time of a streaming step / time of torch.nn.LSTM's", "1 x 1 step, 72 to 64, after 199"
        compare(table, label(name), size, step, partial(lstm, x[:, -1:], kept))


@cache
def peak_kib(build):
    """What a pass forward and backward takes at most beyond what there was before it, in a process of its own."""
    code = f"""
import torch
from pathlib import Path
from torch import nn
from tests.benchmarks.bench_cells import both_ways, built

def kib(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))

torch.set_num_threads(1)
model = {build}
both_ways(model, torch.randn(1, 20, 72))
x = torch.randn(8, 1250, 72)
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
before = kib("VmRSS")
both_ways(model, x)
print(kib("VmHWM") - before)
"""
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("name", [*CELLS, *TORCHS])
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_peak_memory_of_long_sequences(name, record):
    ours, other = peak_kib(f"built({name!r}, 72, 64)"), peak_kib("nn.LSTM(72, 64, 2, batch_first=True)")
    table = "peak memory of a cell / peak memory of torch.nn.LSTM, forward and backward"
    record(
        table=table,
        name=label(name),
        size="8 x 1250 steps, 72 to 64",
        ratio=ours / other,
        ours_kib=ours,
        other_kib=other,
    )
