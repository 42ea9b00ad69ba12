import copy
import pickle
from functools import partial

import pytest
import torch

from forecastlab.backbones.bn_lstm import BNLSTM
from forecastlab.backbones.conv_lstm import ConvLSTM
from forecastlab.backbones.grid_lstm import GridLSTM
from forecastlab.backbones.larnn import LARNN
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.slstm import SLSTM
from forecastlab.backbones.stepping import compile_steps, scan
from forecastlab.hybrids.stack import Stack
from tests.backbones.states import leaves

# The tracer of torch.compile looks at the gradients of everything it meets; to users the warning is not shown.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")

WIDTH = 4
CELLS = {
    "LARNN": partial(LARNN, WIDTH, 6, num_heads=2, window=3, recurrent_dropout=0.3),
    "BNLSTM": partial(BNLSTM, WIDTH, 3, max_length=4),
    "ConvLSTM": partial(ConvLSTM, WIDTH, 2),
    "GridLSTM": partial(GridLSTM, WIDTH, 3),
    "LSTM(relu)": partial(LSTM, WIDTH, 3, activation="relu"),
    "SLSTM": partial(SLSTM, WIDTH, 4, num_heads=2, fused=False),
}


@pytest.fixture(autouse=True)
def _afresh():
    torch.manual_seed(6)
    yield
    torch.compiler.reset()


def sequence(time=11):
    return torch.randn(3, time, WIDTH, dtype=torch.float64)


def results(model, x):
    """Outputs, last state, gradients, and what the model keeps, after a training step's two passes."""
    torch.manual_seed(7)
    y, state = model(x)
    floating = [leaf for leaf in leaves(state) if leaf.is_floating_point()]
    total = y.square().sum() + torch.stack([leaf.sin().sum() for leaf in floating]).sum()
    gradients = torch.autograd.grad(total, list(model.parameters()))
    return [y, *leaves(state), *gradients, *model.buffers()]


def assert_compiled_equals_plain(model, chunk, backend):
    compiled = copy.deepcopy(model)
    compile_steps(compiled, chunk, backend)
    x = sequence()
    for found, expected in zip(results(compiled, x), results(model, x), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)
    model.eval()
    compiled.eval()
    with torch.no_grad():
        torch.testing.assert_close(compiled(x)[0], model(x)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_chunks_of_steps_compute_what_single_steps_do(name):
    assert_compiled_equals_plain(CELLS[name]().double(), 4, "aot_eager")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # inductor warns of what torch itself still uses
@pytest.mark.parametrize("name", ["LARNN", "BNLSTM", "ConvLSTM"])
def test_machine_code_of_chunks_computes_what_single_steps_do(name):
    assert_compiled_equals_plain(CELLS[name]().double(), 3, "inductor")


def test_every_loop_below_a_module_is_compiled_in_copies_too(monkeypatch):
    model = Stack(WIDTH, [partial(GridLSTM, hidden_size=3), partial(LSTM, hidden_size=3, activation="relu")]).double()
    names = list(model.state_dict())
    compile_steps(model, 4, "aot_eager")
    assert list(model.state_dict()) == names
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        chunked = [module.chunks for module in copied.modules() if getattr(module, "chunks", None)]
        assert len(chunked) == 3
        assert set(chunked) == {(4, "aot_eager")}


def test_chunks_of_one_cell_are_compiled_once_for_all_calls_and_layers():
    compiled = []

    def count(graph, _):
        compiled.append(graph)
        return graph.forward

    model = GridLSTM(WIDTH, 3, num_layers=3).double()
    compile_steps(model, 4, count)
    with torch.no_grad():
        for _ in range(3):
            model(sequence())
    assert len(compiled) == 1


def test_short_sequences_and_traces_are_not_compiled():
    def refuse(*_):
        raise AssertionError("compiled")

    model = GridLSTM(WIDTH, 3).double()
    compile_steps(model, 4, refuse)
    model(sequence(3))
    model.trace(sequence())
    model.step(sequence()[:, 0], model.initial_state(3))


def test_scan_gives_outputs_last_state_and_parts_along_time():
    x = torch.tensor([1.0, 2.0, 3.0]).view(1, -1, 1)
    y, state, (before,) = scan(lambda x, s: (s * x, s + x, (s,)), x, torch.ones(1, 1), True)
    assert y.flatten().tolist() == [1.0, 4.0, 12.0]
    assert state.tolist() == [[7.0]]
    assert before.flatten().tolist() == [1.0, 2.0, 4.0]


def test_scan_collects_no_parts_unless_asked():
    assert scan(lambda x, s: (x, s, (x,)), torch.ones(1, 1, 1), torch.ones(1, 1))[2] == []


def test_chunk_of_no_steps_is_refused():
    with pytest.raises(ValueError, match="chunk must be a positive integer, got 0"):
        compile_steps(LSTM(WIDTH), 0)
