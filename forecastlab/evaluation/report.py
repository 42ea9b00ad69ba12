"""What `forecastlab compare` shows: the page and the pictures of several crossval runs side by side."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from forecastlab import __version__
from forecastlab.data.folds import Fold
from forecastlab.data.seen import OPTIMISTIC, SEEN
from forecastlab.evaluation import figures
from forecastlab.evaluation.comparison import PERSISTENCE, Comparison, Metric
from forecastlab.evaluation.page import Picture, Section, render
from forecastlab.evaluation.significance import Difference, paired_difference
from forecastlab.evaluation.tables import (
    Column,
    Table,
    fold_table,
    headline_table,
    metric_table,
    protocol_note,
    seen_note,
    series_errors,
    series_table,
)
from forecastlab.figures.drawing import Theme

FEW_SERIES = 5
"""Up to so many series have no histogram."""
MOST_LINES = 6
"""Models in a figure of lines; more could not be told apart."""


def report(comparison: Comparison, metric: Metric, found: Sequence[Difference], drawn: Sequence[Picture]) -> str:
    """The page about a comparison, as HTML.

    Args:
        comparison: the models.
        metric: the error that models are ranked by.
        found: what `differences` found.
        drawn: the figures, from `pictures`.
    """
    marks = [note for note in (seen_note(comparison), protocol_note(comparison)) if note]
    spread = series_table(comparison, metric)
    return render(
        title=_title(comparison),
        lead=_lead(comparison, metric),
        warnings=[*marks, *comparison.notes],
        sections=[
            Section("Who is best", tables=[headline_table(comparison, metric)]),
            Section(
                "Is the difference more than chance?",
                significance_notes(comparison, found),
                points=[difference.sentence for difference in key_differences(comparison, metric, found)],
                tables=[difference_table(found)] if found else [],
            ),
            Section("Figures", pictures=drawn),
            Section(
                "All numbers",
                tables=[
                    fold_table(comparison, metric),
                    metric_table(comparison, metric),
                    *([spread] if spread else []),
                ],
            ),
            Section("Runs", details=[(f"Config of {run.label}", run.config_text) for run in comparison.runs]),
        ],
        made_by=f"Made by forecastlab {__version__} from "
        + ", ".join(f"{run.label} ({run.folder})" for run in comparison.runs)
        + ".",
    )


def differences(comparison: Comparison, metric: Metric) -> list[Difference]:
    """Every other model against the one with the lowest mean error, and the best network against persistence."""
    ranking = comparison.ranking(metric)
    pairs = [(name, ranking[0]) for name in ranking[1:]]
    network = best_network(comparison, metric)
    if PERSISTENCE in ranking and network is not None and network != ranking[0] and ranking[0] != PERSISTENCE:
        pairs.append((network, PERSISTENCE))
    return [paired_difference(comparison, first, second, metric) for first, second in pairs]


def key_differences(comparison: Comparison, metric: Metric, found: Sequence[Difference]) -> list[Difference]:
    """The few that answer a reader's first questions.

    Does the best model beat the second? Does the best network beat the best baseline, and persistence?
    """
    ranking = comparison.ranking(metric)
    network = best_network(comparison, metric)
    baseline = next((name for name in ranking if not comparison.model(name).network), None)
    wanted = [set(ranking[:2]), {network, baseline}, {network, PERSISTENCE}]
    chosen = [next((one for one in found if {one.first, one.second} == pair), None) for pair in wanted]
    return list(dict.fromkeys(one for one in chosen if one is not None))


def best_network(comparison: Comparison, metric: Metric, fold: int | None = None) -> str | None:
    """The network with the lowest error, over all folds or in one."""
    names = [model.name for model in comparison.models if model.network]
    values = comparison.by_fold(metric).loc[names]
    of_fold = values.mean(axis=1) if fold is None else values[fold]
    return str(of_fold.idxmin()) if names else None


def significance_notes(comparison: Comparison, found: Sequence[Difference]) -> list[str]:
    """How to read the intervals, in plain words."""
    if not found:
        return ["There is only one model, and nothing to compare it with."]
    lengths = sorted({difference.block_length for difference in found})
    blocks = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
    one = found[0]
    notes = [
        f"Both models of a pair forecast the same {one.origins:,} origins. The difference of their errors is drawn "
        f"anew {one.resamples:,} times in blocks of {blocks} neighbouring origins, because neighbouring errors "
        f"resemble each other; the interval holds the middle {one.level:.0%} of what comes out. Where it leaves out 0, "
        "the difference is unlikely to be an accident of these test rows. It says nothing about other seeds or other "
        "series.",
    ]
    if len(found) > 3:
        notes.append(
            f"There are {len(found)} intervals here: of twenty such intervals between equal models about one leaves "
            "out 0 by accident, and the best of many models looks a little better than it is."
        )
    if comparison.optimistic:
        notes.append(f"Intervals of models marked † ({OPTIMISTIC}) flatter these models as their errors do.")
    return notes


def difference_table(found: Sequence[Difference]) -> Table:
    """Differences of mean errors with their intervals; of at least one pair."""
    return Table(
        f"Differences of mean errors, {found[0].level:.0%} intervals (negative: the first is better)",
        (
            Column("pair", tuple(f"{one.first} − {one.second}" for one in found)),
            Column("difference", tuple(one.mean for one in found)),
            Column("from", tuple(one.low for one in found)),
            Column("to", tuple(one.high for one in found)),
            Column("leaves out 0", tuple("yes" if one.decided else "no" for one in found)),
            Column("block", tuple(one.block_length for one in found), only_csv=True),
        ),
    )


def pictures(comparison: Comparison, metric: Metric) -> list[Picture]:
    """All figures of a comparison."""
    label = error_label(comparison, metric)
    heading = label[0].upper() + label[1:]
    ranking = comparison.ranking(metric)
    errors = comparison.value_errors(metric)
    shown = _shown(comparison, metric)
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
        ),
        Picture(
            "error_by_month",
            f"{heading} by month of the forecast value, all folds.{fewer}",
            lambda theme: figures.error_by_month(errors[shown], label=label, order=order, theme=theme),
        ),
    ]
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
    found += [_forecasts(comparison, metric, fold, order) for fold in comparison.folds]
    return [*found, *_losses(comparison, order), *_splits(comparison)]


def error_label(comparison: Comparison, metric: Metric) -> str:
    """The name of the error with its unit, for an axis."""
    if metric == "mse_scaled":
        return "test MSE ÷ training variance"
    return f"test MAE ({comparison.unit or 'in the unit of the target'})"


def _title(comparison: Comparison) -> str:
    networks = [model.name for model in comparison.models if model.network]
    if len(networks) == len(comparison.models):
        return ", ".join(networks)
    return f"{', '.join(networks)} and baselines" if networks else "Baselines"


def _lead(comparison: Comparison, metric: Metric) -> list[str]:
    ranking = comparison.ranking(metric)
    mean = comparison.by_fold(metric).mean(axis=1)
    best, network = ranking[0], best_network(comparison, metric)
    rows = comparison.rows.drop_duplicates(["fold", "unique_id", "target", "cutoff", "ds"])
    flag = {
        model.name: f" ({SEEN})" if model.seen else " (optimistic)" if model.optimistic else ""
        for model in comparison.models
    }
    words = f"Lowest mean error: {best}{flag[best]}, {mean[best]:.4f}."
    if network is not None and network != best:
        words += f" Best network: {network}{flag[network]}, {mean[network]:.4f}."
    if PERSISTENCE in ranking and best != PERSISTENCE:
        words += f" Persistence: {mean[PERSISTENCE]:.4f}."
    folds = "fold" if len(comparison.folds) == 1 else "folds"
    unit = f" ({comparison.unit})" if comparison.unit else ""
    first, last = (str(time).partition(" ")[0] for time in (rows["ds"].min(), rows["ds"].max()))
    return [
        words,
        f"Target {', '.join(comparison.targets)}{unit}, {folds} {', '.join(map(str, comparison.folds))}, {len(rows):,} "
        f"scored values from {first} to {last}. Every model is scored on the same rows.",
    ]


def _shown(comparison: Comparison, metric: Metric) -> list[str]:
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
    step = ", one step ahead" if comparison.rows["step"].max() > 1 else ""
    return Picture(
        f"forecast_fold_{fold}",
        f"Fold {fold}{step}: {best}{of_seed}, the best {kind} there, beside what was observed"
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
