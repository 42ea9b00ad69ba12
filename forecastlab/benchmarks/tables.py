"""Tables of a suite: ours beside what others published."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd

from forecastlab.benchmarks.others import others
from forecastlab.benchmarks.suites import Suite
from forecastlab.evaluation.tables import Column, Table

LEADING = {
    "gift-offline": ("MASE", "WQL"),
    "chronos-zs": ("MASE", "WQL"),
    "m4": ("OWA", "sMAPE", "MASE"),
    "ltsf": ("MSE",),
}
"""The figures of a suite that are compared."""


def task_table(suite: Suite, results: pd.DataFrame) -> Table:
    """The figures of each task beside those of the baseline and the best that was published.

    Args:
        suite: of the tasks.
        results: the rows of results.csv, ours and the baseline's.
    """
    ours, base, published = _ours(suite, results), _base(suite, results), _published(suite)
    columns = [Column("task", tuple(ours.index))]
    for figure in LEADING[suite.name]:
        best = published[published["model"] != suite.baseline].groupby("task")[figure].min().reindex(ours.index)
        digits = 4 if figure == "WQL" else 3
        columns += [
            Column(figure, tuple(ours[figure]), digits),
            Column(suite.baseline.replace("_", " "), tuple(base[figure]), digits),
            Column("ratio", tuple(ours[figure] / base[figure]), 3),
            Column("best published", tuple(best), digits),
        ]
    return Table(f"{suite.name}: errors, the lower the better", tuple(columns), _notes(suite, results))


def model_table(suite: Suite, results: pd.DataFrame) -> Table:
    """The geometric mean of each model's errors relative to the baseline, lowest first.

    Others may have published fewer tasks, or ours may not be finished: a model is averaged over the tasks that both
    have, and beside it stand ours of the same tasks.

    Args:
        suite: of the tasks.
        results: the rows of results.csv, ours and the baseline's.
    """
    ours, base, published = _ours(suite, results), _base(suite, results), _published(suite)
    figures = LEADING[suite.name]
    models = {str(name): part.set_index("task") for name, part in published.groupby("model")}
    models[suite.baseline] = base
    models[_name(suite, results)] = ours
    rows = []
    for model, table in models.items():
        own = table.reindex(ours.index)[list(figures)]
        shared = own.dropna(how="all").index
        if not len(shared):
            continue
        rows.append(
            [
                model,
                len(shared),
                *(_mean(own.loc[shared, figure] / base.loc[shared, figure]) for figure in figures),
                *(_mean(ours.loc[shared, figure] / base.loc[shared, figure]) for figure in figures),
            ]
        )
    rows.sort(key=lambda row: (-cast(int, row[1]), cast(float, row[2])))
    headers = ["model", "tasks", *(f"relative {f}" for f in figures), *(f"ours, {f}" for f in figures)]
    by_column = dict(zip(headers, zip(*rows, strict=True), strict=True))
    if len(set(by_column["tasks"])) == 1:
        by_column = dict(list(by_column.items())[: 2 + len(figures)])  # ours are the same on every line
    columns = [Column(header, values, 3) for header, values in by_column.items()]
    title = f"{suite.name}: geometric mean of the errors relative to the {suite.baseline.replace('_', ' ')}"
    return Table(title, tuple(columns), (f"published figures: {suite.source}",))


def horizon_table(results: pd.DataFrame, suite: Suite) -> Table:
    """The mean error over the horizons of each data set, where all were scored, beside those of others.

    Args:
        results: the rows of results.csv, ours and the baseline's.
        suite: of the tasks; their names are set/horizon.
    """
    figure = LEADING[suite.name][0]
    ours, base, published = _ours(suite, results), _base(suite, results), _published(suite)
    models = {_name(suite, results): ours, suite.baseline: base}
    models |= {str(name): part.set_index("task") for name, part in published.groupby("model") if name not in models}
    rows = {model: _by_set(suite, table[figure]) for model, table in models.items()}
    means = pd.DataFrame(rows).T
    means = means.loc[:, means.loc[_name(suite, results)].notna()].dropna(how="all")
    columns = [Column("model", tuple(map(str, means.index)))]
    columns += [Column(str(name), tuple(means[name]), 3) for name in means]
    return Table(f"{suite.name}: mean {figure} of all horizons", tuple(columns))


def _by_set(suite: Suite, figures: "pd.Series[float]") -> "pd.Series[float]":
    """The mean over the tasks of each data set, NaN where one is missing; their names are set/horizon."""
    every = figures.reindex(list(suite.tasks))
    return every.groupby(every.index.str.partition("/").get_level_values(0), sort=False).agg(
        lambda values: values.mean(skipna=False)
    )


def tables_of(suite: Suite, results: pd.DataFrame) -> list[Table]:
    """All tables of a suite.

    Args:
        suite: which.
        results: the rows of results.csv, ours and the baseline's.
    """
    tables = [task_table(suite, results), model_table(suite, results)]
    horizons = horizon_table(results, suite) if suite.name == "ltsf" else None
    return tables if horizons is None or len(horizons.columns) == 1 else [*tables, horizons]


def relative(suite: Suite, results: pd.DataFrame) -> dict[str, float]:
    """The geometric means of our errors relative to the baseline, by figure.

    Args:
        suite: of the tasks.
        results: the rows of results.csv, ours and the baseline's.
    """
    ours, base = _ours(suite, results), _base(suite, results)
    return {figure: _mean(ours[figure] / base[figure]) for figure in LEADING[suite.name]}


def _name(suite: Suite, results: pd.DataFrame) -> str:
    return str(results.loc[results["model_name"] != suite.baseline, "model_name"].iloc[0])


def _ours(suite: Suite, results: pd.DataFrame) -> pd.DataFrame:
    return results[results["model_name"] != suite.baseline].set_index("task_name")


def _base(suite: Suite, results: pd.DataFrame) -> pd.DataFrame:
    ours = _ours(suite, results).index
    return results[results["model_name"] == suite.baseline].set_index("task_name").reindex(ours)


def _published(suite: Suite) -> pd.DataFrame:
    table = others(suite)
    return table.reindex(columns=["task", "model", *LEADING[suite.name]])


def _mean(ratios: "pd.Series[float]") -> float:
    return float(np.exp(np.log(ratios.to_numpy(np.float64)).mean()))


def _notes(suite: Suite, results: pd.DataFrame) -> tuple[str, ...]:
    ours = _ours(suite, results)
    notes: list[str] = []
    if missing := len(suite.tasks) - len(ours):
        notes.append(f"{missing} of {len(suite.tasks)} tasks are not scored")
    fallen = ours["fallen_back"].fillna(0).astype(int)
    for name, count in fallen[fallen > 0].items():
        notes.append(f"{name}: {count} forecasts are the seasonal naive's, for the network could make none")
    return tuple(notes)


def as_text(tables: Sequence[Table]) -> str:
    """Tables as plain text, one below the other.

    Args:
        tables: which.
    """
    return "\n".join(table.to_text() for table in tables)
