"""What must be set before a command line is parsed, in every process that parses one."""

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from jsonargparse import Namespace, add_instantiator, set_parsing_settings

from forecastlab.adapters.jsonargparse import name_by
from forecastlab.errors import NO_ROOM, ConfigError, Note, our_error
from forecastlab.experiment.devices import rank
from forecastlab.experiment.held import with_held
from forecastlab.network import factory
from forecastlab.public_names import parts

Built = TypeVar("Built")

OF_LIGHTNING = (
    r".*isinstance\(treespec, LeafSpec\)",  # of torch
    r".*does not have many workers",  # windows are cut so fast that processes do not pay
    r"\s*``instantiate_classes`` was deprecated",  # of jsonargparse
    r"A `OneCycleLR` scheduler is using 'interval': 'epoch'",  # as every schedule here does
    r"\s*By default only one JsonargparseDeprecationWarning per type is shown",  # comes with the one above
)
"""Warnings about what Lightning itself calls."""
NOT_FOR_USERS = (
    "litlogger",  # an advertisement
    "GPU available: ",  # that one is there and is not used is another message
    "TPU available: ",
    "HPU available: ",
    "Seed set to ",  # the config says it
    "`Trainer.fit` stopped: ",  # the command line says why
    "Detected KeyboardInterrupt",  # the command line says what happened, and how to go on
    "Received SIGTERM",
)
"""Parts of messages of Lightning's that are left out."""
_SHOW = warnings.showwarning
_SAID: list[set[str]] = []
"""The notes that were printed within each block of `notes_once` that has begun."""


def prepare(allowed: Iterable[str] = ()) -> None:
    """Imports what short class names are looked up among, and lets class paths name only what is allowed.

    Those are the classes of the tables in `factory`, by their paths and not by their packages. A package that is
    allowed besides is also looked for in the working folder, but never before the installed ones.

    Args:
        allowed: further packages that a class path may import from.

    Raises:
        ConfigError: if one is not the name of a package.
    """
    for package in allowed:
        _allow(package)
    if factory.allowed_imports() and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    set_parsing_settings(
        import_path_denylist=["*"],
        import_path_allowlist=[
            *factory.known_paths([*factory.ROLES, *factory.TRAINER_ROLES]),
            *factory.allowed_imports(),
        ],
        validate_subclass_spec_in_any=True,
        instantiate_subclass_spec_in_any=False,
        config_read_mode_fsspec_enabled=False,  # Lightning switches it on: names of configs would be addresses
    )
    for name, module in parts().items():  # by the paths that configs had before the package itself had the names
        name_by(f"{module}.{name}", getattr(sys.modules[module], name))
    add_instantiator(_build, object)
    for message in OF_LIGHTNING:
        warnings.filterwarnings("ignore", message=message)
    for name in (
        "lightning.pytorch.utilities.rank_zero",
        "lightning.fabric.utilities.seed",
        "lightning.pytorch.trainer.connectors.signal_connector",
    ):
        logging.getLogger(name).addFilter(_is_for_users)
    warnings.simplefilter("default", Note)
    warnings.showwarning = _show
    threading.excepthook = _thread_failed


def _allow(package: str) -> None:
    if package.partition(".")[0] == "jsonargparse":
        raise ConfigError("--allow_import jsonargparse is not possible: it decides what may be imported")
    try:
        factory.allow_import(package)
    except ValueError as error:
        raise ConfigError(f"--allow_import: {error}") from None


def _build(class_type: type[Built], *args: Any, **arguments: Any) -> Built:
    """Builds a class that a config names, unless an argument of it names a class that nothing asks for.

    Raises:
        ConfigError: if an argument does: its parameter has no type, so nothing says what may be built there.
    """
    for name, value in arguments.items():
        if path := _left_over(value):
            raise ConfigError(
                f"{class_type.__name__} has an argument {name} of no certain type, for which {path} would be built: "
                "give numbers, text, lists or mappings without class_path"
            )
    return class_type(*args, **with_held(class_type, arguments))


def _left_over(value: Any) -> str | None:
    """The class path in a value that the parser left as it was, None if there is none."""
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, Mapping):
        if "class_path" in value:
            return str(value["class_path"])
        value = list(value.values())
    found = map(_left_over, value) if isinstance(value, list | tuple) else ()
    return next((path for path in found if path is not None), None)


def unwrapped(build: Callable[[], Built]) -> Built:
    """What a function builds with jsonargparse; an error of ours is raised as it was before that wrapped it.

    Args:
        build: the function, without arguments.
    """
    try:
        return build()
    except Exception as error:  # of any kind: what a constructor raises is wrapped in many
        ours = our_error(error)
        if ours is None or ours is error:
            raise
    raise ours  # behind the block, or what wraps it would be its context, and it the cause of that


def _show(message: Warning | str, category: type[Warning], *others: Any, **named: Any) -> None:
    """Prints what was decided about data or fits in one line, once for all devices; other warnings as Python does."""
    if not issubclass(category, Note):
        _SHOW(message, category, *others, **named)
        return
    said = _SAID[-1] if _SAID else set()
    if not rank() and str(message) not in said:
        said.add(str(message))
        print(f"forecastlab: note: {message}", file=sys.stderr)


@contextlib.contextmanager
def notes_once() -> Iterator[None]:
    """Prints each note once within the block, however often data are read there, as by each fold's baselines.

    Python's own "once" forgets what was said whenever a filter of warnings changes.
    """
    _SAID.append(set())
    try:
        yield
    finally:
        _SAID.pop()


def _is_for_users(record: logging.LogRecord) -> bool:
    return not any(part in record.getMessage() for part in NOT_FOR_USERS)


def _thread_failed(failure: Any, say: Callable[[Any], object] = threading.excepthook) -> None:
    """Leaves a disk that is full to the main thread, which meets it too: TensorBoard's would print a traceback."""
    if getattr(failure.exc_value, "errno", None) not in NO_ROOM:
        say(failure)
