"""The units of scaled errors in a crossval run, and the metrics that follow from its predictions."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from forecastlab.batch import Reference
from forecastlab.evaluation.results import METRICS, CrossvalRun
from forecastlab.metrics.forecast_metrics import listed

SERIES = ("fold", "unique_id", "target")
"""What has a unit of its own."""


def units_table(fold: int, names: Sequence[str], targets: Sequence[str], reference: Reference) -> pd.DataFrame:
    """The units of a fold as the rows of units.csv, with the columns `UNIT_COLUMNS`.

    They are in the target's unit or its square; 0 where the training rows have none.

    Args:
        fold: its number.
        names: the series' names.
        targets: names of the targets.
        reference: the units, `data.reference`.
    """
    places = pd.MultiIndex.from_product([[fold], names, targets], names=list(SERIES))
    columns = {name: part.numpy().ravel() for name, part in reference._asdict().items()}
    return pd.DataFrame(columns, places).reset_index()


def stated_units(run: CrossvalRun) -> pd.DataFrame:
    """The units that a run states, by (fold, unique_id, target)."""
    return cast(pd.DataFrame, run.units).set_index(list(SERIES))


def derived_units(run: CrossvalRun) -> pd.DataFrame:
    """The units of a run that does not state them, as earlier versions did not.

    Those of one series follow from the errors that the run gives in both units. Several do not, and are put into units
    of their variance over the test rows.
    """
    rows = run.predictions.drop_duplicates([*SERIES, "cutoff", "ds"])
    variance = rows.groupby(list(SERIES))["y"].var(ddof=0).replace(0.0, 1.0)
    if len(_series(variance.index)) > 1:
        return pd.DataFrame({"variance": variance, "seasonal_error": np.nan, "derived": True})
    results = run.results
    known = results[(results["test/mse_scaled"] > 0) & np.isfinite(results["test/mse_scaled"])]
    ratio = (known["test/rmse"] ** 2 / known["test/mse_scaled"]).groupby(known["fold"]).median()
    seasonal = (results["test/mae"] / results["test/mase"]).groupby(results["fold"]).median()
    folds = variance.index.get_level_values("fold")
    columns = {"variance": ratio.reindex(folds).to_numpy(), "seasonal_error": seasonal.reindex(folds).to_numpy()}
    return pd.DataFrame(columns, variance.index)


def unit_notes(units: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    """How several series are averaged, and which are not scored or have no unit, in sentences.

    Args:
        units: of every fold, series and target.
        rows: the scored values, with the columns `SERIES`.
    """
    scored = pd.MultiIndex.from_frame(rows[list(SERIES)].drop_duplicates())
    series = _series(scored)
    if len(series) == 1 and len(_series(units.index)) == 1:
        return []
    what = "targets" if scored.unique("target").size > 1 else "series"
    if "derived" in units:
        return [
            f"there are several {what}, and the run does not state their units: in figures and intervals the squared "
            "errors of each are divided by its variance over the test rows; the table's mse_scaled is the run's own. "
            "Run the crossval again to have both in one unit"
        ]
    notes = [
        f"there are several {what}: every figure is computed for each of {len(series)} in its own unit, and then "
        "averaged, so that each counts the same (a macro mean; RMSSE takes each root first)"
    ]
    folds = scored.unique("fold")
    untested = units.index[units.index.get_level_values("fold").isin(folds)].difference(scored)
    notes += _of_folds(untested, "not scored, for there is no target in the test range")
    constant = units.index[~(units["variance"] > 0)].intersection(scored)
    notes += _of_folds(
        constant, "left out of mse_scaled and skill, for the training rows are constant, too few or not there"
    )
    return notes


def macro_scores(part: pd.DataFrame, units: pd.DataFrame, persistence: pd.DataFrame) -> dict[str, float]:
    """`METRICS` of the forecasts of one model, fold and seed, each a mean over the series of a target.

    Args:
        part: (rows,): `unique_id, target, y, forecast`.
        units: by (unique_id, target), those of the fold.
        persistence: (rows,): its forecasts of the fold.
    """
    keys = ["unique_id", "target"]
    error, reference = (table["forecast"] - table["y"] for table in (part, persistence))
    squared, absolute = (each.groupby([part[key] for key in keys]).mean() for each in (error**2, error.abs()))
    of_persistence = (reference**2).groupby([persistence[key] for key in keys]).mean().reindex(squared.index)
    own = units.reindex(squared.index)
    variance, seasonal = (own[name].where(own[name] > 0) for name in ("variance", "seasonal_error"))
    scale = variance if len(squared) > 1 else 1.0  # of one series the unit cancels
    one_target = part["target"].nunique() == 1
    known = variance.notna().any() and "derived" not in units
    base = (of_persistence / scale).mean()
    found = {
        "mse_scaled": (squared / variance).mean() if known else np.nan,
        "mae": absolute.mean() if one_target else np.nan,
        "rmse": (squared**0.5).mean() if one_target else np.nan,
        "mase": (absolute / seasonal).mean(),
        "skill": 1 - (squared / scale).mean() / base if base else np.nan,
    }
    return {name: float(found[name]) for name in METRICS}


def _series(places: "pd.Index[Any]") -> "set[tuple[Any, Any]]":
    """The different series and targets of places (fold, unique_id, target)."""
    return {(name, target) for _, name, target in places}


def _of_folds(places: "pd.Index[Any]", why: str) -> Iterable[str]:
    """A sentence for each group of folds that the same series are concerned of."""
    concerned: dict[tuple[str, ...], list[int]] = {}
    several = places.unique("target").size > 1
    for fold in places.unique("fold"):
        found = [f"{target} of {name}" if several else str(name) for at, name, target in places if at == fold]
        concerned.setdefault(tuple(found), []).append(int(fold))
    for labels, folds in concerned.items():
        yield f"fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))}: {listed(labels)}: {why}"
