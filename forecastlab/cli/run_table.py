"""`forecastlab runs`: the runs so far, newest first; `runs rm` deletes some."""

import argparse
import operator
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from forecastlab.cli.run_removal import remove
from forecastlab.cli.run_rows import row_of
from forecastlab.errors import ConfigError, did_you_mean
from forecastlab.runs.run import LOGS, find_runs
from forecastlab.text import aligned

COLUMNS = ("run", "begun", "model", "data", "state", "epochs", "val/loss", "test/mse_scaled", "test/mae", "MB", "note")
"""The columns that are shown; a figure that is sorted or chosen by is shown too."""
REMOVE = "rm"
MOST_NOTES = 8
"""Damaged files that are named."""
CONDITIONS: dict[str, Callable[[Any, Any], Any]] = {
    **{"<=": operator.le, ">=": operator.ge, "!=": operator.ne},
    **{"=": operator.eq, "<": operator.lt, ">": operator.gt},
}


def runs(args: Sequence[str]) -> None:
    """Prints a table of the runs, or deletes some.

    Args:
        args: the command line after the sub-command.

    Raises:
        ConfigError: for a column that no run has, a condition that is none, or a run that there is not.
    """
    if args[:1] == [REMOVE]:
        remove(args[1:])
        return
    options = parser().parse_args(list(args))
    found = find_runs(Path(options.root, LOGS), options.experiment)
    if not found:
        where = f" of {options.experiment}" if options.experiment else ""
        print(f"no runs{where} in {Path(options.root, LOGS)}")
        return
    notes: list[str] = []
    newest = sorted(found, key=lambda run: run.begun, reverse=True)
    if not options.sort and not options.where:
        newest = newest[: options.last]  # to read the files of all others takes time
    table = pd.DataFrame([row_of(run, notes) for run in newest])
    for condition in options.where:
        table = chosen(table, condition)
    matching = len(table) if options.where else len(found)
    if options.sort:
        column = options.sort.removeprefix("-")
        require_column(table, column)
        table = table.sort_values(column, ascending=column == options.sort, na_position="last", kind="stable")
    named = [options.sort.removeprefix("-") if options.sort else "", *(_parts(text)[0] for text in options.where)]
    columns = dict.fromkeys([*COLUMNS[:-2], *filter(None, named), *COLUMNS[-2:]])
    shown = table.head(options.last).reindex(columns=list(columns))
    shown = shown.loc[:, shown.notna().any()]
    if len(shown):
        print(*_lines(shown), sep="\n")
    else:
        print("no run is like that")
    if matching > options.last:
        rest = "others" if options.sort or options.where else "older ones"
        print(f"and {matching - options.last} {rest}: --last {matching}")
    more = [f"{len(notes) - MOST_NOTES} more files are damaged"] if len(notes) > MOST_NOTES else []
    for note in [*notes[:MOST_NOTES], *more]:
        print(f"forecastlab: {note}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="forecastlab runs",
        description="The runs so far, newest first: what was trained, how far, the figures, and the disk that they "
        "take. val/loss is the lowest of the epochs, or of the trials of a study; test figures are of the last test, "
        "and for a crossval the mean over its folds and seeds. forecastlab runs rm RUN ... deletes runs, with a "
        "question.",
    )
    parser.add_argument("experiment", nargs="?", help="name of one experiment; all without it")
    parser.add_argument("--trainer.default_root_dir", dest="root", default=".", help="folder that lightning_logs is in")
    parser.add_argument("--last", type=int, default=20, metavar="N", help="how many are shown, the first (20)")
    parser.add_argument(
        "--sort", metavar="COLUMN", help="lowest first by this column, such as test/mase; =-test/skill: highest first"
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="CONDITION",
        help="only runs such as model=GRU or 'test/mae<0.5'; several must all hold",
    )
    return parser


def _lines(table: pd.DataFrame) -> list[str]:
    """A table as text: words at the left of their columns, figures at the right."""
    right = [pd.api.types.is_numeric_dtype(table[name]) for name in table]
    cells = [
        [
            "" if pd.isna(value) else f"{value:.4g}" if number else str(value)
            for value, number in zip(row, right, strict=True)
        ]
        for row in table.itertuples(index=False)
    ]
    return aligned([list(map(str, table)), *cells], right)


def chosen(table: pd.DataFrame, condition: str) -> pd.DataFrame:
    """The runs that are as a condition says; one that has no such figure is not.

    Raises:
        ConfigError: for a condition that is none, or a column that no run has.
    """
    column, sign, text = _parts(condition)
    require_column(table, column)
    values = table[column]
    if pd.api.types.is_numeric_dtype(values):
        try:
            holds = CONDITIONS[sign](values, float(text))
        except ValueError:
            raise ConfigError(f"--where {condition}: expected a number, got {text!r}") from None
    else:
        holds = CONDITIONS[sign](values.astype(str), text)
    kept: pd.DataFrame = table[values.notna() & holds]
    return kept


def _parts(condition: str) -> tuple[str, str, str]:
    """The column, the sign and the value of a condition.

    Raises:
        ConfigError: if it has none.
    """
    match = re.fullmatch(r"([\w/.]+) *(<=|>=|!=|=|<|>) *(.+)", condition)
    if match is None:
        raise ConfigError(f"--where: expected a condition such as model=GRU or test/mae<0.5, got {condition!r}")
    return match.group(1), match.group(2), match.group(3)


def require_column(table: pd.DataFrame, column: str) -> None:
    """Raises ConfigError if no run has a figure or a word in some column."""
    known = [str(name) for name in table if table[name].notna().any()]
    if column not in known:
        raise ConfigError(
            f"no run has {column!r}{did_you_mean(column, known) or '.'} There are: {', '.join(known[:40])}"
        )
