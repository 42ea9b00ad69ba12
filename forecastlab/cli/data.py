"""`forecastlab data`: what the source holds."""

import contextlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jsonargparse import ArgumentParser
from matplotlib.figure import Figure

from forecastlab.cli.help import asked
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.facts import Fact, as_text, day
from forecastlab.data.ozone_datamodule import OzoneDataModule
from forecastlab.data.reading.counted import COUNTED, numbers_of
from forecastlab.data.recipe import Recipe
from forecastlab.data.season import season_of
from forecastlab.errors import ConfigError, ReadingNote
from forecastlab.experiment.config_reading import read_config
from forecastlab.experiment.data_part import data_module, data_parser
from forecastlab.experiment.options import take
from forecastlab.figures.drawing import png
from forecastlab.figures.source import Line, source_figure
from forecastlab.metrics.forecast_metrics import listed
from forecastlab.runs.files import write_whole

MOST_DRAWN = 8
"""Targets of series that are drawn."""


def data(args: Sequence[str]) -> None:
    """Prints rows, range, gaps, missing values and folds of a data source.

    Args:
        args: the command line after the sub-command; `--config` takes the `data` part of a config of `fit`, `--figure`
            a PNG file to draw it in.
    """
    if asked(args) is not None:
        parser().print_help()
        return
    paths, rest = take(args, "--config", "-c")
    figures, rest = take(rest, "--figure")
    parts = [content["data"] for content in map(read_config, paths) if "data" in content]
    module = data_module(parts or [{"class_path": OzoneDataModule.__name__}], rest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReadingNote)  # they are part of what is printed
        print(describe(module))
        for path in figures:
            write_whole(Path(path), png(_figure(module)))
            print(f"figure      {path}")


def parser() -> ArgumentParser:
    """The options of the command."""
    options = data_parser("forecastlab data", "What the source holds: rows, range, gaps, missing values and folds.")
    options.add_argument("--config", "-c", metavar="FILE", help="a config of fit, or of its data part")
    options.add_argument("--figure", metavar="FILE", help="PNG file in which targets, gaps and folds are drawn")
    return options


def describe(module: ForecastDataModule) -> str:
    """What a data module's source holds, as text."""
    tables = module.tables  # reading them finds out the recipe, and makes the notes
    season = season_of(tables, module.recipe)
    found = f"{season} rows" if season > 1 else "none found"
    facts = [
        *(("read", note) for note in module.notes),
        *module.facts(),
        ("season", f"{found}; season_length: {module.season_length}"),
    ]
    return as_text([*facts, *_folds(module)])


def _figure(module: ForecastDataModule) -> Figure:
    """Targets of the first series over time, and the rows of the folds."""
    lines = []
    for table in module.tables:
        times = _shown_times(table.times, module.recipe)
        for name in module.targets:
            label = name if len(module.tables) == 1 else f"{table.name}: {name}"
            lines.append(Line(label, times, table.values[name].where(table.observed[name]).to_numpy()))
    axis = _shown_times(module.times[: -module.horizon], module.recipe)
    folds = {}
    for number in range(1, module.splits + 1):
        with contextlib.suppress(ConfigError):
            fold = module.ranges_of(number)
            parts = (fold.fit, fold.validation, fold.test)
            folds[f"{number}"] = [(axis[part.start], axis[part.stop - 1]) if part else None for part in parts]
    return source_figure(lines[:MOST_DRAWN], folds)


def _shown_times(times: pd.DatetimeIndex, recipe: Recipe) -> "pd.Index[Any]":
    return numbers_of(times) if recipe.time_format == COUNTED else times.tz_localize(None)


def _folds(module: ForecastDataModule) -> list[Fact]:
    """The rows of each fold, or why there are none.

    Raises:
        ConfigError: if no fold has any.
    """
    facts, errors = [("folds", f"target rows, half-open: fit, validation ({module.validation}), test")], []
    for number in range(1, module.splits + 1):
        try:
            fold = module.ranges_of(number)
        except ConfigError as error:
            errors.append(error)
            facts.append((f"  {number}", f"  none: {error}"))
            continue
        ranges = ", ".join(f"{part.start}..{part.stop}" for part in (fold.fit, fold.validation, fold.test))
        since = f"test from {day(module.times[fold.test.start], module.recipe)}"
        if module.fold_by == "series":
            since = "counted so that every series ends with the last row"
        facts.append((f"  {number}", f"  {ranges}  ({since})"))
        if len(module.tables) > 1:
            facts.append(("", f"  {_scored(module, number)}"))
    if len(errors) == module.splits:
        raise errors[0]
    return facts


def _scored(module: ForecastDataModule, fold: int) -> str:
    """How many series and rows of a panel the test of a fold scores, and which series it does not."""
    counts = module.scored(fold)
    without = [table.name for table, count in zip(module.tables, counts, strict=True) if not count]
    names = f"; not scored, for they have no target there: {listed(without)}" if without else ""
    return f"scores {len(counts) - len(without)} of {len(counts)} series, {sum(counts)} rows{names}"
