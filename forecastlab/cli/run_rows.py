"""What is known of a run: a row of the table of runs, whatever kind of command made its folder."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from forecastlab.data.marks import OPTIMISTIC, SEEN
from forecastlab.errors import ConfigError, DataError, ForecastlabError
from forecastlab.evaluation.results import RESULTS, read_results
from forecastlab.experiment.config_reading import read_config
from forecastlab.runs.metrics_file import METRICS, metrics_table
from forecastlab.runs.run import CHECKPOINTS, CONFIG, TRIALS, Run
from forecastlab.text import counted


def row_of(run: Run, notes: list[str]) -> dict[str, Any]:
    """What is known of a run, by the name of its column, all test figures and its size in MB among it.

    A file that is missing or damaged leaves its columns empty.

    Args:
        run: which run.
        notes: takes a sentence about each damaged file.
    """
    row: dict[str, Any] = {"run": f"{run.experiment}/{run.version}", "state": "empty"}
    if run.begun:
        row["begun"] = f"{datetime.datetime.fromtimestamp(run.begun / 1e9):%Y-%m-%d %H:%M}"
    try:
        row |= _settings(run.folder / CONFIG)
    except ForecastlabError as error:
        notes.append(f"{error}")
    row["MB"] = size_of(run.folder) / 1e6
    row |= _work(run, row.pop("optimistic", False), notes)
    if run.is_worked_on():
        row["state"] = f"{row['state']}, running"
    return row


def size_of(folder: Path) -> int:
    """What the files below a folder take, in bytes; what is linked to lies elsewhere, and does not count."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _work(run: Run, optimistic: bool, notes: list[str]) -> dict[str, Any]:
    """What is known of the work that a run's folder is about, by its kind."""
    try:
        begun_with = run.settings()
    except DataError as error:
        notes.append(f"{error}")
        begun_with = None
    parts = sorted({path.parent.parent for path in run.folder.glob("*/fold_*/seed_*")})
    if isinstance(begun_with, dict) and "suite" in begun_with:
        return _benchmark(run.folder, begun_with, notes)
    if (run.folder / TRIALS).exists():
        return _study(run.folder / TRIALS, notes)
    if parts and not (run.folder / CONFIG).exists():
        trained = {path.parent.name for path in run.folder.glob("*/fold_*/seed_*")}
        return {"model": counted(len(parts), "model"), "state": counted(len(trained), "fold")}
    if (run.folder / RESULTS).exists() or any(run.folder.glob("fold_*/seed_*")):
        return _crossval(run.folder, optimistic, notes)
    return _training(run.folder, optimistic, notes)


def _benchmark(folder: Path, settings: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """What is known of a benchmark: its tasks have figures of their own, which are not averaged here."""
    results = _read(folder / RESULTS, _table, notes)
    tasks = 0 if results is None else results["task_name"].nunique() if "task_name" in results else 0
    return {
        "model": settings.get("recipe"),
        "data": settings.get("suite"),
        "state": f"{counted(tasks, 'task')} scored",
    }


def _study(path: Path, notes: list[str]) -> dict[str, Any]:
    """What is known of a study: how many trials have ended, and the lowest loss of those that were not pruned."""
    trials = _read(path, _table, notes)
    if trials is None or not {"state", "val/loss"} <= set(trials):
        return {"state": "begun"}
    complete = trials[trials["state"] == "complete"]
    return {"state": counted(len(trials), "trial"), "val/loss": complete["val/loss"].min() if len(complete) else None}


def _crossval(folder: Path, optimistic: bool, notes: list[str]) -> dict[str, Any]:
    """What is known of a cross-validation: the means over its folds and seeds, without the baselines."""
    results = _read(folder / RESULTS, read_results, notes)
    if results is None:
        begun = len({path.parent.name for path in folder.glob("fold_*/seed_*")})
        return {"state": f"{counted(begun, 'fold')} begun"} if begun else {}
    folds = results[results["seed"].notna()]
    figures = {str(name): folds[name].mean() for name in folds if str(name).startswith("test/")}
    return {**figures, "state": counted(folds["fold"].nunique(), "fold"), "note": _note(folds, optimistic)}


def _training(folder: Path, optimistic: bool, notes: list[str]) -> dict[str, Any]:
    """What is known of a training, and of the last test of it."""
    row: dict[str, Any] = {}
    metrics = _read(folder / METRICS, metrics_table, notes)
    if metrics is not None and len(metrics):
        row["state"] = "trained"
        row["epochs"] = int(metrics["epoch"].max()) + 1 if metrics["epoch"].notna().any() else None
        row["val/loss"] = metrics["val/loss"].min() if "val/loss" in metrics else None
        tested = metrics.dropna(subset="test/mae").tail(1) if "test/mae" in metrics else metrics.iloc[:0]
        for name in metrics:
            if str(name).startswith("test/") and metrics[name].notna().any():
                row[str(name)] = metrics[name].dropna().iloc[-1]
                row["state"] = "tested"
        row["note"] = _note(tested, optimistic)
    elif (folder / CHECKPOINTS).exists():  # without a log
        row["state"] = "trained"
    elif (folder / CONFIG).exists():
        row["state"] = "begun"
    return row


def _table(path: Path) -> pd.DataFrame:
    """A CSV file.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        table: pd.DataFrame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from None
    return table


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
