"""One crossval run, read from its folder."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import yaml

from forecastlab.data.folds import Fold, walk_forward
from forecastlab.data.ozone import unit_of
from forecastlab.errors import ConfigError, DataError
from forecastlab.limits import read_yaml
from forecastlab.runs.metrics_file import metrics_table

RESULTS = "results.csv"
PREDICTIONS = "predictions.csv"
UNITS = "units.csv"
CONFIG = "config.yaml"

METRICS = ("mse_scaled", "mae", "rmse", "mase", "skill")
"""The test metrics, `test/...` in results.csv."""
INTERVALS = ("coverage", "winkler")
"""The test metrics of prediction intervals, which not every model has."""
EFFORT = ("best_epoch", "epochs", "seconds")
"""What a network's training took; empty for baselines."""

RESULT_COLUMNS = ("model", "fold", "seed", *EFFORT, "val/loss", *(f"test/{metric}" for metric in METRICS))
UNIT_COLUMNS = ("fold", "unique_id", "target", "variance", "seasonal_error", "seasonal_squared_error")
PREDICTION_COLUMNS = ("model", "fold", "seed", "unique_id", "target", "ds", "cutoff", "y", "forecast")
ROW = ("fold", "unique_id", "target", "cutoff", "ds")
"""What identifies a scored value."""


@dataclass(frozen=True, eq=False)
class CrossvalRun:
    """One run of `forecastlab crossval`: every fold and seed of one experiment, and the baselines on the same rows.

    Attributes:
        folder: the run's folder.
        experiment: name of the experiment.
        results: one row per model, fold and seed with the columns `RESULT_COLUMNS`; only those with finite metrics. A
            baseline has no seed.
        predictions: one row per forecast value of these, with the columns `PREDICTION_COLUMNS`; `ds` and `cutoff` are
            times, `y` and `forecast` in the target's unit.
        config: the config of the run.
        config_text: the same as written.
        notes: what a reader must know: folds that were not run, did not finish or diverged.
        units: one row per fold, series and target with the columns `UNIT_COLUMNS`; None of a run by a version that did
            not write them.
    """

    folder: Path
    experiment: str
    results: pd.DataFrame
    predictions: pd.DataFrame
    config: dict[str, Any]
    config_text: str
    notes: tuple[str, ...]
    units: pd.DataFrame | None = None

    @classmethod
    def load(cls, folder: str | Path) -> "CrossvalRun":
        """Reads and checks the files of a run.

        Args:
            folder: the run's folder, `lightning_logs/<experiment>/version_N`.

        Raises:
            DataError: if the folder is not that of a crossval run, or its files are damaged or contradict each other.
        """
        folder = Path(folder)
        absent = [name for name in (RESULTS, PREDICTIONS, CONFIG) if not (folder / name).is_file()]
        if absent:
            why = "no such folder" if not folder.is_dir() else f"it has no {', no '.join(absent)}"
            raise DataError(
                f"{folder} is not a finished crossval run: {why}; give the folder (lightning_logs/EXPERIMENT/"
                "version_N) or the experiment of a run of forecastlab crossval"
            )
        text, config = _read_config(folder / CONFIG)
        experiment = str(config.get("experiment") or folder.resolve().parent.name)
        results = read_results(folder / RESULTS)
        args = _init_args(config)
        notes = _unfinished(folder, results, len(args.get("cutoffs") or ()) or args.get("splits"))
        results = results[_finite(results)].reset_index(drop=True)
        if results.empty:
            raise DataError(f"{folder / RESULTS} has no finished fold: run forecastlab crossval again, it resumes")
        predictions = read_predictions(folder / PREDICTIONS)
        predictions = _scored(predictions, results, folder)
        _require_agreement(results, predictions, folder)
        units = _read_units(folder / UNITS, results) if (folder / UNITS).is_file() else None
        run = cls(folder, experiment, results, predictions, config, text, (), units)
        return replace(run, notes=tuple(f"{run.label}: {note}" for note in notes))

    @property
    def label(self) -> str:
        """The experiment, and the number of the run where its folder has one."""
        name = self.folder.resolve().name
        return f"{self.experiment}/{name}" if re.fullmatch(r"version_\d+", name) else self.experiment

    @property
    def networks(self) -> list[str]:
        """Names of the models that were trained with a seed."""
        return [str(name) for name in self.results.loc[self.results["seed"].notna(), "model"].unique()]

    @property
    def baselines(self) -> list[str]:
        """Names of the models that have no seed."""
        networks = self.networks
        return [str(name) for name in self.results["model"].unique() if name not in networks]

    @property
    def optimistic(self) -> bool:
        """Whether the networks' epochs were chosen on the test rows (`validation: test`, the paper's protocol)."""
        return _init_args(self.config).get("validation") == "test" or self._any("test/optimistic")

    @property
    def seen(self) -> bool:
        """Whether test rows had trained the networks (`crossval --allow_seen`)."""
        return self._any("test/seen")

    @property
    def targets(self) -> list[str]:
        """Names of the targets."""
        return [str(name) for name in self.predictions["target"].unique()]

    @property
    def unit(self) -> str:
        """Unit of the (first) target; empty if it is not known."""
        given = _init_args(self.config).get("unit")
        if given:
            return str(given)
        source = str(_data(self.config).get("class_path", "")).rpartition(".")[2]
        return unit_of(self.targets[0]) if source == "OzoneDataModule" else ""

    def _any(self, share: str) -> bool:
        return share in self.results and bool((self.results[share] > 0).any())

    def curves(self) -> dict[tuple[int, int], pd.DataFrame]:
        """The logged curves by fold and seed: `epoch`, `train/loss`, `val/loss` and whatever else was logged.

        Raises:
            DataError: if a file of curves is damaged.
        """
        found = {}
        for fold, seed in _folders(self.folder):
            path = self.folder / f"fold_{fold}" / f"seed_{seed}" / "metrics.csv"
            if path.is_file():
                curve = metrics_table(path)
                absent = {"train/loss", "val/loss"}.difference(curve.columns)
                if absent:
                    raise DataError(f"{path} has no column {', '.join(sorted(absent))}; delete it to do without curves")
                found[fold, seed] = curve
        return found

    def split(self) -> list[Fold] | None:
        """The walk-forward folds; None if the config alone does not say how many rows there are."""
        args = _init_args(self.config)
        if not isinstance(args.get("rows"), int) or args.get("reindex"):
            return None
        lookback = args.get("min_history") or args.get("lookback", 1)
        names = ("splits", "test_size", "gap", "horizon", "validation", "val_fraction")
        given = {name: args[name] for name in names if name in args}
        try:
            return [
                walk_forward(args["rows"], fold, first_target=lookback if isinstance(lookback, int) else 1, **given)
                for fold in range(1, int(given.get("splits", 5)) + 1)
            ]
        except (
            ConfigError,
            TypeError,
            ValueError,
        ):  # a data module of the user's own, whose arguments mean something else
            return None


