"""Factories as plain data, `class_path` and `init_args`, and the tables of classes that may be built.

A part of a model (backbone, decoder, loss, optimizer) is given as a class, as `functools.partial(cls, **arguments)`
(which is what the command line builds), or as the mapping that a checkpoint holds. `describe` turns each into the
mapping, `build` calls it.

A mapping may come from somebody else. So its `class_path` is looked up in the table of its role before anything is
imported. `ROLES` has the roles of the parts of a model and of its data, `TRAINER_ROLES` those of the arguments of
Lightning's trainer. A class of another package needs `allow_import`, or an import by the program itself.
"""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from textwrap import shorten
from typing import Any

from torch import nn

Described = dict[str, Any]

ROLES: dict[str, tuple[str, ...]] = {
    "forecastlab.backbones.base.Backbone": ("forecastlab.backbones", "forecastlab.hybrids"),
    "forecastlab.decoders.base.Decoder": ("forecastlab.decoders",),
    "forecastlab.losses.base.Loss": ("forecastlab.losses",),
    "forecastlab.penalties.Penalty": ("forecastlab.penalties",),
    "forecastlab.data.datamodule.ForecastDataModule": (
        "forecastlab.data.ozone_datamodule",
        "forecastlab.data.table_datamodule",
    ),
    "torch.optim.optimizer.Optimizer": ("torch.optim",),
    "torch.optim.lr_scheduler.LRScheduler": (
        "torch.optim.lr_scheduler",
        "torch.optim.swa_utils",
        "lightning.pytorch.cli",
    ),
}
"""For the base class of each role, the modules whose classes a file of somebody else may name in this role."""

TRAINER_ROLES: dict[str, tuple[str, ...]] = {
    "lightning.pytorch.callbacks.callback.Callback": ("lightning.pytorch.callbacks", "forecastlab.training.callbacks"),
    "lightning.pytorch.loggers.logger.Logger": ("lightning.pytorch.loggers",),
    "lightning.pytorch.profilers.profiler.Profiler": ("lightning.pytorch.profilers",),
    "lightning.pytorch.strategies.strategy.Strategy": ("lightning.pytorch.strategies",),
    "lightning.pytorch.accelerators.accelerator.Accelerator": ("lightning.pytorch.accelerators",),
    "lightning.pytorch.plugins.precision.precision.Precision": ("lightning.pytorch.plugins",),
    "lightning.fabric.plugins.environments.cluster_environment.ClusterEnvironment": (
        "lightning.pytorch.plugins.environments",
    ),
    "lightning.fabric.plugins.io.checkpoint_io.CheckpointIO": ("lightning.pytorch.plugins",),
    "lightning.pytorch.plugins.layer_sync.LayerSync": ("lightning.pytorch.plugins",),
}
"""The same for classes that a user's own config may name below `trainer`."""

BUILT_IN = ("forecastlab", "torch", "lightning")
"""Packages from which only the classes in the tables above may be built."""
_ALLOWED: list[str] = []


def allow_import(package: str) -> None:
    """Lets `class_path` name classes of another package. Building them runs the code of that package.

    Raises:
        ValueError: if `package` is not the name of a package.
    """
    if not all(part.isidentifier() for part in package.split(".")):
        raise ValueError(f"expected the name of a package, such as mypackage, got {package!r}")
    if package not in _ALLOWED:
        _ALLOWED.append(package)


def allowed_imports() -> tuple[str, ...]:
    """The packages from which a `class_path` may import, besides the classes of the tables."""
    return tuple(_ALLOWED)


def known_classes(base: type) -> Mapping[str, type]:
    """The classes that a file of somebody else may name in a role, by every path that names them.

    Args:
        base: the base class of the role.
    """
    return _table(f"{base.__module__}.{base.__qualname__}")


def known_paths(roles: Iterable[str]) -> list[str]:
    """Every path that names a class of these roles.

    Args:
        roles: paths of base classes, as `ROLES` and `TRAINER_ROLES` hold them.
    """
    return sorted({path for role in roles for path in _table(role)})


