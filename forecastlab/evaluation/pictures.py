"""The pictures of a comparison: which there are, what each shows, and how to read it."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
from matplotlib.figure import Figure
from pandas.api.types import is_numeric_dtype

from forecastlab.data.folds import Fold
from forecastlab.evaluation import figures
from forecastlab.evaluation.comparison import PERSISTENCE, Comparison, Metric
from forecastlab.evaluation.interval_pictures import interval_pictures
from forecastlab.evaluation.page import Picture
from forecastlab.evaluation.series_tables import series_errors
from forecastlab.figures.drawing import Theme

FEW_SERIES = 5
"""Up to so many series have no histogram."""
MOST_LINES = 6
"""Models in a figure of lines; more could not be told apart."""


def pictures(comparison: Comparison, metric: Metric) -> list[Picture]:
    """All figures of a comparison."""
    label = error_label(comparison, metric)
    heading = label[0].upper() + label[1:]
    ranking = comparison.ranking(metric)
    errors = comparison.value_errors(metric)
    shown = shown_models(comparison, metric)
    order = [*shown, *(name for name in ranking if name not in shown)]
    fewer = "" if len(shown) == len(ranking) else f" The {len(shown)} of {len(ranking)} models that matter most."
    found = [
        Picture(
            "error_per_fold",
            f"{heading} in each fold, best model on top.",
            lambda theme: figures.error_per_fold(
                comparison.by_fold(metric).loc[ranking],
                label=label,
                reference=PERSISTENCE if PERSISTENCE in ranking else None,
                order=order,
                theme=theme,
            ),
        )
    ]
    if not is_numeric_dtype(comparison.rows["ds"]):  # rows that are counted have no months
        found.append(
            Picture(
                "error_by_month",
                f"{heading} by month of the forecast value, all folds.{fewer}",
                lambda theme: figures.error_by_month(errors[shown], label=label, order=order, theme=theme),
            )
        )
    if errors.index.get_level_values("step").max() > 1:
        found.append(
            Picture(
                "error_by_step",
                f"{heading} by step of the horizon, all folds.{fewer}",
                lambda theme: figures.error_by_step(errors[shown], label=label, order=order, theme=theme),
            )
        )
    each = series_errors(comparison, metric)
    if len(each) > FEW_SERIES:
        found.append(
            Picture(
                "error_over_series",
                f"{heading} of {len(each)} series: how many have an error of each size, with the medians.{fewer}",
                lambda theme: figures.error_over_series(each[shown], label=label, order=order, theme=theme),
            )
        )
    found += interval_pictures(comparison, metric, order)
    found += [_forecasts(comparison, metric, fold, order) for fold in comparison.folds]
    return [*found, *_losses(comparison, order), *_splits(comparison)]


def error_label(comparison: Comparison, metric: Metric) -> str:
    """The name of the error with its unit, for an axis."""
    if metric == "mse_scaled":
        return "test MSE ÷ training variance"
    return f"test MAE ({comparison.unit or 'in the unit of the target'})"


def best_network(comparison: Comparison, metric: Metric, fold: int | None = None) -> str | None:
    """The network with the lowest error, over all folds or in one."""
    names = [model.name for model in comparison.models if model.network]
    values = comparison.by_fold(metric).loc[names]
    of_fold = values.mean(axis=1) if fold is None else values[fold]
    return str(of_fold.idxmin()) if names else None


def shown_models(comparison: Comparison, metric: Metric) -> list[str]:
    """The models in figures of lines: persistence, the best other baseline, the best networks, then whatever fits."""
    ranking = comparison.ranking(metric)
    networks = [name for name in ranking if comparison.model(name).network]
    baselines = [name for name in ranking if name not in networks and name != PERSISTENCE]
    first = [name for name in (PERSISTENCE, *baselines[:1]) if name in ranking]
    chosen = [*first, *networks, *baselines[1:]][:MOST_LINES]
    return [name for name in ranking if name in chosen]


def _forecasts(comparison: Comparison, metric: Metric, fold: int, order: Sequence[str]) -> Picture:
    """The best network of a fold beside persistence: first step, first target, first series, lowest seed."""
    best = best_network(comparison, metric, fold) or comparison.ranking(metric)[0]
    names = list(dict.fromkeys([best, *([PERSISTENCE] if PERSISTENCE in comparison.ranking(metric) else [])]))
    rows = comparison.rows[(comparison.rows["fold"] == fold) & comparison.rows["model"].isin(names)]
    rows = rows[rows["step"] == rows["step"].min()]
    first = rows.iloc[0]
    rows = rows[(rows["target"] == first["target"]) & (rows["unique_id"] == first["unique_id"])]
    rows = rows.sort_values("seed", kind="stable").drop_duplicates(["model", "ds"])
    table = rows.pivot(index="ds", columns="model", values="forecast")
    table["y"] = rows.drop_duplicates("ds").set_index("ds")["y"]
    seeds = comparison.model(best).seeds
    of_seed = f" (seed {seeds[0]})" if len(seeds) > 1 else ""
    kind = "network" if comparison.model(best).network else "model"
    series = f", {first['unique_id']}" if comparison.rows["unique_id"].nunique() > 1 else ""
    step = ", one step ahead" if comparison.rows["step"].max() > 1 else ""
    return Picture(
        f"forecast_fold_{fold}",
        f"Fold {fold}{series}{step}: {best}{of_seed}, the best {kind} there, beside what was observed"
        + (" and persistence." if len(names) > 1 else "."),
        partial(_draw_forecasts, table.reset_index(), names, str(first["target"]), comparison.unit, order),
    )


def _draw_forecasts(
    rows: pd.DataFrame, names: Sequence[str], target: str, unit: str, order: Sequence[str], theme: Theme
) -> Figure:
    return figures.forecasts(rows, names, target=target, unit=unit, order=order, theme=theme)


def _losses(comparison: Comparison, order: Sequence[str]) -> list[Picture]:
    """The curves of all networks, a picture per fold."""
    found = []
    logged = {
        model.name: model.run.curves()
        for model in comparison.models
        if model.network and len(model.run.networks) == 1  # else the folders do not say whose curves they hold
    }
    for fold in comparison.folds:
        curves = {name: [curve for (of, _), curve in every.items() if of == fold] for name, every in logged.items()}
        curves = {name: of_fold for name, of_fold in curves.items() if of_fold}
        if not curves:
            continue
        optimistic = {comparison.model(name).optimistic for name in curves}
        validation = "validation or test" if len(optimistic) > 1 else "test" if optimistic == {True} else "validation"
        band = " Lines are means over the seeds, bands span them." if max(map(len, curves.values())) > 1 else ""
        found.append(
            Picture(
                f"loss_fold_{fold}",
                f"Fold {fold}: losses while training, each network's in its own scaled units; dots mark the lowest "
                f"{validation} loss.{band}",
                partial(_draw_losses, curves, validation, order),
            )
        )
    return found


def _draw_losses(curves: dict[str, list[pd.DataFrame]], validation: str, order: Sequence[str], theme: Theme) -> Figure:
    return figures.loss_curves(curves, validation=validation, order=order, theme=theme)


def _splits(comparison: Comparison) -> list[Picture]:
    """The split diagrams of the runs, each different one once."""
    found: list[Picture] = []
    seen = []
    for run in comparison.runs:
        folds = run.split()
        if folds is None or folds in seen:
            continue
        seen.append(folds)
        number = f"_{len(seen)}" if len(seen) > 1 else ""
        found.append(
            Picture(
                f"split{number}",
                f"The walk-forward folds of {run.label}: which rows' targets were fitted, stopped the training, and "
                "were tested.",
                partial(_draw_split, folds),
            )
        )
    return found


def _draw_split(folds: Sequence[Fold], theme: Theme) -> Figure:
    return figures.split_diagram(folds, theme=theme)
