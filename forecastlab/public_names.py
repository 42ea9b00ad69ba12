"""The parts of a network that can be imported from the top, found in the files without importing them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parent


@cache
def parts() -> dict[str, str]:
    """The module of every registered backbone and hybrid, and of every decoder and loss, by the name of the class."""
    found = {name: f"forecastlab.{room}.{module}" for room in ("backbones", "hybrids") for module, name in _cells(room)}
    return found | {name: f"forecastlab.{room}" for room in ("decoders", "losses") for name in _exported(room)}


def _cells(room: str) -> Iterator[tuple[str, str]]:
    """The file and the name of each public class that has a `source`, which is what registers it."""
    for path in sorted((_ROOT / room).glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body if "source: ClassVar" in text else ():
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                named = [line.target for line in node.body if isinstance(line, ast.AnnAssign)]
                if any(isinstance(target, ast.Name) and target.id == "source" for target in named):
                    yield path.stem, node.name


def _exported(room: str) -> list[str]:
    """The classes in `__all__` of a package."""
    for node in ast.parse((_ROOT / room / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["__all__"]:
            return [name for name in ast.literal_eval(node.value) if name[0].isupper()]
    return []
