"""What must be set before a command line is parsed, in every process that parses one."""

import errno
import importlib
import logging
import threading
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from jsonargparse import set_parsing_settings

from forecastlab import factory
from forecastlab.errors import DataError, ForecastlabError
from forecastlab.registry import registered_backbones

DATA_MODULES = ("forecastlab.data.ozone_datamodule", "forecastlab.data.table_datamodule")
"""Where the data modules are that configs name."""
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
    "Detected KeyboardInterrupt",  # the command line says what happened, and how to go on
    "Received SIGTERM",
)
"""Parts of messages of Lightning's that are left out."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
"""What the system says when a file cannot be written for want of room or of leave."""


def prepare(allowed: Iterable[str] = ()) -> None:
    """Imports what short class names are looked up among, and lets class paths import only what is allowed.

    Args:
        allowed: further packages that a class path may import from.
    """
    for package in allowed:
        factory.allow_import(package)
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=list(factory.allowed_imports()))
    registered_backbones()
    for module in DATA_MODULES:
        importlib.import_module(module)
    for message in OF_LIGHTNING:
        warnings.filterwarnings("ignore", message=message)
    for name in (
        "lightning.pytorch.utilities.rank_zero",
        "lightning.fabric.utilities.seed",
        "lightning.pytorch.trainer.connectors.signal_connector",
    ):
        logging.getLogger(name).addFilter(_is_for_users)
    threading.excepthook = _thread_failed


def our_error(error: BaseException | None) -> ForecastlabError | None:
    """The error of ours that this one is or was raised from: jsonargparse wraps what constructors raise.

    A disk that is full, or a file that may not be written, is the user's to put right as well.
    """
    while error is not None and not isinstance(error, ForecastlabError):
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            where = f" {error.filename}" if error.filename else ""
            return DataError(f"cannot read or write{where}: {error.strerror}")
        error = error.__cause__
    return error


def _is_for_users(record: logging.LogRecord) -> bool:
    return not any(part in record.getMessage() for part in NOT_FOR_USERS)


def _thread_failed(failure: Any, say: Callable[[Any], object] = threading.excepthook) -> None:
    """Leaves a disk that is full to the main thread, which meets it too: TensorBoard's would print a traceback."""
    if getattr(failure.exc_value, "errno", None) not in NO_ROOM:
        say(failure)
