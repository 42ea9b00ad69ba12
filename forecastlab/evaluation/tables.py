"""Tables of results: one structure, written as plain text, CSV, Markdown and LaTeX."""

import csv
import io
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from forecastlab.data.marks import OPTIMISTIC, SEEN
from forecastlab.evaluation.comparison import Comparison, Metric, Model
from forecastlab.evaluation.results import INTERVALS, METRICS
from forecastlab.runs.files import write_output
from forecastlab.text import aligned

Value = float | int | str | None

FORMATS = ("txt", "csv", "md", "tex")
"""The endings of the files that a table is written to."""
DAGGER, DOUBLE_DAGGER = "†", "‡"
_WIDTH = 100
TITLES = {
    "mse_scaled": "Test MSE divided by the training variance",
    "mae": "Test mean absolute error",
    "rmse": "Test root mean squared error",
    "mase": "Test MASE",
    "skill": "Skill against persistence",
}


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        header: what stands above it.
        values: one per row; None or NaN is an empty cell.
        digits: decimals of numbers, in all formats but CSV, which has them in full.
        best: which value is marked, if any.
        only_csv: whether people need not see it.
        flags: one per row, put behind its value in all formats but CSV; () for none.
    """

    header: str
    values: tuple[Value, ...]
    digits: int = 4
    best: Literal["lowest", "highest"] | None = None
    only_csv: bool = False
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(map(_plain, self.values)))

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers, and is aligned right."""
        return any(isinstance(value, int | float) for value in self.values)

    @property
    def cells(self) -> list[str]:
        """The values as shown."""
        flags = self.flags or ("",) * len(self.values)
        return [f"{self._cell(value)} {flag}".rstrip() for value, flag in zip(self.values, flags, strict=True)]

    @property
    def marked(self) -> list[bool]:
        """Which cells show the best value; what looks the same is marked the same, and a lone value is not."""
        numbers = [value for value in self.values if isinstance(value, int | float) and math.isfinite(value)]
        if self.best is None or len(numbers) < 2:
            return [False] * len(self.values)
        best = self._cell(min(numbers) if self.best == "lowest" else max(numbers))
        return [self._cell(value) == best for value in self.values]

    def _cell(self, value: Value) -> str:
        if value is None or isinstance(value, str):
            return _printable(value or "")
        return f"{value:,}" if isinstance(value, int) else f"{value:.{self.digits}f}"


