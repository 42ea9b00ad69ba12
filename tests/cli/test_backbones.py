import os
import re

import pandas as pd
import pytest
import torch

from forecastlab.backbones.lstm import LSTM
from forecastlab.network.registry import registered_backbones
from tests.cli.commands import fit, folder

CELL = '''
"""A leaky integrator."""

import torch
from torch import Tensor, nn

from forecastlab.backbones.base import Backbone


class LeakyIntegrator(Backbone):
    """h_t = a * h_{t-1} + (1 - a) * W x_t."""

    def __init__(self, input_size: int, hidden_size: int = 32) -> None:
        super().__init__(input_size, output_size=hidden_size)
        self.linear = nn.Linear(input_size, hidden_size)
        self.decay = nn.Parameter(torch.zeros(hidden_size))

    def initial_state(self, batch_size: int) -> Tensor:
        return self.new_zeros(batch_size, self.output_size)

    def forward(self, x, state=None):
        h = self.initial_state(x.shape[0]) if state is None else state
        a, outputs = torch.sigmoid(self.decay), []
        for x_t in self.linear(x).unbind(1):
            h = a * h + (1 - a) * x_t
            outputs.append(h)
        return torch.stack(outputs, 1), h
'''


def table(text):
    """The lines of the table, by the name of the backbone: causal, parameters, what it is."""
    lines = [re.fullmatch(r"(\w+) +(yes|no) +([\d,]+)  (.+)", line) for line in text.splitlines()]
    return {match[1]: (match[2], int(match[3].replace(",", "")), match[4]) for match in lines if match}


def test_every_registered_backbone_is_listed_in_order(cli):
    answer = cli("backbones")
    assert (answer.status, answer.err) == (0, "")
    assert list(table(answer.out)) == list(registered_backbones())


def test_an_lstm_is_described(cli):
    causal, parameters, text = table(cli("backbones").out)["LSTM"]
    assert (causal, parameters) == ("yes", 4 * 64 * (72 + 64 + 2))
    assert text == f"Long short-term memory: a cell state that gates write to, erase and read. [{LSTM.source}]"


def test_what_sees_the_future_is_not_called_causal(cli):
    assert {name for name, (causal, _, _) in table(cli("backbones").out).items() if causal == "no"} == {"Bidirectional"}


def test_parameters_are_counted_at_the_given_width(cli):
    assert table(cli("backbones", "--input_size", 5).out)["GRU"][1] == 3 * 64 * (5 + 64 + 2)


@pytest.mark.parametrize("size", ["0", "-2", "x"])
def test_a_width_that_is_none_is_refused(cli, size):
    answer = cli("backbones", "--input_size", size)
    assert answer.status == 2
    assert "--input_size" in answer.err
    assert len(answer.err.splitlines()) <= 2


def test_an_unknown_option_is_refused(cli):
    answer = cli("backbones", "--inputsize", 3)
    assert answer.status == 2
    assert "unrecognized arguments: --inputsize" in answer.err


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The name of a package of the user's own with one cell in one file."""
    name = f"own_{os.urandom(4).hex()}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / name / "leaky.py").write_text(CELL)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_backbone_of_ones_own_trains_and_is_tested(cli, config, tmp_path, package):
    allowed = ["--allow_import", package]
    cell = [f"--model.backbone={package}.leaky.LeakyIntegrator", "--model.backbone.hidden_size=3"]
    answer = cli(*fit(config, tmp_path, *allowed, *cell, epochs=2))
    assert answer.status == 0, answer.err
    saved = torch.load(folder(tmp_path) / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert saved["backbone.linear.weight"].shape == (3, 72)
    given = ["--ckpt_path=best", f"--trainer.default_root_dir={tmp_path}"]
    assert cli("test", *allowed, *given).status == 0
    assert len(pd.read_csv(folder(tmp_path) / "predictions.csv")) == 250
    assert cli(*fit(config, tmp_path, *allowed, *given[:1], epochs=3)).status == 2  # best.ckpt cannot be resumed
    assert cli("fit", *allowed, "--ckpt_path=last", given[1], "--trainer.max_epochs=3").status == 0


def test_a_misspelt_argument_of_a_backbone_of_ones_own_is_named(cli, config, tmp_path, package):
    allowed = ["--allow_import", package]
    path = f"{package}.leaky.LeakyIntegrator"
    wrong = cli(*fit(config, tmp_path, *allowed, f"--model.backbone={path}", "--model.backbone.hiden_size=3"))
    assert wrong.status == 2
    assert "LeakyIntegrator has no argument 'hiden_size'; did you mean hidden_size?" in wrong.err
