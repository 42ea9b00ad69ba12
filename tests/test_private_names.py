"""Names that other packages keep private are used in `forecastlab/adapters` alone."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest
from lightning.pytorch import LightningModule

import forecastlab

ROOT = Path(forecastlab.__file__).parent
ADAPTERS = ROOT / "adapters"
FILES = sorted(path for path in ROOT.rglob("*.py") if ADAPTERS not in path.parents)
DOCUMENTED = {"_replace", "_asdict", "_fields", "_exit"}
"""Of named tuples, and of `os`."""


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def asked_for(tree):
    """Private names that a source asks objects for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and is_private(node.attr):
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant) and is_private(str(name.value)):
                yield name.value


def made(tree):
    """Names that a source gives to functions, classes, attributes and buffers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)  # a buffer, as in register_buffer("_seen", ...)


OURS = {name for path in FILES for name in made(ast.parse(path.read_text()))}


def foreign(source):
    """Private names of others in a source, asked for or imported."""
    tree = ast.parse(source)
    found = set(asked_for(tree)) - OURS - DOCUMENTED
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.module.startswith("forecastlab"):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name for name in modules if any(map(is_private, name.split(".")))}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_but_the_adapters_uses_a_private_name_of_others(path):
    assert foreign(path.read_text()) == set()


@pytest.mark.parametrize(
    "source",
    [
        "from lightning.pytorch.loops.loop import _Loop",
        "from torch.utils._pytree import tree_map",
        "import torch._dynamo",
        "trainer._logger_connector",
        "torch._C._is_tracing()",
        "getattr(trainer, '_logger_connector')",
    ],
)
def test_a_private_name_of_others_is_found(source):
    assert foreign(source)


def overridden(cls):
    """Private methods and properties of a class of ours that replace those of a class of others."""
    others = [base for base in cls.__mro__ if not base.__module__.startswith(("forecastlab", "typing"))]
    methods = [name for name, value in vars(cls).items() if inspect.isroutine(value) or isinstance(value, property)]
    return {name for name in methods if is_private(name) for base in others if name in vars(base)}


def test_a_private_method_that_is_overridden_is_found():
    class Ours(LightningModule):
        def _call_batch_hook(self):
            """Replaces Lightning's."""

    assert overridden(Ours) == {"_call_batch_hook"}


def test_no_class_but_the_adapters_overrides_a_private_method_of_others():
    for path in FILES:
        if path.stem in ("__main__", "sktime"):  # sktime documents the methods that a forecaster of its kind overrides
            continue
        module = importlib.import_module(".".join(["forecastlab", *path.relative_to(ROOT).with_suffix("").parts]))
        for name, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ == module.__name__ and not issubclass(cls, tuple):
                assert overridden(cls) == set(), f"{cls.__module__}.{name}"


def test_an_adapter_is_for_one_package():
    packages = {path.stem for path in ADAPTERS.glob("*.py")} - {"__init__"}
    for path in ADAPTERS.glob("*.py"):
        for name in foreign(path.read_text()):
            package = name.partition(".")[0]
            assert package == path.stem or package not in packages, f"{path.name} uses {name}"
