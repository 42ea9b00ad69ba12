"""Factories as data: classes with arguments, held as plain `class_path` and `init_args`.

A part of a model (backbone, decoder, loss, optimizer) is given as a class, as `functools.partial(cls, **arguments)`
(which is what the command line builds), or as the mapping that a checkpoint holds. `describe` turns each into the
mapping, `build` calls it. Nothing is imported for a mapping unless its package is allowed.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from textwrap import shorten
from typing import Any

from torch import nn

Described = dict[str, Any]

_BUILT_IN = ("forecastlab", "torch", "lightning")
_ALLOWED = list(_BUILT_IN)


def allow_import(package: str) -> None:
    """Lets `class_path` name classes of a further package, which then runs that package's code."""
    if package not in _ALLOWED:
        _ALLOWED.append(package)


def allowed_imports() -> tuple[str, ...]:
    """The packages that a `class_path` may import from."""
    return tuple(_ALLOWED)


def further_imports() -> tuple[str, ...]:
    """The packages that were allowed besides the built-in ones."""
    return tuple(package for package in _ALLOWED if package not in _BUILT_IN)


def describe(factory: Callable[..., Any] | Mapping[str, Any]) -> Described:
    """A class, a partial of one, or a mapping -> {"class_path": ..., "init_args": {...}}, nested ones likewise.

    Raises:
        TypeError: if it is none of these, or if an argument is not plain data (numbers, strings, lists, mappings).
    """
    if isinstance(factory, Mapping):
        if set(factory) - {"class_path", "init_args"} or "class_path" not in factory:
            raise TypeError(f"expected a mapping with class_path and init_args, got the keys {sorted(factory)}")
        return {"class_path": factory["class_path"], "init_args": _plain(dict(factory.get("init_args", {})))}
    cls: Any = factory
    arguments: Mapping[str, Any] = {}
    if isinstance(factory, partial):
        cls, arguments = factory.func, factory.keywords
        if factory.args and cls.__module__.partition(".")[0] == "jsonargparse":
            cls = factory.args[-1]  # what the command line builds: instantiators of jsonargparse's own, then the class
        elif factory.args:
            raise TypeError(
                "expected functools.partial(cls, **arguments) with named arguments only, got "
                f"{shorten(repr(factory), 80)}"
            )
    if not isinstance(cls, type):
        raise TypeError(
            f"expected a class, functools.partial(cls, **arguments) or a mapping with class_path and init_args, "
            f"got {shorten(repr(factory), 80)}: only these can be saved in a checkpoint"
        )
    return {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": _plain(arguments)}


def build(described: Mapping[str, Any], base: type, *sizes: Any) -> Any:
    """Builds what `describe` described; nested descriptions reach the constructor as callables.

    Args:
        described: the mapping.
        base: the class that the result must be an instance of.
        sizes: the positional arguments that only the caller knows.

    Raises:
        ValueError: if the class is not found, not allowed, or not a subclass of `base`.
    """
    return _resolve(described["class_path"], base)(*sizes, **_callables(described.get("init_args", {})))


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    for plain in (int, float, str):
        if isinstance(value, plain):
            return plain(value)  # NumPy's numbers are floats too, but cannot be loaded from a checkpoint
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping) and "class_path" not in value:
        return {str(key): _plain(item) for key, item in value.items()}
    return describe(value)


def _callables(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "class_path" in value:
            return partial(_resolve(value["class_path"], nn.Module), **_callables(value.get("init_args", {})))
        return {key: _callables(item) for key, item in value.items()}
    return [_callables(item) for item in value] if isinstance(value, list) else value


def _resolve(class_path: Any, base: type) -> type:
    if not isinstance(class_path, str):
        raise ValueError(f"class_path must be the import path of a class, got {class_path!r}")
    module_name, _, name = class_path.rpartition(".")
    if module_name not in sys.modules and module_name.partition(".")[0] not in _ALLOWED:
        raise ValueError(
            f"{class_path} is not imported: it belongs to a package that is not allowed to run code here. "
            f"If you trust it, import it first or pass --allow-import {module_name.partition('.')[0]}"
        )
    try:
        cls = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError):
        raise ValueError(f"there is no class {class_path}") from None
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise ValueError(f"{class_path} is not a subclass of {base.__name__}")
    return cls


def subclasses(base: type) -> dict[str, type]:
    """Every public, concrete subclass of a class that has been imported, by name."""
    found: dict[str, type] = {}
    cls: type
    for cls in type.__subclasses__(base):
        if not cls.__name__.startswith("_") and not getattr(cls, "__abstractmethods__", None):
            found[cls.__name__] = cls
        found |= subclasses(cls)
    return found
