"""Runs a sub-command: everything heavy is imported here."""

import logging
import sys
import warnings
from collections.abc import Callable, Sequence

from jsonargparse import set_parsing_settings

from forecastlab import factory
from forecastlab.cli.backbones import backbones
from forecastlab.cli.command_line import ForecastCLI
from forecastlab.cli.data import data
from forecastlab.cli.runs import values_of
from forecastlab.errors import ForecastlabError
from forecastlab.registry import registered_backbones


def run(args: Sequence[str]) -> int:
    """Runs a command line that begins with a sub-command; returns its exit status."""
    _quieten()
    args = _allow_imports(args)
    registered_backbones()  # short class names are looked up among what has been imported
    own: dict[str, Callable[[Sequence[str]], None]] = {"data": data, "backbones": backbones}
    try:
        if args[0] in own:
            own[args[0]](args[1:])
        else:
            ForecastCLI(args)
    except SystemExit as exit_:  # --help and --print_config
        return int(exit_.code or 0)
    except Exception as error:
        ours = _our_error(error)
        if ours is None:
            raise
        print(f"forecastlab: error: {ours}", file=sys.stderr)
        return 2
    return 0


def _our_error(error: BaseException | None) -> ForecastlabError | None:
    """The error of ours that this one is or was raised from: jsonargparse wraps what constructors raise."""
    while error is not None and not isinstance(error, ForecastlabError):
        error = error.__cause__
    return error


def _allow_imports(args: Sequence[str]) -> list[str]:
    """Takes --allow-import out of the command line, and lets class paths import only what is allowed."""
    for package in values_of(args, "--allow-import"):
        factory.allow_import(package)
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=list(factory.allowed_imports()))
    kept: list[str] = []
    skip = False
    for arg in args:
        if not skip and arg != "--allow-import" and not arg.startswith("--allow-import="):
            kept.append(arg)
        skip = arg == "--allow-import"
    return kept


def _quieten() -> None:
    """Silences what says nothing about the run."""
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")  # Lightning's own use of torch
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
        logging.getLogger(name).addFilter(lambda record: "litlogger" not in record.getMessage())
