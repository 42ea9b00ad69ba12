import gc
import inspect
import types
from collections.abc import Callable
from functools import partial

import pytest
import torch
from jsonargparse import ArgumentParser

from forecastlab.backbones.alstm import ALSTM
from forecastlab.backbones.base import Backbone
from forecastlab.backbones.gru import GRU
from forecastlab.backbones.lstm import LSTM
from forecastlab.hybrids.parallel import Parallel
from forecastlab.hybrids.residual import Residual
from forecastlab.hybrids.series import Series
from forecastlab.network import registry
from forecastlab.network.factory import build, describe
from forecastlab.network.registry import registered_backbones


def subclasses(cls):
    for child in cls.__subclasses__():
        yield child
        yield from subclasses(child)


def test_registry_lists_backbones_and_hybrids_by_name_in_order():
    found = registered_backbones()
    assert found["LSTM"] is LSTM
    assert found["Series"] is Series
    assert list(found) == sorted(found)
    assert all(name == cls.__name__ for name, cls in found.items())


def test_only_shared_bases_are_left_out():
    found = set(registered_backbones().values())
    for cls in subclasses(Backbone):
        if cls.__module__.startswith(("forecastlab.backbones.", "forecastlab.hybrids.")) and cls not in found:
            assert not hasattr(cls, "source")
            assert any(issubclass(other, cls) for other in found), f"{cls} has no source, and nothing builds on it"


def test_registered_classes_can_be_built():
    assert not any(inspect.isabstract(cls) for cls in registered_backbones().values())


def test_two_classes_of_one_name_raise(monkeypatch):
    twin = type("LSTM", (LSTM,), {"__module__": "forecastlab.hybrids.twin"})
    module = types.ModuleType("forecastlab.hybrids.twin")
    module.LSTM = twin
    modules = {"forecastlab.backbones.lstm": inspect.getmodule(LSTM), "forecastlab.hybrids.stack": module}
    monkeypatch.setattr(registry.importlib, "import_module", lambda name: modules.get(name, types.ModuleType(name)))
    with pytest.raises(
        RuntimeError, match=r"two backbones are called LSTM: forecastlab.backbones.lstm, forecastlab.hybrids.twin"
    ):
        registered_backbones()
    modules.clear()
    del twin, module  # jsonargparse looks for classes among the subclasses that are alive
    monkeypatch.undo()
    gc.collect()


# hybrids as configs write them


CONFIG = """
backbone:
  class_path: Series
  init_args:
    feed: prediction
    branches:
    - class_path: LSTM
      init_args: {hidden_size: 5, num_layers: 2}
    - ALSTM
    - class_path: Parallel
      init_args:
        branches:
        - GRU
        - {class_path: Residual, init_args: {branches: [{class_path: LSTM, init_args: {hidden_size: 3}}]}}
"""


def parser():
    registered_backbones()  # what is imported resolves by its short name
    made = ArgumentParser(exit_on_error=False)
    made.add_argument("--config", action="config")
    made.add_argument("--backbone", type=Callable[[int], Backbone])
    return made


def assert_is_the_configs(model):
    assert type(model) is Series
    assert model.predictions[0].in_features == 5
    lstm, alstm, parallel = model.branches
    assert (type(lstm), lstm.num_layers, type(alstm), type(parallel)) == (LSTM, 2, ALSTM, Parallel)
    gru, residual = parallel.branches
    assert (type(gru), type(residual), residual.branches[0].hidden_size) == (GRU, Residual, 3)
    assert model.output_size == 64 + 3
    assert model(torch.zeros(2, 3, 4))[0].shape == (2, 3, 67)


def test_nested_hybrid_is_built_from_yaml_with_short_names():
    made = parser()
    assert_is_the_configs(made.instantiate(made.parse_args(["--config", CONFIG])).backbone(4))


def test_parsed_config_written_out_and_read_again_builds_the_same():
    made = parser()
    written = made.dump(made.parse_args(["--config", CONFIG]))
    assert_is_the_configs(made.instantiate(made.parse_string(written)).backbone(4))


def test_list_of_branches_can_be_given_on_the_command_line():
    made = parser()
    given = ["--backbone", "Stack", "--backbone.branches", "[LSTM, {class_path: GRU, init_args: {reset_after: false}}]"]
    lstm, gru = made.instantiate(made.parse_args(given)).backbone(4).branches
    assert (type(lstm), type(gru), gru.reset_after) == (LSTM, GRU, False)


def test_nested_hybrid_of_partials_is_described_and_rebuilt():
    inner = partial(Parallel, branches=[GRU, partial(Residual, branches=(partial(LSTM, hidden_size=3),))])
    described = describe(
        partial(Series, feed="prediction", branches=(partial(LSTM, hidden_size=5, num_layers=2), ALSTM, inner))
    )
    assert described["init_args"]["branches"][0] == {
        "class_path": "forecastlab.backbones.lstm.LSTM",
        "init_args": {"hidden_size": 5, "num_layers": 2},
    }
    assert_is_the_configs(build(described, Backbone, 4))
