"""What must be set before a command line is parsed, in every process that parses one."""

import importlib
import logging
import warnings
from collections.abc import Iterable

from jsonargparse import set_parsing_settings

from forecastlab import factory
from forecastlab.errors import ForecastlabError
from forecastlab.registry import registered_backbones

DATA_MODULES = ("forecastlab.data.ozone_datamodule",)
"""Where the data modules are that configs name."""


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
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")  # Lightning's own use of torch
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
        logging.getLogger(name).addFilter(lambda record: "litlogger" not in record.getMessage())  # an advertisement


def our_error(error: BaseException | None) -> ForecastlabError | None:
    """The error of ours that this one is or was raised from: jsonargparse wraps what constructors raise."""
    while error is not None and not isinstance(error, ForecastlabError):
        error = error.__cause__
    return error
