"""What `forecastlab compare` shows: the page about several crossval runs side by side."""

from collections.abc import Sequence

from forecastlab import __version__
from forecastlab.data.marks import OPTIMISTIC, SEEN
from forecastlab.evaluation.comparison import PERSISTENCE, Comparison, Metric
from forecastlab.evaluation.page import Picture, Section, render
from forecastlab.evaluation.pictures import best_network, shown_models
from forecastlab.evaluation.series_tables import MOST_SERIES, each_series_table, series_table
from forecastlab.evaluation.significance import Difference, paired_difference
from forecastlab.evaluation.tables import (
    Column,
    Table,
    fold_table,
    headline_table,
    metric_table,
    protocol_note,
    seen_note,
)


def report(comparison: Comparison, metric: Metric, found: Sequence[Difference], drawn: Sequence[Picture]) -> str:
    """The page about a comparison, as HTML.

    Args:
        comparison: the models.
        metric: the error that models are ranked by.
        found: what `differences` found.
        drawn: the figures, from `pictures`.
    """
    marks = [note for note in (seen_note(comparison), protocol_note(comparison)) if note]
    of_series = [series_table(comparison, metric)]
    of_series += [each_series_table(comparison, metric, shown_models(comparison, metric), MOST_SERIES)]

    def named(*beginnings: str) -> list[Picture]:
        return [picture for picture in drawn if picture.name.startswith(beginnings)]

    sections = [
        Section("Who is best", tables=[headline_table(comparison, metric)], pictures=named("error_per_fold")),
        Section(
            "Is the difference more than chance?",
            significance_notes(comparison, found),
            points=[difference.sentence for difference in key_differences(comparison, metric, found)],
            tables=[difference_table(found)] if found else [],
        ),
        Section("Where the errors are", pictures=named("error_by")),
        Section("Series by series", tables=[table for table in of_series if table], pictures=named("error_over")),
        Section("Intervals", pictures=named("calibration", "fan")),
        Section("Forecasts", pictures=named("forecast")),
        Section("Training", pictures=named("loss", "split")),
        Section("All numbers", tables=[fold_table(comparison, metric), metric_table(comparison, metric)]),
        Section("Runs", details=[(f"Config of {run.label}", run.config_text) for run in comparison.runs]),
    ]
    return render(
        title=_title(comparison),
        lead=_lead(comparison, metric),
        warnings=[*marks, *comparison.notes],
        sections=[one for one in sections if one.paragraphs or one.tables or one.pictures or one.details],
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