def describe(factory: Callable[..., Any] | Mapping[str, Any]) -> Described:
    """Maps a class, a partial of one, or a mapping to {"class_path": ..., "init_args": {...}}; nested ones too.

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
    """Builds the object of a description. The constructor gets nested descriptions as callables.

    Args:
        described: the mapping.
        base: the class of which the result must be an instance. Nested classes have the same role. Below a class of
            another package, they may also be networks of that package.
        sizes: the positional arguments that only the caller knows.

    Raises:
        ValueError: if the class is not found, not allowed, or not a subclass of `base`.
    """
    cls = find_class(described["class_path"], base)
    return cls(*sizes, **_callables(described.get("init_args", {}), base, _package(cls.__module__)))


def find_class(class_path: Any, base: type) -> type:
    """The class of a path, if it may have a role. A module is imported only if it is allowed.

    Args:
        class_path: the import path, from any file.
        base: the base class of the role.

    Raises:
        ValueError: if there is no such class, or if it is not allowed.
    """
    if not isinstance(class_path, str):
        raise ValueError(f"class_path must be the import path of a class, got {shorten(repr(class_path), 80)}")
    if known := known_classes(base).get(class_path):
        return known
    module_name, _, name = class_path.rpartition(".")
    module = sys.modules.get(module_name)
    if _is_allowed(class_path):
        try:
            module = importlib.import_module(module_name)
            cls = getattr(module, name)
        except (ImportError, AttributeError, ValueError):
            raise ValueError(f"there is no class {shorten(class_path, 80)}") from None
    elif _package(module_name) in BUILT_IN:
        raise ValueError(
            f"there is no {base.__name__} {shorten(class_path, 80)}: a class of {_package(module_name)} "
            "must be of this kind"
        )
    elif module is None:
        raise ValueError(
            f"{shorten(class_path, 80)} is not imported: it belongs to a package that is not allowed to run code here. "
            f"If you trust it, import it first or pass --allow_import {_package(module_name)}"
        )
    else:
        cls = vars(module).get(name)  # getattr could make a module import more
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise ValueError(f"{shorten(class_path, 80)} is not a subclass of {base.__name__}")
    return cls


def subclasses(base: type) -> dict[str, type]:
    """Every public, concrete subclass of a class that has been imported, by name."""
    classes: dict[str, type] = {}
    cls: type
    for cls in type.__subclasses__(base):
        if not cls.__name__.startswith("_") and not getattr(cls, "__abstractmethods__", None):
            classes[cls.__name__] = cls
        classes |= subclasses(cls)
    return classes


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    for plain in (int, float, str):
        if isinstance(value, plain):
            return plain(value)  # NumPy's floats are floats too, but a checkpoint with them cannot be loaded
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping) and "class_path" not in value:
        return {str(key): _plain(item) for key, item in value.items()}
    return describe(value)


def _callables(value: Any, base: type, package: str) -> Any:
    """Arguments whose descriptions are replaced by callables.

    Args:
        value: arguments as plain data.
        base: the base class of the role of the class with these arguments.
        package: the package of that class.
    """
    if isinstance(value, Mapping):
        if "class_path" in value:
            own = package not in BUILT_IN and _package(value["class_path"]) == package
            cls = find_class(value["class_path"], nn.Module if own else base)
            return partial(cls, **_callables(value.get("init_args", {}), base, package))
        return {key: _callables(item, base, package) for key, item in value.items()}
    return [_callables(item, base, package) for item in value] if isinstance(value, list) else value


def _package(path: Any) -> str:
    return str(path).partition(".")[0]


def _is_allowed(class_path: str) -> bool:
    return any(class_path.startswith(f"{package}.") for package in _ALLOWED)


@cache
def _table(role: str) -> Mapping[str, type]:
    """The classes of a role by path. Only the modules that hold them are imported.

    If the base class is not that of a role, the table is empty.
    """
    module_name, _, name = role.rpartition(".")
    places = {**ROLES, **TRAINER_ROLES}.get(role, ())
    classes: dict[str, type] = {}
    base: type = getattr(importlib.import_module(module_name), name) if places else object
    for module in (module for place in places for module in _modules(place)):
        for named, cls in inspect.getmembers(module, inspect.isclass):
            if issubclass(cls, base) and not named.startswith("_") and not inspect.isabstract(cls) and cls is not base:
                paths = [f"{module.__name__}.{named}", f"{cls.__module__}.{cls.__qualname__}", *_shorter(cls)]
                classes |= dict.fromkeys(paths, cls)
    return classes


def _shorter(cls: type) -> Iterable[str]:
    """The paths of a class in the packages around its module, such as torch.optim.Adam."""
    parts = cls.__module__.split(".")
    for length in range(1, len(parts)):
        package = ".".join(parts[:length])
        if getattr(sys.modules.get(package), cls.__name__, None) is cls:
            yield f"{package}.{cls.__name__}"


def _modules(name: str) -> Iterable[Any]:
    """A module; for a package of ours, also the modules in it."""
    module = importlib.import_module(name)
    if _package(name) != "forecastlab" or not hasattr(module, "__path__"):
        return [module]
    inner = [info.name for info in pkgutil.iter_modules(module.__path__) if not info.ispkg]
    return [module, *(importlib.import_module(f"{name}.{part}") for part in inner)]