def same_models(results: pd.DataFrame, predictions: pd.DataFrame) -> tuple[pd.Index, pd.Index]:
    """The (model, fold, seed) of each row of two tables, a missing seed as -1."""
    first, second = (
        pd.MultiIndex.from_arrays([table["model"], table["fold"], table["seed"].fillna(-1)])
        for table in (results, predictions)
    )
    return first, second


def _read_config(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        config = read_yaml(text, str(path))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"cannot read the config {path}: {(str(error).splitlines() or ['it is damaged'])[0]}") from None
    if not isinstance(config, dict):
        raise DataError(f"the config {path} is not a YAML file of keys and values")
    return text, config


def _data(config: dict[str, Any]) -> dict[str, Any]:
    data = config.get("data")
    return data if isinstance(data, dict) else {}


def _init_args(config: dict[str, Any]) -> dict[str, Any]:
    args = _data(config).get("init_args")
    return args if isinstance(args, dict) else {}


def _read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    text = {name: str for name in ("model", "unique_id", "target", "ds", "cutoff") if name in columns}
    try:
        table: pd.DataFrame = pd.read_csv(
            path, dtype=text, keep_default_na=False, na_values=["", "nan", "NaN"], low_memory=False
        )
    except (OSError, ValueError, OverflowError) as error:  # ValueError: no text, or no table
        raise DataError(f"cannot read {path}: {' '.join(str(error).split())[:200] or 'it is damaged'}") from None
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}: it was not written by forecastlab crossval, or by another "
            "version of it; run the crossval again"
        )
    return table


