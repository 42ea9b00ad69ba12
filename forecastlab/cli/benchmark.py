"""`forecastlab benchmark`: a recipe on public tasks, beside published figures."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from forecastlab.benchmarks.benchmark import LOG
from forecastlab.benchmarks.benchmark import benchmark as score_suite
from forecastlab.benchmarks.recipes import RECIPES
from forecastlab.benchmarks.suites import SUITES
from forecastlab.cli.crossval import numbers
from forecastlab.errors import ConfigError
from forecastlab.runs.engines.named import HELP as ENGINE_HELP


def benchmark(args: Sequence[str]) -> int:
    """Trains and scores the tasks of a suite, and prints them beside published figures.

    Args:
        args: the command line after the sub-command.

    Returns:
        0, or 1 if a task failed.
    """
    options, rest = parser().parse_known_args(args)
    done = score_suite(settings=_settings(rest), **vars(options))
    if len(done.results):
        print(done)
    for name, error in done.failed.items():
        print(f"not scored {name}: {error}")
    print(f"run        {os.path.relpath(done.folder)}")
    return 1 if done.failed else 0


def parser() -> argparse.ArgumentParser:
    """The options of the command, named as the arguments of `forecastlab.benchmarks.benchmark.benchmark`."""
    parser = argparse.ArgumentParser(
        prog="forecastlab benchmark",
        description="Trains a recipe on each task of a public suite and scores it by the suite's own protocol; takes "
        "values of the config besides, such as --model.backbone GRU. Run again, it skips what is finished and resumes "
        "what is not.",
        allow_abbrev=False,
    )
    parser.add_argument("suite", choices=list(SUITES), help="which suite")
    parser.add_argument(
        "--recipe",
        default="auto",
        help=f"what makes the config of a task: {', '.join(RECIPES)}, or package.module.function of a package named by "
        "--allow_import (default: %(default)s)",
    )
    parser.add_argument("--tasks", type=_names, help="tasks to score, separated by commas (default: all)")
    parser.add_argument("--seeds", type=numbers, default=[0], help="seeds whose forecasts are averaged, such as 0,1,2")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, one thread each")
    parser.add_argument("--engine", default="local", help=ENGINE_HELP)
    parser.add_argument(
        "--data.path",
        dest="data",
        type=Path,
        metavar="FOLDER",
        help="folder of the published files (default: found or downloaded)",
    )
    parser.add_argument(
        "--log", type=Path, default=LOG, help="CSV file to which each scoring adds a line (default: %(default)s)"
    )
    parser.add_argument("--new", action="store_true", help="begin a new run instead of going on with an equal one")
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _settings(rest: Sequence[str]) -> dict[str, Any]:
    """Values of the config by dotted name, from `--name value` and `--name=value`.

    Raises:
        ConfigError: for anything else.
    """
    settings: dict[str, Any] = {}
    words = list(rest)
    while words:
        name, equals, value = words.pop(0).partition("=")
        if not name.startswith("--") or "." not in name:
            raise ConfigError(
                f"benchmark has no option {name}; it takes its own, and values of a config by dotted name"
            )
        if not equals:
            if not words:
                raise ConfigError(f"{name}: expected a value")
            value = words.pop(0)
        try:
            settings[name.removeprefix("--")] = yaml.safe_load(value)
        except yaml.YAMLError:
            settings[name.removeprefix("--")] = value
    return settings
