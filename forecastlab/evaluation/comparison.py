"""Several crossval runs side by side, on the test rows that all of them forecast."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.errors import ConfigError, DataError
from forecastlab.evaluation.results import EFFORT, INTERVALS, METRICS, ROW, CrossvalRun
from forecastlab.evaluation.units import SERIES, derived_units, macro_scores, stated_units, unit_notes

PERSISTENCE = "persistence"

Metric = Literal["mse_scaled", "mae"]


@dataclass(frozen=True, eq=False)
class Model:
    """A row of the comparison.

    Attributes:
        name: distinct among all models compared.
        run: where its results are.
        column: its name in that run's files.
        network: whether it was trained with a seed; else it is a baseline.
        optimistic: whether its epochs were chosen on the test rows.
        seeds: the seeds it was trained with; empty for a baseline.
    """

    name: str
    run: CrossvalRun
    column: str
    network: bool
    optimistic: bool
    seeds: tuple[int, ...]

    @property
    def seen(self) -> bool:
        """Whether test rows had trained it."""
        return self.network and self.run.seen


@dataclass(frozen=True, eq=False)
class Comparison:
    """Models of one or more crossval runs, each on the same folds and the same rows.

    Attributes:
        runs: the runs compared.
        models: networks in the order of the runs, then baselines, each once.
        folds: the folds that every model has.
        scores: one row per model, fold and seed: `model, fold, seed`, the metrics and what training took.
        rows: one row per model, seed and scored value: `model, seed`, the keys `ROW`, `step`, `y`, `forecast`.
        units: by (fold, unique_id, target) the `variance` that squared errors are divided by in `mse_scaled`, that of
            the target's training rows, and the `seasonal_error` of MASE; 0 or NaN where there is none.
        notes: what a reader must know, in sentences.
    """

    runs: tuple[CrossvalRun, ...]
    models: tuple[Model, ...]
    folds: tuple[int, ...]
    scores: pd.DataFrame
    rows: pd.DataFrame
    units: pd.DataFrame
    notes: tuple[str, ...]

    @classmethod
    def of(cls, runs: Sequence[CrossvalRun]) -> "Comparison":
        """Puts runs side by side.

        Where their test rows differ, all are scored anew on the rows they share. A baseline that gives the same
        forecasts in several runs appears once.

        Raises:
            DataError: if the runs share no fold or no row, or disagree about the truth.
        """
        runs = tuple({run.folder.resolve(): run for run in runs}.values())
        if not runs:
            raise DataError("nothing to compare: give at least one crossval run")
        notes = [note for run in runs for note in run.notes]
        models = _models(runs)
        folds = _common_folds(models, notes)
        rows = _common_rows(models, folds, notes)
        units = _units(models, folds, rows, notes)
        models, rows = _once(models, rows)
        scores = _scores(models, rows, units)
        notes += _uneven(models, scores)
        order = {model.name: number for number, model in enumerate(models)}
        rows = rows.sort_values(["fold", "unique_id", "target", "cutoff", "ds"], kind="stable")
        rows = rows.sort_values("model", key=lambda names: names.map(order), kind="stable", ignore_index=True)
        rows.insert(0, "step", _steps(rows))
        return cls(runs, tuple(models), folds, scores, rows, units, tuple(dict.fromkeys(notes)))

    @property
    def targets(self) -> list[str]:
        """Names of the targets."""
        return [str(name) for name in self.rows["target"].unique()]

    @property
    def unit(self) -> str:
        """Unit of the targets; empty if it is not known or there are several."""
        return self.runs[0].unit if len(self.targets) == 1 else ""

    @property
    def optimistic(self) -> bool:
        """Whether the epochs of any model were chosen on the test rows."""
        return any(model.optimistic for model in self.models)

    def model(self, name: str) -> Model:
        """The model of that name."""
        return next(model for model in self.models if model.name == name)

    def by_fold(self, metric: str) -> pd.DataFrame:
        """A metric averaged over the seeds: (models, folds)."""
        table = self.scores.pivot_table(metric, "model", "fold", aggfunc="mean", dropna=False)
        return table.reindex(index=[model.name for model in self.models], columns=list(self.folds))

    def ranking(self, metric: Metric) -> list[str]:
        """The models' names, lowest mean error over the folds first.

        Raises:
            ConfigError: for "mae" of several targets, whose units are not added up.
        """
        if metric == "mae" and len(self.targets) > 1:
            raise ConfigError(
                f"the mean absolute errors of {', '.join(self.targets)} are in the unit of each: models of several "
                "targets are ranked by mse_scaled"
            )
        return [str(name) for name in self.by_fold(metric).mean(axis=1).sort_values(kind="stable").index]

    def value_errors(self, metric: Metric) -> pd.DataFrame:
        """The error of every model on every scored value, averaged over its seeds: (rows, models).

        The index holds the keys `ROW` and `step`. Of `mse_scaled` it is the squared error divided by the training
        variance, without the series that have none; of `mae` the absolute error in the target's unit.
        """
        rows = self.rows
        if metric == "mse_scaled":
            variance = self.units["variance"].reindex(pd.MultiIndex.from_frame(rows[list(SERIES)])).to_numpy()
            if (variance > 0).any():
                rows, variance = rows[variance > 0], variance[variance > 0]
            else:
                variance = np.ones(len(rows))
            error = (rows["forecast"] - rows["y"]) ** 2 / variance
        else:
            error = (rows["forecast"] - rows["y"]).abs()
        keys = [rows[name] for name in (*ROW, "step", "model")]
        table = error.groupby(keys).mean().unstack("model")
        return table[[model.name for model in self.models]].sort_index(level=["fold", "cutoff", "ds"])

    def errors(self, metric: Metric) -> pd.DataFrame:
        """`value_errors`, weighted so that their mean over the rows of a fold is the table's: (rows, models).

        There every series of every target counts the same, however many rows it has; of one series all weights are 1.
        """
        errors = self.value_errors(metric)
        return errors.mul(series_weights(errors.index), axis=0)


def series_weights(index: pd.Index) -> "pd.Series[float]":
    """Weights of scored values, so that in each fold every series of every target counts the same; their mean is 1.

    Args:
        index: of the values, with the levels `SERIES`.
    """
    ones = pd.Series(1.0, index)
    count = ones.groupby(level=list(SERIES)).transform("size")
    series = (1 / count).groupby(level="fold").transform("sum")
    return ones.groupby(level="fold").transform("size") / (count * series)


def _models(runs: Sequence[CrossvalRun]) -> list[Model]:
    """Every model of every run; networks get distinct names, baselines keep theirs."""
    networks = [(run, column) for run in runs for column in run.networks]
    baselines = [(run, column) for run in runs for column in run.baselines]
    taken = Counter([column for _, column in networks] + list({column for _, column in baselines}))
    names = [column if taken[column] == 1 else f"{column}/{run.folder.resolve().name}" for run, column in networks]
    again = Counter([*names, *{column for _, column in baselines}])
    names = [
        name if again[name] == 1 else f"{column} ({run.folder})"
        for name, (run, column) in zip(names, networks, strict=True)
    ]
    seeds = [run.results.loc[run.results["model"] == column, "seed"].dropna().unique() for run, column in networks]
    return [
        *(
            Model(name, run, column, True, run.optimistic, tuple(sorted(int(seed) for seed in of_model)))
            for name, (run, column), of_model in zip(names, networks, seeds, strict=True)
        ),
        *(Model(column, run, column, False, False, ()) for run, column in baselines),
    ]


def _results(model: Model) -> pd.DataFrame:
    return model.run.results[model.run.results["model"] == model.column]


def _forecasts(model: Model) -> pd.DataFrame:
    return model.run.predictions[model.run.predictions["model"] == model.column]


def _common_folds(models: Sequence[Model], notes: list[str]) -> tuple[int, ...]:
    have = {model: set(_results(model)["fold"].tolist()) for model in models}
    common, every = set.intersection(*have.values()), set.union(*have.values())
    if not common:
        listed = "; ".join(
            f"{model.name} of {model.run.label}: {', '.join(map(str, sorted(found)))}" for model, found in have.items()
        )
        raise DataError(f"the runs have no fold in common ({listed}): run the missing ones with crossval --folds")
    for fold in sorted(every - common):
        without = ", ".join(dict.fromkeys(model.name for model in models if fold not in have[model]))
        notes.append(f"fold {fold} is left out of the comparison: {without} did not finish it")
    return tuple(sorted(common))


def _common_rows(models: Sequence[Model], folds: Sequence[int], notes: list[str]) -> pd.DataFrame:
    """The forecasts of all models on the rows that all of them have; `model` is the number of the model."""
    parts = [
        _forecasts(model).assign(model=number)[["model", "seed", *ROW, "y", "forecast"]]
        for number, model in enumerate(models)
    ]
    rows = pd.concat(parts, ignore_index=True)
    rows = rows[rows["fold"].isin(folds)]
    complete = rows[["model", "seed", "fold"]].drop_duplicates()["fold"].value_counts()
    count = rows.groupby([*ROW], sort=False)["y"].transform("size")
    kept = rows[count == rows["fold"].map(complete)]
    for fold in folds:
        of_fold = rows[rows["fold"] == fold]
        each = of_fold.groupby(["model", "seed"], dropna=False).size()
        shared = int((kept["fold"] == fold).sum()) // len(each)
        if not shared:
            spans = "; ".join(
                f"{models[cast(int, number)].run.label}: {part['target'].iloc[0]} of {part['unique_id'].iloc[0]}, "
                f"{part['ds'].min():%Y-%m-%d} .. {part['ds'].max():%Y-%m-%d}"
                for number, part in of_fold.groupby("model")
            )
            spans = "; ".join(dict.fromkeys(spans.split("; ")))
            raise DataError(f"the runs have no test row of fold {fold} in common and cannot be compared ({spans})")
        if shared < each.max():
            notes.append(
                f"the test rows of fold {fold} differ between the models: all are scored on the {shared} rows they "
                f"have in common (of up to {each.max()})"
            )
    truth = kept.groupby([*ROW])["y"]
    low, high = truth.min(), truth.max()
    if not np.allclose(low, high, rtol=1e-6, atol=0):  # older runs hold it in single precision
        at = int((high - low).argmax())
        _, _, target, _, ds = truth.size().index[at]
        raise DataError(
            f"the runs disagree about the truth ({target} on {ds} is {low.iloc[at]:.9g} in one, {high.iloc[at]:.9g} in "
            "another): they were made with different data and cannot be compared"
        )
    return kept


def _units(models: Sequence[Model], folds: Sequence[int], rows: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """The units of every fold, series and target: those of the first run that has any; the others are put into them."""
    runs = list(dict.fromkeys(model.run for model in models))
    found = [stated_units(run) if run.units is not None else derived_units(run) for run in runs]
    known = [number for number, units in enumerate(found) if "derived" not in units and (units["variance"] > 0).any()]
    first = known[0] if known else 0
    units = found[first][found[first].index.get_level_values("fold").isin(folds)]
    for fold in folds:
        of_runs = [found[number].xs(fold, level="fold")["variance"] for number in known]
        if any(not np.allclose(of_runs[0], other.reindex(of_runs[0].index), rtol=1e-3) for other in of_runs[1:]):
            notes.append(
                f"the runs trained fold {fold} on different rows: their scaled errors have different units, and are "
                f"all put into that of {runs[first].label}"
            )
    notes += unit_notes(units, rows)
    return units


def _once(models: list[Model], rows: pd.DataFrame) -> tuple[list[Model], pd.DataFrame]:
    """Keeps one of the baselines that forecast the same; others of one name get distinct names."""
    kept = [(number, model) for number, model in enumerate(models) if model.network]
    for number, model in enumerate(models):
        if model.network:
            continue
        same_name = [(other, of_kept) for other, of_kept in kept if of_kept.column == model.column]
        twins = [other for other, of_kept in same_name if not of_kept.network]
        if any(_same_forecasts(rows, number, other) for other in twins):
            continue
        kept.append((number, replace(model, name=f"{model.column} ({model.run.label})") if twins else model))
    names = {number: model.name for number, model in kept}
    rows = rows[rows["model"].isin(names)]
    return [model for _, model in kept], rows.assign(model=rows["model"].map(names))


def _same_forecasts(rows: pd.DataFrame, first: int, second: int) -> bool:
    one, other = (
        rows[rows["model"] == number].sort_values([*ROW])["forecast"].to_numpy() for number in (first, second)
    )
    return bool(np.allclose(one, other, rtol=1e-5, atol=1e-6))


def _scores(models: Sequence[Model], rows: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """The metrics of every model, fold and seed: the run's own, or computed anew where rows or units are others."""
    folds = units.index.unique("fold")
    persistence = rows[rows["model"] == PERSISTENCE]
    found = []
    for model in models:
        own, shared = _forecasts(model), rows[rows["model"] == model.name]
        for _, result in _results(model).iterrows():
            fold, seed = int(result["fold"]), None if pd.isna(result["seed"]) else int(result["seed"])
            if fold not in folds:
                continue
            part = _of(shared, fold, seed)
            scores = {metric: float(result[f"test/{metric}"]) for metric in METRICS}
            intervals = {metric: float(result.get(f"test/{metric}", np.nan)) for metric in INTERVALS}
            of_fold = cast(pd.DataFrame, units.xs(fold, level="fold"))
            anew = macro_scores(part, of_fold, persistence[persistence["fold"] == fold])
            scaled = anew["mse_scaled"]
            if len(part) < len(_of(own, fold, seed)):
                scores, intervals = anew, dict.fromkeys(INTERVALS, np.nan)
            elif np.isfinite(scaled) and not np.isclose(scaled, scores["mse_scaled"], rtol=1e-3):
                scores["mse_scaled"] = scaled
            effort = {name: float(result[name]) for name in EFFORT}
            found.append({"model": model.name, "fold": fold, "seed": seed, **scores, **intervals, **effort})
    return pd.DataFrame(found).astype({"seed": "Int64"})


