"""`forecastlab runs`: the runs so far, newest first."""

import argparse
import datetime
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from forecastlab.data.seen import OPTIMISTIC, SEEN
from forecastlab.errors import ConfigError, ForecastlabError
from forecastlab.evaluation.results import RESULTS, read_results
from forecastlab.experiment.config_files import read_config
from forecastlab.runs.run import CHECKPOINTS, CONFIG, LOGS, Run, find_runs
from forecastlab.training.callbacks.metrics_file import metrics_table
from forecastlab.training.callbacks.run_logger import METRICS

COLUMNS = ("run", "begun", "model", "data", "state", "epochs", "val/loss", "test/mse_scaled", "test/mae", "note")
MOST_NOTES = 8
"""Damaged files that are named."""


def runs(args: Sequence[str]) -> None:
    """Prints a table of the runs.

    Args:
        args: the command line after the sub-command.
    """
    options = parser().parse_args(list(args))
    found = find_runs(Path(options.root, LOGS), options.experiment)
    if not found:
        where = f" of {options.experiment}" if options.experiment else ""
        print(f"no runs{where} in {Path(options.root, LOGS)}")
        return
    newest = sorted(found, key=lambda run: run.begun, reverse=True)[: options.last]
    notes: list[str] = []
    table = pd.DataFrame([_row(run, notes) for run in newest], columns=list(COLUMNS))
    shown = table.loc[:, table.notna().any()]
    print(shown.to_string(index=False, na_rep="", float_format="{:.4g}".format, justify="left"))
    if len(found) > len(newest):
        print(f"and {len(found) - len(newest)} older ones: --last {len(found)}")
    more = [f"{len(notes) - MOST_NOTES} more files are damaged"] if len(notes) > MOST_NOTES else []
    for note in [*notes[:MOST_NOTES], *more]:
        print(f"forecastlab: {note}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="forecastlab runs",
        description="The runs so far, newest first: what was trained, how far, and the figures. val/loss is the lowest "
        "of the epochs; test figures are of the last test, and for a crossval the mean over its folds and seeds.",
    )
    parser.add_argument("experiment", nargs="?", help="name of one experiment; all without it")
    parser.add_argument("--trainer.default_root_dir", dest="root", default=".", help="folder that holds lightning_logs")
    parser.add_argument("--last", type=int, default=20, metavar="N", help="how many are shown, the newest (20)")
    return parser


def _row(run: Run, notes: list[str]) -> dict[str, Any]:
    """What is known of a run; a file that is missing or damaged leaves its columns empty, and a damaged one a note."""
    row: dict[str, Any] = {"run": f"{run.experiment}/{run.version}", "state": "empty"}
    if run.begun:
        row["begun"] = f"{datetime.datetime.fromtimestamp(run.begun / 1e9):%Y-%m-%d %H:%M}"
    try:
        row |= _settings(run.folder / CONFIG)
    except ForecastlabError as error:
        notes.append(f"{error}")
    metrics = _read(run.folder / METRICS, metrics_table, notes)
    results = _read(run.folder / RESULTS, read_results, notes)
    if results is not None:
        folds = results[results["seed"].notna()]
        row["state"] = f"{folds['fold'].nunique()} folds"
        for name in ("test/mse_scaled", "test/mae"):
            row[name] = folds[name].mean()
        row["note"] = _note(folds, optimistic=row.pop("optimistic", False))
    elif metrics is not None and len(metrics):
        row["state"] = "trained"
        row["epochs"] = f"{int(metrics['epoch'].max()) + 1}" if metrics["epoch"].notna().any() else None
        row["val/loss"] = metrics["val/loss"].min() if "val/loss" in metrics else None
        for name in ("test/mse_scaled", "test/mae"):
            if name in metrics and metrics[name].notna().any():
                row[name] = metrics[name].dropna().iloc[-1]
                row["state"] = "tested"
        tested = metrics.dropna(subset="test/mae").tail(1) if "test/mae" in metrics else metrics.iloc[:0]
        row["note"] = _note(tested, optimistic=row.pop("optimistic", False))
    elif (run.folder / CHECKPOINTS).exists():  # without a log
        row["state"] = "trained"
    elif (run.folder / CONFIG).exists():
        row["state"] = "begun"
    return row


def _note(tested: pd.DataFrame, optimistic: bool) -> str | None:
    """What must stand by the figures of a run.

    Args:
        tested: its rows with test figures.
        optimistic: whether its config chooses the epoch on the test rows.
    """

    def some(share: str) -> bool:
        return share in tested and bool((tested[share] > 0).any())

    words = [SEEN] * some("test/seen") + [OPTIMISTIC] * (optimistic or some("test/optimistic"))
    return "; ".join(words) or None


def _settings(path: Path) -> dict[str, Any]:
    """Names of the network and of the data that a run's config holds."""
    if not path.exists():
        return {}
    content = read_config(str(path))
    try:
        data, model = content.get("data") or {}, content.get("model") or {}
        arguments = data.get("init_args") or {}
        source = arguments.get("dataset") or arguments.get("path") or _short(data)
        return {
            "model": _short(model.get("backbone")),
            "data": Path(str(source)).name if source else None,
            "optimistic": arguments.get("validation") == "test",
        }
    except AttributeError:  # the parts are not what they are called
        raise ConfigError(f"the config {path} is damaged: model or data hold no settings") from None


def _short(part: Any) -> str | None:
    """The class name of a part of a config."""
    name = part.get("class_path") if isinstance(part, dict) else part
    return str(name).rpartition(".")[2] if name else None


def _read(path: Path, read: Callable[[Path], pd.DataFrame], notes: list[str]) -> pd.DataFrame | None:
    if not path.exists():
        return None
    try:
        return read(path)
    except ForecastlabError as error:
        notes.append(f"{error}")
        return None
