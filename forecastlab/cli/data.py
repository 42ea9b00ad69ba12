"""`forecastlab data`: what the source holds."""

import contextlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jsonargparse import ArgumentParser
from matplotlib.figure import Figure

from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.ozone_datamodule import OzoneDataModule
from forecastlab.data.reading.counted import COUNTED, numbers_of
from forecastlab.data.recipe import Recipe
from forecastlab.data.season import season_of
from forecastlab.data.spark import spark
from forecastlab.data.table import Missing, Table, gaps
from forecastlab.data.tables import label_of
from forecastlab.errors import ConfigError, ReadingNote
from forecastlab.experiment.config_files import read_config
from forecastlab.experiment.data_part import data_module, data_parser
from forecastlab.experiment.options import take
from forecastlab.figures.drawing import png
from forecastlab.figures.source import Line, source_figure
from forecastlab.metrics.forecast_metrics import listed
from forecastlab.runs.files import write_whole

MOST = 10
"""Series, gaps and columns that are named."""
MOST_DRAWN = 8
"""Targets of series that are drawn."""

TREATED: dict[Missing, str] = {
    "error": "refused",
    "ffill": "filled forward",
    "interpolate": "filled forward, and interpolated once the next value is known",
    "mask": "marked for the network",
}


def data(args: Sequence[str]) -> None:
    """Prints rows, range, gaps, missing values and folds of a data source.

    Args:
        args: the command line after the sub-command; `--config` takes the `data` part of a config of `fit`, `--figure`
            a PNG file to draw it in.
    """
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
    """The options of the command but `--config`."""
    return data_parser(
        "forecastlab data",
        "What the source holds; --config takes a config of fit, whose data part is read, and --figure FILE.png a file "
        "to draw targets, gaps and folds in.",
    )


def describe(module: ForecastDataModule) -> str:
    """What a data module's source holds, as text."""
    parts = [
        *(_series(module), _columns(module), _ranges(module), _missing(module)),
        *(_season(module), _notes(module), _folds(module)),
    ]
    return "\n".join(line for part in parts for line in part)


def _series(module: ForecastDataModule) -> list[str]:
    """Names, rows and gaps."""
    tables, recipe = module.tables, module.recipe
    if len(tables) == 1:
        return [f"series      {tables[0].name}", *_rows(tables[0], recipe)]
    times = module.times[: -module.horizon]
    lines = [
        f"series      {len(tables)}, {sum(len(table.times) for table in tables)} rows on {len(times)} steps of the "
        f"calendar ({_span(times, recipe)}, frequency {_step(tables[0], recipe)})"
    ]
    for table in tables[:MOST]:
        lines += [f"  {table.name}", *(f"    {line}" for line in _rows(table, recipe))]
    return [*lines, f"  ... and {len(tables) - MOST} more"] if len(tables) > MOST else lines


def _rows(table: Table, recipe: Recipe) -> list[str]:
    """Rows of a series, and the steps of its calendar that have no value; no row unless it is regular."""
    rows = f"rows        {len(table.times)} ({_span(table.times, recipe)}, frequency {_step(table, recipe)})"
    lines = [
        f"line        {name}  {spark(table.values[name].where(table.observed[name]).to_numpy())}"
        for name in recipe.targets
    ]
    if recipe.slots:
        return [rows, *lines]
    holes = gaps(table.times[table.observed.any(axis=1)] if recipe.regular else table.times, table.frequency)
    what = "steps without any value" if recipe.regular else "missing steps"
    spans = [
        f"              {_day(hole['from'], recipe)} .. {_day(hole['to'], recipe)}"
        for _, hole in holes[:MOST].iterrows()
    ]
    return [
        rows,
        f"gaps        {len(holes)}, {holes['missing'].sum()} {what}",
        *spans,
        *([f"              ... and {len(holes) - MOST} more"] if len(holes) > MOST else []),
        *lines,
    ]


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


def _columns(module: ForecastDataModule) -> list[str]:
    """What the columns are, and how some are made."""
    tables, recipe = module.tables, module.recipe
    count = len(tables[0].values.columns) + len(recipe.static)
    lines = [f"columns     {count}: {len(module.features)} features, target {', '.join(module.targets)}"]
    for name, parts in recipe.derive.items():
        terms = " ".join(f"{'-' if factor < 0 else '+'} {_times(factor)}{source}" for source, factor in parts.items())
        lines.append(f"derived     {name} = {terms.removeprefix('+ ')}")
    if known := module.schema["known"]:
        ahead = min(len(table.ahead) for table in tables)
        steps = f"; the file holds {ahead} steps behind the last row" if recipe.known else ""
        lines.append(f"known       {', '.join(known)}{steps}")
    if recipe.static:
        lines.append(f"static      {', '.join(recipe.static)}")
    return lines


