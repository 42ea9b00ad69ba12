"""Collects the folds of a cross-validation into results.csv and predictions.csv."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from forecastlab.evaluation.results import PREDICTION_COLUMNS, PREDICTIONS, RESULT_COLUMNS, RESULTS, UNITS
from forecastlab.evaluation.scores import Evaluation

RESULT = "result.json"


def read_result(folder: Path) -> dict[str, Any]:
    """What is known of a fold so far: the parts "fit" and "test" are there when they are done."""
    path = folder / RESULT
    result: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return result


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Keeps what is known of a fold; a process that is killed leaves the old file or the new one."""
    partial = folder / f".{RESULT}"
    partial.write_text(json.dumps(result))
    partial.replace(folder / RESULT)


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
        partial = folder / f".{name}"
        table.to_csv(partial, index=False)
        partial.replace(folder / name)


def _read(path: Path) -> pd.DataFrame:
    """The predictions of a fold; a series may be called 007, or NA."""
    names = {"unique_id": str, "target": str}
    return pd.read_csv(path, dtype=names, parse_dates=["ds", "cutoff"], keep_default_na=False, na_values=[""])


def _ordered(table: pd.DataFrame, columns: Sequence[str], further: str) -> pd.DataFrame:
    """A table with these columns first, and then whatever else begins with `further`: what only some models have."""
    others = [name for name in table.columns if name.startswith(further) and name not in columns]
    return table.reindex(columns=[*columns, *others]).astype({"seed": "Int64"})


def finished_folds(folder: Path) -> list[tuple[int, int, Path]]:
    """The folds of a run that are fitted and tested: number, seed and folder, in order."""
    found = []
    for path in folder.glob("fold_*/seed_*"):
        match = re.fullmatch(r"fold_(\d+)/seed_(\d+)", f"{path.parent.name}/{path.name}")
        if match and "test" in read_result(path):
            found.append((int(match.group(1)), int(match.group(2)), path))
    return sorted(found)
