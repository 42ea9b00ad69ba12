"""The registry of backbones: it finds every public class in `backbones` and `hybrids`."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

from forecastlab import backbones, hybrids
from forecastlab.backbones.base import Backbone


def registered_backbones() -> dict[str, type[Backbone]]:
    """Every backbone and hybrid of the package by class name, sorted.

    A class is registered if it is public and has a `source`. Shared base classes have none.

    Raises:
        RuntimeError: if two classes share a name.
    """
    classes: dict[str, type[Backbone]] = {}
    for name, cls in _public_classes():
        if not hasattr(cls, "source"):
            continue
        if name in classes:
            raise RuntimeError(f"two backbones are called {name}: {classes[name].__module__}, {cls.__module__}")
        classes[name] = cls
    return dict(sorted(classes.items()))


def _public_classes() -> Iterator[tuple[str, type[Backbone]]]:
    for package in (backbones, hybrids):
        for info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            for name, cls in inspect.getmembers(module, inspect.isclass):
                if issubclass(cls, Backbone) and cls.__module__ == module.__name__ and not name.startswith("_"):
                    yield name, cls
