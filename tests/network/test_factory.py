import json
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

from forecastlab.backbones.base import Backbone
from forecastlab.backbones.gru import GRU
from forecastlab.backbones.lstm import LSTM
from forecastlab.hybrids.parallel import Parallel
from forecastlab.hybrids.series import Series
from forecastlab.losses import MAE, MSE, Loss
from forecastlab.network import factory
from forecastlab.network.factory import build, describe, subclasses

DESCRIBED_LSTM = {"class_path": "forecastlab.backbones.lstm.LSTM", "init_args": {"hidden_size": 8}}


class Broken(Backbone):
    """A class of the user's."""

    source = "nowhere"

    def __init__(self, input_size, width=3):
        super().__init__(input_size, width)

    def forward(self, x, state=None):
        raise NotImplementedError

    def initial_state(self, batch_size):
        return ()


def test_a_class_is_described_by_its_path():
    assert describe(LSTM) == {"class_path": "forecastlab.backbones.lstm.LSTM", "init_args": {}}


def test_a_partial_is_described_by_its_class_and_arguments():
    assert describe(partial(LSTM, hidden_size=8)) == DESCRIBED_LSTM
    assert describe(partial(partial(LSTM, num_layers=2), hidden_size=8))["init_args"] == {
        "num_layers": 2,
        "hidden_size": 8,
    }


def test_a_description_describes_itself():
    assert describe(DESCRIBED_LSTM) == DESCRIBED_LSTM
    assert describe({"class_path": "torch.nn.ReLU"}) == {"class_path": "torch.nn.ReLU", "init_args": {}}


def test_nested_factories_are_described_likewise():
    hybrid = partial(Parallel, branches=(partial(LSTM, hidden_size=8), GRU, partial(Series, branches=[GRU])))
    assert describe(hybrid)["init_args"] == {
        "branches": [
            DESCRIBED_LSTM,
            {"class_path": "forecastlab.backbones.gru.GRU", "init_args": {}},
            {
                "class_path": "forecastlab.hybrids.series.Series",
                "init_args": {"branches": [{"class_path": "forecastlab.backbones.gru.GRU", "init_args": {}}]},
            },
        ]
    }


def test_a_description_is_plain_data_whatever_numbers_it_was_given(tmp_path):
    described = describe(
        partial(torch.optim.Adam, lr=np.float64(0.1), betas=(np.float64(0.5), 0.9), foreach=True, capturable=None)
    )
    assert json.loads(json.dumps(described)) == described
    torch.save(described, tmp_path / "described")
    assert torch.load(tmp_path / "described", weights_only=True) == described
    assert {type(value) for value in described["init_args"]["betas"]} == {float}


@pytest.mark.parametrize(
    "other",
    [
        lambda width: LSTM(width),
        5,
        None,
        "LSTM",
        partial(lambda cls, width: cls(width), LSTM),
        partial(LSTM, 5),
        partial(LSTM, hidden_size=torch.tensor(3)),
        partial(LSTM, activation=torch.tanh),
        {"class_path": "torch.nn.ReLU", "arguments": {}},
        {"init_args": {}},
        {},
    ],
)
def test_what_cannot_be_saved_is_refused(other):
    with pytest.raises(TypeError, match="expected"):
        describe(other)


def test_what_is_built_has_the_class_the_sizes_and_the_arguments():
    backbone = build(describe(partial(LSTM, hidden_size=8, num_layers=2)), Backbone, 3)
    assert type(backbone) is LSTM
    assert (backbone.input_size, backbone.hidden_size, backbone.num_layers) == (3, 8, 2)


def test_nested_descriptions_are_built_by_the_class_that_holds_them():
    backbone = build(describe(partial(Parallel, branches=[partial(LSTM, hidden_size=8), GRU])), Backbone, 3)
    assert [type(branch) for branch in backbone.branches] == [LSTM, GRU]
    assert backbone.output_size == 8 + GRU(3).output_size


