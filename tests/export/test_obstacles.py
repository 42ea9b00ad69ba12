"""What cannot be exported, or not for any length, says which operation stands in the way."""

import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from forecastlab.backbones.base import Backbone
from forecastlab.backbones.stepping import Stepped
from forecastlab.decoders import DeepAR
from forecastlab.errors import ConfigError, DataError
from forecastlab.export import save_onnx
from forecastlab.export.obstacles import first_line
from forecastlab.export.program import capture
from forecastlab.losses import GaussianNLL
from tests.export.networks import WHOLE, network


class Own(Backbone):
    """A backbone of a user's."""

    def __init__(self, input_size: int) -> None:
        super().__init__(input_size, 4)
        self.linear = nn.Linear(input_size, 4)

    def initial_state(self, batch_size):
        return self.new_zeros(batch_size, 4)


class LoopInPython(Own):
    """A leaky integrator, with a loop over time in Python."""

    def forward(self, x, state=None):
        h, outputs = self.initial_state(x.shape[0]) if state is None else state, []
        for x_t in self.linear(x).unbind(1):
            h = h / 2 + x_t
            outputs.append(h)
        return torch.stack(outputs, 1), h


class CountsSteps(Own):
    """Counts to the length in Python."""

    def forward(self, x, state=None):
        outputs = [self.linear(x[:, t]) for t in range(x.shape[1])]
        return torch.stack(outputs, 1), self.initial_state(x.shape[0])


class Grows(Own, Stepped):
    """A state that has another shape after every step, in the loop that the cells share."""

    def initial_state(self, batch_size):
        return self.new_zeros(batch_size, 1, 4)

    def forward(self, x, state=None):
        def step(x_t, past):
            past = torch.cat([past, x_t.unsqueeze(1)], 1)
            return past.mean(1), past, ()

        start = self.initial_state(x.shape[0]) if state is None else state
        y, last, _ = self.scan(step, self.linear(x), start)
        return y, last


class BranchesOnValues(Own):
    """Another formula for some values."""

    def forward(self, x, state=None):
        y = self.linear(x)
        if y.mean() > 0:
            y = -y
        return y, self.initial_state(x.shape[0])


class Unknown(Own):
    """An operation that ONNX does not have."""

    def forward(self, x, state=None):
        return torch.linalg.qr(self.linear(x))[0], self.initial_state(x.shape[0])


FIXED = {
    LoopInPython: r"test_obstacles.py, line \d+ \(`for x_t in self.linear\(x\).unbind\(1\):`\) needs the number",
    CountsSteps: r"test_obstacles.py, line \d+ \(`outputs = \[.* for t in range\(x.shape\[1\]\)\]`\) needs the number",
    Grows: r"tensor 0 of the state changes from \(batch, 1, 4\) to \(batch, 2, 4\) in a step, but torch's scan and "
    r"ONNX's Scan need a constant shape",
}


@pytest.mark.parametrize("backbone", FIXED, ids=lambda cls: cls.__name__)
def test_where_the_length_is_fixed_the_line_that_fixes_it_is_named(backbone):
    program = capture(network(backbone))
    assert program.inputs["history"] == ["batch", 6, 2]
    assert program.lines()[2] == "dynamic axes: batch"
    assert re.match(r"time is fixed at 6: " + FIXED[backbone], program.lines()[3])


@pytest.mark.parametrize("maps", [True, 3])
def test_linear_maps_of_the_window_fix_the_length_and_are_named(maps):
    program = capture(network(linear_window=maps))
    assert program.inputs["history"] == ["batch", 6, 2]
    assert program.lines()[3] == "time is fixed at 6: linear_window has a weight for each row"


def test_of_an_error_of_torch_its_reason_is_told_and_not_how_to_make_it_say_more():
    error = RuntimeError(
        'Constraints violated (x)! For more information, run with TORCH_LOGS="+dynamic".\n  - You marked'
    )
    assert first_line(error) == "RuntimeError: Constraints violated (x)!"


def test_a_program_of_fixed_length_is_written(tmp_path):
    exported = save_onnx(network(LoopInPython), tmp_path / "a.onnx")
    assert exported.lines[0] == "inputs: history (batch, 6, 2)"
    assert exported.lines[3].startswith("time is fixed at 6: ")


def test_whole_sequences_need_any_length():
    with pytest.raises(ConfigError, match=r"lookback: full needs a program for histories of any length, but test_obst"):
        capture(network(LoopInPython, WHOLE))


def test_a_branch_on_values_is_named():
    with pytest.raises(ConfigError, match=r"cannot be exported: test_obstacles.py, line \d+ \(`if y.mean\(\) > 0:`\)"):
        capture(network(BranchesOnValues))
    with pytest.raises(ConfigError, match=r"cannot be exported: test_obstacles.py, line \d+ \(`if y.mean\(\) > 0:`\)"):
        capture(network(BranchesOnValues, WHOLE), step=True)


def test_a_decoder_that_draws_is_not_exported():
    with pytest.raises(
        ConfigError, match="DeepAR draws its forecasts, and a program of fixed steps has no random numb"
    ):
        capture(network(decoder=DeepAR, loss=GaussianNLL))


def test_an_operation_that_onnx_does_not_have_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"to ONNX: aten\.linalg_qr has no counterpart in ONNX"):
        save_onnx(network(Unknown), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_intervals_that_are_not_calibrated_are_refused():
    model = network(intervals=[0.9])
    model.intervals.margin.fill_(torch.nan)
    with pytest.raises(ConfigError, match=r"model\.intervals are not calibrated"):
        capture(model)


def test_what_computes_something_else_is_not_written(tmp_path, monkeypatch):
    """As if an exporter had a bug: the file is another network's."""
    model, other = network(), network(seed=1)
    mixed = replace(capture(model), exported=capture(other).exported)
    monkeypatch.setattr("forecastlab.export.onnx.capture", lambda *_: mixed)
    with pytest.raises(
        DataError, match=r"differs from the network by \S+ of the largest scaled value: it is not written"
    ):
        save_onnx(model, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())
