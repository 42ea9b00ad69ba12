"""The tables of van Diepen's paper, as published and as they come out here.

Source: A. van Diepen, "Improving the performance of Recurrent Neural Networks for time series prediction by combining
Long Short-Term Memory and Attention Long Short-Term Memory", Tables 1-4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from forecastlab.data.marks import OPTIMISTIC
from forecastlab.evaluation.tables import Column, Table

SPLITS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Published:
    """What the paper prints of one model, by split.

    Attributes:
        title: what the paper calls it.
        rates: learning rates (Table 1).
        seconds: time of 3000 epochs on a GPU (Table 2).
        epochs: epoch of the lowest test loss (Table 3).
        losses: lowest test MSE, in units of the training variance (Table 4).
    """

    title: str
    rates: tuple[float, ...]
    seconds: tuple[int, ...]
    epochs: tuple[int, ...]
    losses: tuple[float, ...]


PUBLISHED = {
    "lstm": Published(
        "LSTM",
        (2e-5, 2e-5, 2e-5, 2e-5, 2e-5),
        (80, 110, 154, 201, 247),
        (1675, 1315, 1949, 1405, 1574),
        (0.333, 0.211, 0.165, 0.337, 0.238),
    ),
    "alstm": Published(
        "ALSTM",
        (1e-3, 5e-4, 2e-5, 1e-3, 5e-3),
        (37, 97, 180, 310, 469),
        (2510, 1780, 901, 1349, 1347),
        (0.444, 0.185, 0.113, 0.219, 0.0984),
    ),
    "combination1": Published(
        "Combination 1",
        (4e-5, 1e-4, 1e-3, 5e-5, 1e-3),
        (99, 196, 325, 485, 679),
        (1199, 600, 404, 1914, 470),
        (0.624, 0.222, 0.122, 0.225, 0.155),
    ),
    "combination2": Published(
        "Combination 2",
        (1e-6, 2e-5, 5e-5, 6e-3, 1e-2),
        (165, 376, 670, 1049, 1522),
        (1201, 879, 1206, 2620, 2844),
        (0.699, 0.303, 0.178, 0.213, 0.117),
    ),
    "combination3": Published(
        "Combination 3",
        (4e-6, 5e-6, 2e-6, 2e-6, 7e-6),
        (99, 195, 322, 487, 677),
        (1487, 858, 2506, 2999, 2979),
        (0.699, 0.230, 0.209, 4.48, 0.230),
    ),
}
"""The paper's five models, by the names that they have here."""


def paper_tables(results: pd.DataFrame, epochs: int, check_every: int) -> list[Table]:
    """The paper's four tables, each model's row beside the published one.

    Args:
        results: one row per model, fold and seed with the columns `model` (a key of `PUBLISHED`, with "-honest" behind
            it where the epoch was chosen on a validation tail), `fold`, `seed`, `seconds`, `best_epoch` and
            `test/mse_scaled`; several seeds are averaged.
        epochs: how many epochs were trained, in the paper's sense: passes over the training sequence.
        check_every: every how many of them the test loss was computed. These are one epoch of the runs, by which
            `best_epoch` counts, from 0.

    Returns:
        Learning rates, seconds, best epochs, lowest test losses.
    """
    honest = (
        "Honest rows: the epoch was chosen on the last fifth of the training rows; the test rows were scored once.",
    )
    results = results.assign(best_epoch=(results["best_epoch"] + 1) * check_every)
    checked = f"Here: {epochs} epochs, the test loss computed every {check_every}; epochs count from 1."
    return [
        Table(
            "Table 1: learning rates (the paper's, used here)",
            _columns([(published.title, list(published.rates)) for published in PUBLISHED.values()], None, 6),
        ),
        Table(
            "Table 2: seconds for all epochs",
            _columns(_beside(results, "seconds", lambda published: published.seconds), sum, 0, "total"),
            (f"Published: 3000 epochs on a GPU. Here: {epochs} epochs, one CPU thread each.",),
        ),
        Table(
            "Table 3: epoch of the lowest test loss",
            _columns(_beside(results, "best_epoch", lambda published: published.epochs), None, 0),
            (checked,),
        ),
        Table(
            "Table 4: lowest test MSE, in units of the training variance",
            _columns(_beside(results, "test/mse_scaled", lambda published: published.losses), _mean, 4, "average"),
            (
                f"Published rows and ours: {OPTIMISTIC} (the minimum over the epochs of the loss on the test rows).",
                *(honest if results["model"].str.endswith("-honest").any() else ()),
                checked,
            ),
        ),
    ]


Row = tuple[str, list[float | None]]


def _beside(results: pd.DataFrame, column: str, published: Callable[[Published], Sequence[float]]) -> list[Row]:
    """Per model the published values, ours, and ours with an honestly chosen epoch, by split."""
    rows: list[Row] = []
    means = results.groupby(["model", "fold"])[column].mean()
    for name, paper in PUBLISHED.items():
        rows.append((f"{paper.title}, published", list(published(paper))))
        for suffix, label in (("", "here"), ("-honest", "here, honest")):
            if f"{name}{suffix}" in means.index.get_level_values("model"):
                ours = means[f"{name}{suffix}"].reindex(SPLITS)
                rows.append((f"{paper.title}, {label}", [None if pd.isna(value) else float(value) for value in ours]))
    return rows


def _columns(
    rows: Sequence[Row], total: Callable[[list[float]], float] | None, digits: int, name: str = ""
) -> tuple[Column, ...]:
    columns = [Column("model", tuple(label for label, _ in rows))]
    for number, split in enumerate(SPLITS):
        columns.append(Column(f"split {split}", tuple(values[number] for _, values in rows), digits=digits))
    if total is not None:
        totals = []
        for _, values in rows:
            known = [value for value in values if value is not None]
            totals.append(total(known) if len(known) == len(values) else None)
        columns.append(Column(name, tuple(totals), digits=digits))
    return tuple(columns)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
