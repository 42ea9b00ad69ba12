"""The registry of backbones: every public class in `backbones` and `hybrids`, found by itself."""

import importlib
import inspect
import pkgutil

from forecastlab import backbones, hybrids
from forecastlab.backbones.base import Backbone


def registered_backbones() -> dict[str, type[Backbone]]:
    """Every backbone and hybrid of the package by class name, sorted.

    Raises:
        RuntimeError: if two classes share a name.
    """
    found: dict[str, type[Backbone]] = {}
    for package in (backbones, hybrids):
        for info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            for name, cls in inspect.getmembers(module, inspect.isclass):
                if not issubclass(cls, Backbone) or cls.__module__ != module.__name__:
                    continue
                if name.startswith("_") or not hasattr(cls, "source"):  # shared bases have no source
                    continue
                if name in found:
                    raise RuntimeError(f"two backbones are called {name}: {found[name].__module__}, {module.__name__}")
                found[name] = cls
    return dict(sorted(found.items()))