def _of(rows: pd.DataFrame, fold: int, seed: int | None) -> pd.DataFrame:
    at = rows["fold"] == fold
    return rows[at & rows["seed"].isna()] if seed is None else rows[at & (rows["seed"] == seed)]


def _uneven(models: Sequence[Model], scores: pd.DataFrame) -> list[str]:
    """Which networks have fewer seeds in some folds than in others."""
    notes = []
    for model in models:
        counts = scores[scores["model"] == model.name].groupby("fold")["seed"].size()
        if model.network and counts.min() < counts.max():
            listed = ", ".join(f"fold {fold}: {count}" for fold, count in counts.items())
            notes.append(f"{model.name} does not have the same seeds in every fold ({listed})")
    return notes


def _steps(rows: pd.DataFrame) -> NDArray[np.int64]:
    """(rows,): how many rows of the table each value lies ahead of its origin.

    Rows need not be evenly spaced in time, so that a step is counted among the times that occur in the fold.
    """
    steps = np.empty(len(rows), dtype=np.int64)
    for at in rows.groupby(["fold", "unique_id"]).indices.values():
        ds, cutoff = rows["ds"].to_numpy()[at], rows["cutoff"].to_numpy()[at]
        times = np.unique(np.concatenate([ds, cutoff]))
        steps[at] = np.searchsorted(times, ds) - np.searchsorted(times, cutoff)
    return steps