def _numeric(table: pd.DataFrame, columns: Sequence[str], path: Path) -> pd.DataFrame:
    """The table with columns of floats; what is no number is an error with its line."""
    table = table.copy()
    for name in columns:
        values = pd.to_numeric(table[name], errors="coerce")
        bad = values.isna() & table[name].notna()
        if bad.any():
            line = int(np.flatnonzero(bad)[0])
            raise DataError(f"{path}, line {line + 2}: {name} is {table[name].iloc[line]!r}, not a number")
        table[name] = values.astype("float64")
    return table


def _keys(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table with a whole number as fold, a whole number or nothing as seed, and a model in each row."""
    table = _numeric(table, ["fold", "seed"], path)
    wrong = table["model"].isna() | table["fold"].isna() | (table["fold"] % 1 != 0) | (table["seed"] % 1 > 0)
    if wrong.any():
        raise DataError(
            f"{path}, line {int(np.flatnonzero(wrong)[0]) + 2}: expected a model, the whole number of a fold and a "
            "whole or no seed"
        )
    return table.astype({"fold": "int64", "seed": "Int64"})


def read_results(path: Path) -> pd.DataFrame:
    """The results of a crossval: a row per model, fold and seed, with the columns `RESULT_COLUMNS`.

    Raises:
        DataError: if the file is damaged.
    """
    table = _read_csv(path, RESULT_COLUMNS)
    if table.empty:
        raise DataError(f"{path} has no rows: no fold has finished; run forecastlab crossval again, it resumes")
    table = _numeric(
        _keys(table, path), [name for name in RESULT_COLUMNS if name not in ("model", "fold", "seed")], path
    )
    twice = table.duplicated(["model", "fold", "seed"])
    if twice.any():
        row = table[twice].iloc[0]
        seed = "" if pd.isna(row["seed"]) else f", seed {row['seed']}"
        raise DataError(f"{path} has {row['model']}, fold {row['fold']}{seed} twice: remove the row that is wrong")
    return table


def read_predictions(path: Path, columns: Sequence[str] = PREDICTION_COLUMNS) -> pd.DataFrame:
    """The scored rows of a table of predictions; names are text, times are times and values are floats.

    Args:
        path: the file.
        columns: what it must have; "model", "fold" and "seed" together or not at all.

    Raises:
        DataError: if it is damaged.
    """
    table = _read_csv(path, columns)
    if "model" in columns:
        table = _keys(table, path)
    further = [name for name in table.columns if name.startswith("forecast-")]
    table = _numeric(table, ["y", "forecast", *further], path)
    for name in ("ds", "cutoff"):
        try:
            counted = len(table) and table[name].astype(str).str.fullmatch(r"-?\d+").all()  # rows without times
            table[name] = table[name].astype("int64") if counted else pd.to_datetime(table[name], format="ISO8601")
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}: {name} holds what is not a time: {str(error).splitlines()[0]}") from None
    return table[table["y"].notna()].reset_index(drop=True)


def _read_units(path: Path, results: pd.DataFrame) -> pd.DataFrame:
    table = _read_csv(path, UNIT_COLUMNS)
    table = _numeric(table, ["fold", *UNIT_COLUMNS[3:]], path).astype({"fold": "int64"})
    if missing := sorted(set(results["fold"]) - set(table["fold"])):
        raise DataError(
            f"{path} has no units of fold {missing[0]}, which {RESULTS} has: the files are not of the same run; run "
            "forecastlab crossval again"
        )
    return table


def _finite(results: pd.DataFrame) -> "pd.Series[bool]":
    """Whether the errors are finite; in units of training rows that are constant all are infinite.

    With several targets there is an error of each, such as `test/mae/load`, and none over all.
    """
    names = [name for name in results.columns if name.startswith(("test/rmse", "test/mae"))]
    errors = results[[name for name in names if not name.endswith("_median")]].dropna(axis=1, how="all")
    return cast("pd.Series[bool]", np.isfinite(errors).all(axis=1) & (errors.shape[1] > 0))


def _folders(folder: Path) -> list[tuple[int, int]]:
    """Fold and seed of every fold folder."""
    found = [
        (re.fullmatch(r"fold_(\d+)", path.parent.name), re.fullmatch(r"seed_(\d+)", path.name))
        for path in folder.glob("fold_*/seed_*")
    ]
    return sorted((int(fold[1]), int(seed[1])) for fold, seed in found if fold and seed)


def _unfinished(folder: Path, results: pd.DataFrame, splits: object) -> list[str]:
    """What of the run is missing, in sentences."""
    trained = results[results["seed"].notna()]
    done = set(zip(trained["fold"].tolist(), trained["seed"].tolist(), strict=True))
    folds, seeds = {fold for fold, _ in done}, {seed for _, seed in done}
    expected = {(fold, seed) for fold in folds for seed in seeds} | set(_folders(folder))
    notes = []
    if missing := sorted(expected - done):
        notes.append(f"unfinished, and left out: {_listed(missing)}")
    diverged = results[~_finite(results)]
    if len(diverged):
        notes.append(
            "without a finite error, and left out: "
            + ", ".join(
                f"{row['model']} in fold {row['fold']}" + ("" if pd.isna(row["seed"]) else f", seed {row['seed']}")
                for _, row in diverged.iterrows()
            )
        )
    if isinstance(splits, int):
        never = sorted(set(range(1, splits + 1)) - {fold for fold, _ in expected} - set(results["fold"]))
        if never:
            plural = "s" if len(never) > 1 else ""
            notes.append(f"fold{plural} {', '.join(map(str, never))} of {splits} not run")
    return notes


def _listed(pairs: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"fold {fold} seed {seed}" for fold, seed in pairs)


def _scored(predictions: pd.DataFrame, results: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The predictions of what has results; every result has its predictions, once per row."""
    wanted, found = same_models(results, predictions)
    bare = wanted.difference(found)
    if len(bare):
        model, fold, seed = bare[0]
        raise DataError(
            f"{folder / PREDICTIONS} has no predictions of {model}, fold {fold}{'' if seed < 0 else f', seed {seed}'}, "
            f"which {RESULTS} has: the files are not of the same run; run forecastlab crossval again"
        )
    kept = predictions[found.isin(wanted)].reset_index(drop=True)
    twice = kept.duplicated(["model", "seed", *ROW])
    if twice.any():
        row = kept[twice].iloc[0]
        raise DataError(f"{folder / PREDICTIONS} has {row['model']}, fold {row['fold']}, {row['ds']} twice")
    if not np.isfinite(kept["forecast"]).all():
        row = kept[~np.isfinite(kept["forecast"])].iloc[0]
        raise DataError(
            f"{folder / PREDICTIONS}: the forecast of {row['model']}, fold {row['fold']}, {row['ds']} is not finite, "
            f"though {RESULTS} has a finite error for it"
        )
    return kept


def _require_agreement(results: pd.DataFrame, predictions: pd.DataFrame, folder: Path) -> None:
    """The mean absolute errors of both files are the same: of each target the mean over its series."""
    ours, theirs = same_models(results, predictions)
    absolute = (predictions["forecast"] - predictions["y"]).abs()
    each = absolute.groupby([theirs, predictions["target"], predictions["unique_id"]]).mean()
    error = each.groupby(level=[0, 1]).mean().unstack(1)
    for target in error.columns:
        name = "test/mae" if len(error.columns) == 1 else f"test/mae/{target}"
        if name not in results:
            continue  # an earlier version's, which added up the targets
        found, stated = error[target].reindex(ours).to_numpy(), results[name].to_numpy()
        wrong = ~np.isclose(found, stated, rtol=1e-3, atol=1e-6)
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            row = results.iloc[at]
            raise DataError(
                f"{folder}: {RESULTS} gives {row['model']}, fold {row['fold']} a mean absolute error of "
                f"{stated[at]:.6g}, but its rows in {PREDICTIONS} have {found[at]:.6g}: the files are not of the same "
                "run, or of an earlier version, which averaged over all rows; run forecastlab crossval again"
            )