@dataclass(frozen=True)
class Table:
    """Columns of equal length under a title, with notes below. The first column names the rows.

    Attributes:
        title: one line.
        columns: all columns.
        notes: sentences that belong to the numbers.
        search: what a row is, such as "a series": in a page the reader finds rows by name, and sorts them; empty for
            a table that is short.
    """

    title: str
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()
    search: str = ""

    def __post_init__(self) -> None:
        lengths = {len(column.values) for column in self.columns}
        if len(lengths) != 1:
            raise ValueError(f"the columns of a table must be equally long, got lengths {sorted(lengths)}")

    def __repr__(self) -> str:
        return self.to_text().rstrip()

    @property
    def shown(self) -> list[Column]:
        """The columns that people see."""
        return [column for column in self.columns if not column.only_csv]

    @property
    def rows(self) -> list[list[tuple[str, bool]]]:
        """Per row its shown cells, each with whether it is the best of its column."""
        columns = [zip(column.cells, column.marked, strict=True) for column in self.shown]
        return [list(row) for row in zip(*columns, strict=True)]

    def to_text(self) -> str:
        """Plain text for a terminal; the best value of a column has a `*`."""
        columns = []
        for column in self.shown:
            marks = ["*" if best else " " if any(column.marked) else "" for best in column.marked]
            cells = [cell + mark for cell, mark in zip(column.cells, marks, strict=True)]
            header = column.header + (" " if any(column.marked) else "")
            columns.append([header, "-" * max(map(len, [header, *cells])), *cells])
        lines = aligned(list(zip(*columns, strict=True)), [column.numeric for column in self.shown])
        best = ["* best of the column"] if any(any(column.marked) for column in self.shown) else []
        notes = [line for note in self.notes for line in textwrap.wrap(_printable(note), _WIDTH)]
        return "\n".join([self.title, "", *lines, "", *best, *notes]).rstrip() + "\n"

    def to_csv(self) -> str:
        """All columns, numbers in full, nothing marked; no title and no notes."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([_identifier(column.header) for column in self.columns])
        for row in zip(*(column.values for column in self.columns), strict=True):
            writer.writerow(["" if value is None else value for value in row])
        return file.getvalue()

    def to_markdown(self) -> str:
        """GitHub's tables; the best value of a column is bold."""
        rule = ["---:" if column.numeric else ":---" for column in self.shown]
        rows = [
            [f"**{_markdown(cell)}**" if best else _markdown(cell) for cell, best in row] for row in self.rows
        ]  # fmt: skip
        header = [_markdown(column.header) for column in self.shown]
        lines = ["| " + " | ".join(row) + " |" for row in [header, rule, *rows]]
        notes = [f"- {_markdown(note)}" for note in self.notes]
        return "\n".join([f"**{_markdown(self.title)}**", "", *lines, "", *notes]).rstrip() + "\n"

    def to_latex(self) -> str:
        r"""A `table` with the rules of the package booktabs; the best value of a column is bold."""
        spec = "".join("r" if column.numeric else "l" for column in self.shown)
        rows = [[rf"\textbf{{{_latex(cell)}}}" if best else _latex(cell) for cell, best in row] for row in self.rows]
        lines = [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{_latex(self.title)}}}",
            rf"  \begin{{tabular}}{{{spec}}}",
            r"    \toprule",
            "    " + " & ".join(_latex(column.header) for column in self.shown) + r" \\",
            r"    \midrule",
            *("    " + " & ".join(row) + r" \\" for row in rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            *(rf"  \par\footnotesize {_latex(note)}" for note in self.notes),
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"


def write_table(table: Table, path: Path) -> None:
    """Writes a table in each of `FORMATS`.

    Args:
        table: the table.
        path: of the files, without their endings.

    Raises:
        ConfigError: if one cannot be written.
    """
    texts = (table.to_text(), table.to_csv(), table.to_markdown(), table.to_latex())
    for ending, text in zip(FORMATS, texts, strict=True):
        write_output(text, path.with_name(f"{path.name}.{ending}"))


def headline_table(comparison: Comparison, metric: Metric = "mse_scaled") -> Table:
    """The columns of `fold_table` that answer who is best, narrow enough for a telephone; without its notes."""
    whole = fold_table(comparison, metric)
    wanted = ("model", "mean", "sd seeds", "skill")
    columns = tuple(column for column in whole.columns if column.header in wanted)
    return Table(f"{whole.title}, mean over the folds", columns)


def fold_table(comparison: Comparison, metric: Metric = "mse_scaled") -> Table:
    """The error of every model on every fold, lowest mean first.

    A fold's value is the mean over the seeds. `mean` is that over the folds, `sd seeds` the standard deviation (ddof 1)
    over the seeds of their means over the folds, `sd folds` that of the folds' values; `skill` is the mean over the
    folds of 1 - MSE / MSE of persistence.
    """
    names = comparison.ranking(metric)
    values, skill = (comparison.by_fold(name).reindex(names) for name in (metric, "skill"))
    models = [comparison.model(name) for name in names]
    folds = len(comparison.folds)
    columns = [
        model_column(comparison, names),
        *(Column(f"fold {fold}", tuple(values[fold]), best="lowest") for fold in comparison.folds),
        Column("mean", tuple(values.mean(axis=1)), best="lowest"),
        *_optional("sd seeds", [seed_spread(comparison, name, metric) for name in names]),
        *_optional("sd folds", values.std(axis=1, ddof=1) if folds > 1 else []),
        Column("skill", tuple(skill.mean(axis=1)), digits=3, best="highest"),
        Column("seeds", tuple(len(model.seeds) or None for model in models), only_csv=True),
        Column(
            "epoch chosen on",
            tuple(("test" if model.optimistic else "validation tail") if model.network else None for model in models),
            only_csv=True,
        ),
        Column("protocol", tuple(map(_protocol, models)), only_csv=True),
    ]
    unit = f" ({comparison.unit or 'in its own unit'})" if metric == "mae" else ""
    return Table(f"{TITLES[metric]}{unit}", tuple(columns), _notes(comparison))


def metric_table(comparison: Comparison, order: Metric = "mse_scaled") -> Table:
    """Every metric and what training took, each averaged over the seeds, then over the folds; lowest error first."""
    names = comparison.ranking(order)
    means = {name: comparison.by_fold(name).reindex(names).mean(axis=1) for name in METRICS}
    intervals = {name: comparison.by_fold(name).reindex(names).mean(axis=1) for name in INTERVALS}
    effort = {
        name: comparison.by_fold(name).reindex(names).mean(axis=1) for name in ("best_epoch", "epochs", "seconds")
    }
    columns = [
        model_column(comparison, names),
        *(
            Column(name, tuple(means[name]), 3, "highest" if name == "skill" else "lowest")
            for name in ("mse_scaled", "mae", "rmse", "mase", "skill")
            if name not in ("mae", "rmse") or means[name].notna().any()  # there is none over several targets
        ),
        *(column for name, values in intervals.items() for column in _optional(name, values)),
        *(
            Column(name.replace("_", " "), tuple(values), 0 if name != "seconds" else 1)
            for name, values in effort.items()
        ),
    ]
    unit = f"; MAE and RMSE in {comparison.unit}" if comparison.unit else ""
    return Table(f"All metrics, mean over seeds and folds{unit}", tuple(columns), _notes(comparison))


def seed_spread(comparison: Comparison, name: str, metric: str) -> float | None:
    """Standard deviation (ddof 1) over a model's seeds of their means over the folds; None for a single seed.

    Only seeds that have every fold count.
    """
    scores = comparison.scores[comparison.scores["model"] == name]
    table = scores.pivot_table(metric, "seed", "fold").dropna()
    return float(table.mean(axis=1).std(ddof=1)) if len(table) > 1 else None


def protocol_note(comparison: Comparison) -> str | None:
    """What must stand by the numbers of networks whose epochs were chosen on the test rows; None if there are none."""
    if not comparison.optimistic:
        return None
    names = ", ".join(model.name for model in comparison.models if model.optimistic)
    return (
        f"{DAGGER} {OPTIMISTIC}: {names} kept the epoch with the lowest error on the test rows themselves. That looks "
        "better than the model would do on new data; compare such numbers only with each other."
    )


def seen_note(comparison: Comparison) -> str | None:
    """What must stand by the numbers of networks that were scored on rows that trained them; None if there are none."""
    names = ", ".join(model.name for model in comparison.models if model.seen)
    if not names:
        return None
    return (
        f"{DOUBLE_DAGGER} {SEEN}: rows that {names} forecast here are rows that trained the weights; these numbers say "
        "nothing about new data."
    )


def _notes(comparison: Comparison) -> tuple[str, ...]:
    return (*filter(None, [seen_note(comparison), protocol_note(comparison)]), *comparison.notes)


def _protocol(model: Model) -> str | None:
    words = [SEEN] * model.seen + [OPTIMISTIC] * model.optimistic
    return "; ".join(words) or None


def model_column(comparison: Comparison, names: Sequence[str]) -> Column:
    """The names of models, with the marks of the notes that belong to them."""
    models = [comparison.model(name) for name in names]
    flags = tuple(DOUBLE_DAGGER * model.seen + DAGGER * model.optimistic for model in models)
    return Column("model", tuple(names), flags=flags)


def _optional(header: str, values: "Sequence[float | None] | pd.Series[float]") -> list[Column]:
    """A column, unless it is empty."""
    found = tuple(map(_plain, values))
    return [Column(header, found)] if any(value is not None for value in found) else []


def _plain(value: object) -> Value:
    """A Python number, a string or None."""
    if value is None or isinstance(value, str | int):
        return value
    number = float(value)  # type: ignore[arg-type]  # NumPy's numbers
    return None if math.isnan(number) else number


def _identifier(header: str) -> str:
    return re.sub(r"\W+", "_", header.lower()).strip("_")


def _printable(text: str) -> str:
    """Text without control characters, which could move a terminal's cursor or break a table's row."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", text)


def _latex(text: str) -> str:
    replacements = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "±": r"$\pm$",
        DOUBLE_DAGGER: r"\ddag{}",
        DAGGER: r"\dag{}",
        "°": r"\textdegree{}",
        **{letter: "\\" + letter for letter in "&%$#_{}"},
    }
    return re.sub(r"^-(?=\d)", "$-$", "".join(replacements.get(letter, letter) for letter in text))
