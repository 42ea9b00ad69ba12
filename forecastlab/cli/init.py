"""`forecastlab init`: looks at a file and writes a config that trains on it."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from forecastlab.data.facts import as_text
from forecastlab.data.published import PUBLISHED, published_path
from forecastlab.data.survey import OpenQuestionError, survey
from forecastlab.errors import ConfigError, as_typed
from forecastlab.experiment.proposal import config_for
from forecastlab.runs.files import write_whole

ANSWERS = {
    "target": "column to predict, or several: load,price",
    "time_column": "column of the times, or several: [date, time]",
    "time_format": "how times are written, such as %%d/%%m/%%Y",
    "series_column": "column that tells the series apart, or several: [store, item]",
    "horizon": "steps that are forecast",
    "lookback": "rows that are read",
    "season_length": "rows in a season",
    "frequency": "step of the calendar, such as D or h; rows to count rows",
    "duplicates": "what becomes of rows of one time: first, last, mean or sum",
    "na_values": "what marks missing values, such as [-999]",
    "missing": "how missing values are treated: error, ffill, interpolate or mask",
    "decimal": "decimal mark",
    "thousands": "mark between thousands",
    "sep": "mark between cells",
    "encoding": "of the text",
    "sheet_name": "sheet of an Excel file",
}


def init(args: Sequence[str]) -> None:
    """Prints what a file holds, and writes a config.

    Args:
        args: the command line after the sub-command.

    Raises:
        ConfigError: if the config's file is there already, or the file leaves a question open and nobody can be asked.
    """
    options = parser().parse_args(args)
    answers = {name: _value(getattr(options, name)) for name in ANSWERS if getattr(options, name) is not None}
    if isinstance(answers.get("na_values"), int | float | str):
        answers["na_values"] = [answers["na_values"]]
    dataset = options.file if options.file in PUBLISHED else None
    path = Path(
        options.output or f"{'data' if os.path.isdir(options.file) else Path(options.file).name.split('.')[0]}.yaml"
    )
    if path.exists() and not options.force:
        raise ConfigError(f"{path} is there already: name another file with --output, or replace it with --force")
    source = options.file if dataset is None else str(published_path(dataset))
    seen = _asked(lambda: survey(source, answers, dataset), answers)
    text = config_for(seen, as_typed(options.file), answers)
    write_whole(path, text)
    made = [("config", str(path)), ("go on", f"forecastlab fit --config {as_typed(path)}")]
    print(as_text([*seen.facts, *made]))


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="forecastlab init",
        description="Looks at a file, folder or published dataset, says what it saw, and writes a config that trains. "
        "What the file does not tell is asked on a terminal; the options answer beforehand.",
        allow_abbrev=False,
    )
    parser.add_argument("file", help=f"file or folder, or one of {', '.join(PUBLISHED)}")
    parser.add_argument("--output", help="the config that is written (default: the file's name with .yaml)")
    parser.add_argument("--force", action="store_true", help="replace a config that is there already")
    for name, text in ANSWERS.items():
        parser.add_argument(f"--{name}", help=text)
    return parser


def _value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _asked(look: Callable[[], Any], answers: dict[str, Any]) -> Any:
    """Looks again with each answer that is asked for.

    Raises:
        OpenQuestionError: if nobody can be asked.
    """
    while True:
        try:
            return look()
        except OpenQuestionError as question:
            if not sys.stdin.isatty():
                raise
            print(question)
            answer = input(f"{question.option.replace('_', ' ')}: ").strip()
            if answer:
                answers[question.option] = [part.strip() for part in answer.split(",")] if "," in answer else answer
