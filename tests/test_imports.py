"""Imports run one way and heavy packages stay where they belong: read from the sources, seen in a fresh process."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import forecastlab

ROOT = Path(forecastlab.__file__).parent
MAY_IMPORT = {
    "errors": set(),
    "adapters": set(),
    "text": set(),
    "public_names": set(),
    "batch": {"adapters"},
    "limits": {"errors"},
    "runs": {"errors", "limits"},
    "backbones": {"batch", "adapters"},
    "hybrids": {"backbones", "batch"},
    "decoders": {"backbones", "batch", "errors"},
    "losses": set(),
    "penalties": set(),
    "metrics": {"losses", "batch"},
    "data": {"batch", "errors", "limits", "text", "adapters"},
    "network": {
        *("backbones", "hybrids", "decoders", "losses"),
        *("data", "runs", "batch", "errors", "limits", "adapters"),
    },
    "training": {
        *("network", "data", "metrics", "figures", "runs"),
        *("backbones", "decoders", "losses", "penalties", "batch", "errors", "adapters"),
    },
    "baselines": {"data", "batch", "errors"},
    "forecaster": {"training"},
    "figures": set(),
    "experiment": {
        *("training", "network", "figures", "data", "metrics", "runs"),
        *("backbones", "decoders", "losses", "errors", "limits", "adapters", "public_names"),
    },
    "evaluation": {
        *("experiment", "training", "network", "figures", "baselines", "data", "metrics", "runs"),
        *("batch", "errors", "limits", "text"),
    },
    "models": {"evaluation", "experiment", "training", "network", "data", "runs", "errors"},
    "benchmarks": {
        *("evaluation", "experiment", "training", "network", "figures", "data", "runs", "errors"),
    },
    "papers": {"evaluation", "experiment", "data", "runs", "errors"},
    "tuning": {"evaluation", "experiment", "training", "network", "figures", "data", "runs", "errors"},
    "explanation": {"evaluation", "network", "backbones", "figures", "data", "runs", "batch", "errors", "text"},
    "export": {
        *("experiment", "training", "network", "runs", "data"),
        *("backbones", "batch", "errors", "limits", "adapters"),
    },
}
"""What each room may import: every arrow is used, and none turns back."""

LIGHTNING_ROOMS = {
    *("adapters", "forecaster", "runs", "training", "experiment", "evaluation"),
    *("models", "explanation", "export", "papers", "benchmarks", "tuning", "cli"),
}


def modules():
    """The dotted name and the parsed source of every module of the package."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = ["forecastlab", *path.relative_to(ROOT).with_suffix("").parts]
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), ast.parse(path.read_text())


def imported(tree):
    """The dotted names that a source imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(name):
    """The part of the package that a dotted name lies in; empty for the package itself and for other packages."""
    parts = name.split(".")
    rooms = {path.stem for path in ROOT.iterdir()}
    return parts[1] if parts[0] == "forecastlab" and len(parts) > 1 and parts[1] in rooms else ""


SOURCES = dict(modules())


def test_the_sources_are_found():
    assert {"forecastlab", "forecastlab.batch", "forecastlab.data.folds", "forecastlab.cli"} <= set(SOURCES)
    assert room("forecastlab.data.folds.Fold") == "data"
    assert room("forecastlab.__version__") == room("torch.nn") == ""


def test_every_room_has_its_place():
    found = {room(name) for name in SOURCES} - {"", "__main__", "cli"}
    assert found == set(MAY_IMPORT)


@pytest.mark.parametrize("name", [name for name in SOURCES if room(name) in MAY_IMPORT])
def test_no_arrow_turns_back(name):
    others = {room(other) for other in imported(SOURCES[name])} - {"", room(name)}
    assert others <= MAY_IMPORT[room(name)], f"{name} imports {others - MAY_IMPORT[room(name)]}"


def test_every_arrow_is_used():
    used = {(room(name), room(other)) for name, tree in SOURCES.items() for other in imported(tree)}
    assert {(name, other) for name, others in MAY_IMPORT.items() for other in others} <= used


def test_the_rooms_have_an_order():
    placed = set()
    while rest := set(MAY_IMPORT) - placed:
        free = {name for name in rest if MAY_IMPORT[name] <= placed}
        assert free, f"{rest} import each other"
        placed |= free


def test_data_and_backbones_never_see_each_other():
    assert "data" not in MAY_IMPORT["backbones"] | MAY_IMPORT["hybrids"] | MAY_IMPORT["decoders"]
    assert not {"backbones", "hybrids", "decoders", "losses", "network"} & MAY_IMPORT["data"]


def test_a_network_needs_no_data_module():
    for name in (
        "forecastlab.training.forecaster",
        "forecastlab.network.stream",
        "forecastlab.network.intervals",
        "forecastlab.runs.checkpoint",
    ):
        assert not [other for other in imported(SOURCES[name]) if "datamodule" in other]
    code = "import sys, forecastlab.training.forecaster; print(*(name for name in sys.modules if 'datamodule' in name))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.startswith("forecastlab")] == []


def test_nothing_imports_the_command_line():
    for name, tree in SOURCES.items():
        if room(name) not in ("cli", "__main__"):
            assert "cli" not in {room(other) for other in imported(tree)}, name


PURE = [
    name
    for name in SOURCES
    if room(name) not in LIGHTNING_ROOMS | {"", "__main__"} and not name.endswith(("datamodule", "data.options"))
]


@pytest.mark.parametrize("name", PURE)
def test_mathematics_and_data_do_not_import_lightning(name):
    packages = {other.partition(".")[0] for other in imported(SOURCES[name])}
    assert not packages & {"lightning", "pytorch_lightning", "jsonargparse", "tensorboard"}


def loaded_after(*names):
    """The packages that a fresh process has loaded after it imported some modules."""
    code = f"import sys, {', '.join(names)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_or_its_command_line_loads_nothing_heavy():
    heavy = {"torch", "lightning", "pandas", "numpy", "sklearn", "matplotlib", "jsonargparse", "yaml", "rich"}
    assert not loaded_after("forecastlab", "forecastlab.cli") & heavy


def test_mathematics_and_data_run_in_a_process_without_lightning():
    loaded = loaded_after(*(name for name in PURE if room(name) != "baselines"))
    assert "torch" in loaded
    assert not loaded & {"lightning", "pytorch_lightning", "jsonargparse"}


def test_the_public_names_are_there_when_they_are_asked_for():
    for name in forecastlab.__all__:
        assert getattr(forecastlab, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Forcaster'"):
        _ = forecastlab.Forcaster
