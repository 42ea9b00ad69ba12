"""Collects the folds of a cross-validation into results.csv and predictions.csv."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from forecastlab.errors import DataError
from forecastlab.evaluation.results import (
    EFFORT,
    METRICS,
    PREDICTION_COLUMNS,
    PREDICTIONS,
    RESULT_COLUMNS,
    RESULTS,
    UNITS,
    read_predictions,
)
from forecastlab.evaluation.scores import Evaluation
from forecastlab.runs.files import write_whole

RESULT = "result.json"
PARTS = {"fit": (*EFFORT, "val/loss"), "test": tuple(f"test/{metric}" for metric in METRICS)}
"""The parts of a fold's result, and the numbers that each has at least."""
FOLD_COLUMNS = tuple(name for name in PREDICTION_COLUMNS if name not in ("model", "fold", "seed"))


def read_result(folder: Path) -> dict[str, Any]:
    """What is known of a fold so far: the parts "fit" and "test" are there when they are done.

    A test counts only together with its predictions.csv; a link of this name leads to a forecast beyond the data.

    Raises:
        DataError: if the file is damaged.
    """
    path = folder / RESULT
    if not path.exists():
        return {}
    remedy = "delete it and run the command again: the fold goes on from its checkpoint, or is tested again"
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({str(error).splitlines()[0]}): {remedy}") from None
    whole = isinstance(result, dict) and all(_is_part(name, part) for name, part in result.items())
    if not whole or ("test" in result and "fit" not in result):
        raise DataError(f"{path} is damaged (it is not what a fold came to): {remedy}")
    if not (folder / PREDICTIONS).is_file() or (folder / PREDICTIONS).is_symlink():
        result.pop("test", None)
    return dict(result)


def _is_part(name: str, part: object) -> bool:
    """Whether a part of a fold's result has its numbers."""
    if name not in PARTS or not isinstance(part, dict) or not set(PARTS[name]) <= part.keys():
        return False
    return all(value is None or isinstance(value, int | float) for value in part.values())


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Keeps what is known of a fold; a process that is killed leaves the old file or the new one."""
    write_whole(folder / RESULT, json.dumps(result))


def gather(
    folder: Path,
    model: str,
    baselines: Sequence[tuple[str, int, Evaluation]] = (),
    units: pd.DataFrame | None = None,
) -> None:
    """Writes results.csv, predictions.csv and units.csv of a cross-validation from its finished folds.

    Args:
        folder: the run's folder, with fold_K/seed_S below it.
        model: what the network is called in the tables.
        baselines: name, fold and evaluation of what else is scored on the same rows.
        units: the units of scaled errors, as `units_table` gives them for each fold; None writes none.

    Raises:
        DataError: if a file of a fold is damaged.
    """
    results: list[dict[str, Any]] = []
    predictions: list[pd.DataFrame] = []
    for fold, seed, path in finished_folds(folder):
        result = read_result(path)
        results.append({"model": model, "fold": fold, "seed": seed, **result["fit"], **result["test"]})
        predictions.append(_read(path / PREDICTIONS).assign(model=model, fold=fold, seed=seed))
    for name, fold, evaluation in baselines:
        results.append({"model": name, "fold": fold, **evaluation.metrics})
        predictions.append(evaluation.predictions.assign(model=name, fold=fold, seed=None))
    tables = {
        RESULTS: _ordered(pd.DataFrame(results), RESULT_COLUMNS, "test/"),
        PREDICTIONS: _ordered(pd.concat(predictions), PREDICTION_COLUMNS, "forecast-"),
    }
    if units is not None:
        tables[UNITS] = units
    for name, table in tables.items():
        write_whole(folder / name, table.to_csv(index=False))


def _read(path: Path) -> pd.DataFrame:
    """The predictions of a fold; a series may be called 007, or NA."""
    try:
        table = read_predictions(path, FOLD_COLUMNS)
    except DataError as error:
        said = str(error).partition(": it was not written by")[0]
        raise DataError(f"{said}; delete {path} and run the command again: the fold is tested again") from None
    if table.empty:
        raise DataError(f"{path} has no rows; delete it and run the command again: the fold is tested again")
    return table


def _ordered(table: pd.DataFrame, columns: Sequence[str], further: str) -> pd.DataFrame:
    """A table with these columns first, and then whatever else begins with `further`: what only some models have."""
    others = [name for name in table.columns if name.startswith(further) and name not in columns]
    return table.reindex(columns=[*columns, *others]).astype({"seed": "Int64"})


def finished_folds(folder: Path) -> list[tuple[int, int, Path]]:
    """The folds of a run that are fitted and tested: number, seed and folder, in order."""
    found = []
    for path in folder.glob("fold_*/seed_*"):
        match = re.fullmatch(r"fold_(\d+)/seed_(\d+)", f"{path.parent.name}/{path.name}")
        if match and {"fit", "test"} <= read_result(path).keys():
            found.append((int(match.group(1)), int(match.group(2)), path))
    return sorted(found)
