"""Every registered cell against torch's LSTM, kernels against loops, and what a step costs when streaming."""

import inspect
import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import nn

from forecastlab.registry import registered_backbones

SIZES = {
    "32 x 30, 72 to 64": (32, 30, 72, 64),
    "128 x 64, 8 to 128": (128, 64, 8, 128),
    "1 x 1250, 72 to 64": (1, 1250, 72, 64),
}
LAYERS = 2
CELLS = registered_backbones()
FUSED = [name for name, cls in CELLS.items() if "fused" in inspect.signature(cls).parameters]

every_size = pytest.mark.parametrize("size", SIZES)


def built(name, width, hidden, layers=LAYERS, **arguments):
    """A cell of a size, as far as its class has such arguments, in evaluation: batch norm refuses a batch of one."""
    known = inspect.signature(CELLS[name]).parameters
    sizes = {"hidden_size": hidden, "num_layers": layers}
    return CELLS[name](width, **{key: value for key, value in sizes.items() if key in known}, **arguments).eval()


def forward(model, x):
    with torch.no_grad():
        return model(x)[0]


def both_ways(model, x):
    model.zero_grad()
    model(x)[0].sum().backward()


PASSES = {"forward": forward, "forward and backward": both_ways}


@every_size
@pytest.mark.parametrize("passes", PASSES)
@pytest.mark.parametrize("name", CELLS)
def test_cell_against_torchs_lstm(name, passes, size, compare):
    batch, time, width, hidden = SIZES[size]
    x = torch.randn(batch, time, width)
    model, lstm = built(name, width, hidden), nn.LSTM(width, hidden, LAYERS, batch_first=True)
    assert model(x)[0].isfinite().all()
    run = PASSES[passes]
    compare(f"time over torch.nn.LSTM's, {passes}", name, size, partial(run, model, x), partial(run, lstm, x))


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
    compare("time with fused=True over fused=False", name, size, *(partial(both_ways, model, x) for model in models))


def test_matrix_lstm_against_its_recurrent_form(compare):
    batch, time, width, hidden = SIZES[size := "1 x 1250, 72 to 64"]
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
    compare("time of one layer of the MLSTM over", "its own steps", size, partial(both_ways, model, x), stepped)


def test_matrix_lstm_against_one_layer_of_torchs_lstm(compare):
    batch, time, width, hidden = SIZES[size := "1 x 1250, 72 to 64"]
    x = torch.randn(batch, time, width)
    model, lstm = built("MLSTM", width, hidden, 1), nn.LSTM(width, hidden, 1, batch_first=True)
    ours, other = partial(both_ways, model, x), partial(both_ways, lstm, x)
    compare("time of one layer of the MLSTM over", "torch.nn.LSTM", size, ours, other)


@pytest.mark.parametrize("name", [name for name, cls in CELLS.items() if built(name, 4, 8, 1).causal])
def test_streaming_step_against_torchs_lstm(name, compare):
    x = torch.randn(1, 200, 72)
    model, lstm = built(name, 72, 64), nn.LSTM(72, 64, LAYERS, batch_first=True)
    with torch.no_grad():
        whole, (_, state), kept = model(x)[0], model(x[:, :-1]), lstm(x[:, :-1])[1]
        step = partial(model.step, x[:, -1], state)
        torch.testing.assert_close(step()[0], whole[:, -1], rtol=1e-3, atol=1e-4)
        compare("time of a step over torch.nn.LSTM's", name, "1 x 1, 72 to 64", step, partial(lstm, x[:, -1:], kept))


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_peak_memory_of_long_sequences(name, record):
    def peak(build):
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

    ours, other = peak(f"built({name!r}, 72, 64)"), peak("nn.LSTM(72, 64, 2, batch_first=True)")
    table = "peak memory of forward and backward over torch.nn.LSTM's"
    record(table=table, name=name, size="8 x 1250, 72 to 64", ratio=ours / other, ours_kib=ours, other_kib=other)