def _ranges(module: ForecastDataModule) -> list[str]:
    """The least, mean and largest observed value of targets and features."""
    lines = []
    for name in list(dict.fromkeys([*module.targets, *module.features]))[:MOST]:
        values = np.concatenate(
            [table.values[name].to_numpy()[table.observed[name].to_numpy()] for table in module.tables]
        )
        if len(values):
            lines.append(f"values      {name}: {values.min():g} .. {values.max():g}, mean {values.mean():g}")
    return lines


def _season(module: ForecastDataModule) -> list[str]:
    """The season that the data show, beside the one that metrics count by."""
    season = season_of(module.tables, module.recipe)
    found = f"{season} rows" if season > 1 else "none found"
    return [f"season      {found}; season_length: {module.season_length}"]


def _notes(module: ForecastDataModule) -> list[str]:
    return [f"read        {note}" for note in module.notes]


def _missing(module: ForecastDataModule) -> list[str]:
    """How many values are missing, and where most are."""
    missing = pd.concat([~table.observed for table in module.tables])
    counts = missing.sum()
    targets = ", ".join(f"{name}: {counts[name] or 'none'}" for name in module.targets)
    lines = [
        f"missing     {missing.to_numpy().sum()} values in {missing.any(axis=1).sum()} rows, "
        f"{TREATED[module.recipe.missing]}; {targets}"
    ]
    others = counts.drop(module.targets).sort_values(ascending=False, kind="stable")
    others = others[others > 0]
    if len(others):
        more = f" and {len(others) - MOST} more" if len(others) > MOST else ""
        lines.append(f"              {', '.join(f'{name}: {count}' for name, count in others[:MOST].items())}{more}")
    return lines


def _folds(module: ForecastDataModule) -> list[str]:
    """The rows of each fold, or why there are none.

    Raises:
        ConfigError: if no fold has any.
    """
    lines, errors = [f"folds       target rows, half-open: fit, validation ({module.validation}), test"], []
    for number in range(1, module.splits + 1):
        try:
            fold = module.ranges_of(number)
        except ConfigError as error:
            errors.append(error)
            lines.append(f"  {number}           none: {error}")
            continue
        ranges = ", ".join(f"{part.start}..{part.stop}" for part in (fold.fit, fold.validation, fold.test))
        since = f"test from {_day(module.times[fold.test.start], module.recipe)}"
        if module.fold_by == "series":
            since = "counted so that every series ends with the last row"
        lines.append(f"  {number}           {ranges}  ({since})")
        if len(module.tables) > 1:
            lines.append(f"              {_scored(module, number)}")
    if len(errors) == module.splits:
        raise errors[0]
    return lines


def _scored(module: ForecastDataModule, fold: int) -> str:
    """How many series and rows of a panel the test of a fold scores, and which series it does not."""
    counts = module.scored(fold)
    without = [table.name for table, count in zip(module.tables, counts, strict=True) if not count]
    names = f"; not scored, for they have no target there: {listed(without)}" if without else ""
    return f"scores {len(counts) - len(without)} of {len(counts)} series, {sum(counts)} rows{names}"


def _span(times: pd.DatetimeIndex, recipe: Recipe) -> str:
    return f"{_day(times[0], recipe)} .. {_day(times[-1], recipe)}"


def _step(table: Table, recipe: Recipe) -> str:
    if recipe.time_format == COUNTED:
        return table.frequency.removesuffix("s") or "1"
    return f"of rows, mostly {table.frequency}" if recipe.slots else table.frequency


def _day(time: pd.Timestamp, recipe: Recipe) -> str:
    if recipe.time_format == COUNTED:
        return label_of(time, recipe)
    return f"{time:%Y-%m-%d}" if time == time.normalize() else f"{time:%Y-%m-%d %H:%M:%S}".removesuffix(":00")


def _times(factor: float) -> str:
    return "" if abs(factor) == 1 else f"{abs(factor):g} "