def test_a_class_that_was_imported_needs_no_leave():
    assert type(build(describe(partial(Broken, width=4)), Backbone, 3)) is Broken


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module that leaves a mark when it is imported; the mark."""
    mark = tmp_path / "was_imported"
    (tmp_path / "evil_package.py").write_text(
        f"open({str(mark)!r}, 'w').close()\nfrom torch import nn\nclass Net(nn.Module):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(factory, "_ALLOWED", list(factory.allowed_imports()))
    yield mark
    sys.modules.pop("evil_package", None)


@pytest.mark.parametrize("nested", [False, True])
def test_a_package_that_is_not_allowed_is_not_imported(evil, nested):
    described = {"class_path": "evil_package.Net", "init_args": {}}
    if nested:
        described = {"class_path": "forecastlab.hybrids.parallel.Parallel", "init_args": {"branches": [described]}}
    with pytest.raises(ValueError, match=r"not allowed to run code here.*--allow_import evil_package"):
        build(described, Backbone, 3)
    assert not evil.exists()


def test_a_package_that_was_allowed_is_imported(evil):
    factory.allow_import("evil_package")
    assert type(build({"class_path": "evil_package.Net"}, nn.Module)).__name__ == "Net"
    assert evil.exists()


@pytest.mark.parametrize(
    ("class_path", "words"),
    [
        ("os.system", "not a subclass of Backbone"),
        ("builtins.eval", "not a subclass of Backbone"),
        ("subprocess.Popen", "not a subclass of Backbone"),
        ("torch.nn.ReLU", "there is no Backbone torch.nn.ReLU"),
        ("forecastlab.backbones.lstm.LTSM", "there is no Backbone forecastlab.backbones.lstm.LTSM"),
        ("forecastlab.backbones.ltsm.LSTM", "there is no Backbone forecastlab.backbones.ltsm.LSTM"),
        ("forecastlab.losses.MSE", "there is no Backbone forecastlab.losses.MSE"),
        ("forecastlab.__main__.X", "there is no Backbone forecastlab.__main__.X"),
        ("torch.optim.Adam", "there is no Backbone torch.optim.Adam"),
        ("LSTM", "LSTM is not imported"),
        ("", "is not imported"),
        (".", "is not imported"),
        (5, "must be the import path of a class, got 5"),
        (["os.system"], "must be the import path of a class"),
    ],
)
def test_a_path_that_is_no_class_of_the_kind_is_refused(class_path, words):
    with pytest.raises(ValueError, match=words):
        build({"class_path": class_path, "init_args": {"x": 1}}, Backbone, 3)


def model(backbone: Callable[[int], Backbone] = LSTM, loss: Callable[[], Loss] = MSE):
    """Takes factories as `Forecaster` does."""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--backbone=LSTM"], LSTM),
        (["--backbone=GRU", "--backbone.hidden_size=8"], partial(GRU, hidden_size=8)),
        (
            [
                "--backbone=Parallel",
                '--backbone.branches=[{"class_path": "LSTM", "init_args": {"hidden_size": 8}}, {"class_path": "GRU"}]',
            ],
            partial(Parallel, branches=[partial(LSTM, hidden_size=8), GRU]),
        ),
    ],
)
def test_the_factories_that_the_command_line_builds_are_understood(arguments, expected):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_function_arguments(model)
    parsed = parser.instantiate(parser.parse_args([*arguments, "--loss=MAE"]))
    described = describe(parsed.backbone)
    assert json.loads(json.dumps(described)) == described
    ours, theirs = build(described, Backbone, 3), build(describe(expected), Backbone, 3)
    assert type(ours) is type(theirs)
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in theirs.state_dict().items()
    }
    assert describe(parsed.loss) == describe(MAE)


def test_subclasses_are_the_public_and_concrete_ones():
    found = subclasses(Loss)
    assert found["MSE"] is MSE
    assert found["MAE"] is MAE
    assert "Loss" not in found
    assert subclasses(Backbone)["Broken"] is Broken
    assert "Composed" not in subclasses(Backbone)
    assert "Recurrent" not in subclasses(Backbone)
