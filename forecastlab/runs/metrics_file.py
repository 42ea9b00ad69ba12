"""metrics.csv: one row per step, which a training appends to while a test may add to it."""

import csv
import io
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from forecastlab.errors import DataError
from forecastlab.runs.files import locked, write_whole

METRICS = "metrics.csv"
"""The name of the file in the folder of a run."""
FIRST = ("step", "epoch")
"""The first columns; the others follow in the order of their names."""
TEST = "test/"
"""The names of what a test gave begin with it."""
SEPARATORS = (",", ";", "\t")
"""What may stand between the cells of a file that a spreadsheet has saved."""

Rows = dict[int, dict[str, str]]
"""By step the cells that are not empty, by column."""


class MetricsFile:
    """The metrics of a run, row by row of its steps.

    The order of rows and columns depends on their content alone, not on when they were written. Every write holds a
    lock for a moment and looks at what others have written since, so that a run may be tested while it trains. A file
    that cannot be read is put aside, which is said on standard error, and a new one is begun.

    Args:
        path: the file.
        resumed_step: first step that will be written again; what the file holds from it on is dropped.
    """

    def __init__(self, path: Path, resumed_step: int | None = None) -> None:
        self.path = path
        self.resumed_step = resumed_step
        self._names: list[str] = []
        self._last_step = -1
        self._left: tuple[int, int, int] | None = None

    def write(self, metrics: Mapping[int, Mapping[str, float]]) -> None:
        """Writes the metrics of some steps; those of a step that is there already join its row."""
        rows: Rows = {
            step: {name: str(value) for name, value in values.items()} for step, values in sorted(metrics.items())
        }
        if not rows:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path):
            is_new = min(rows) > self._last_step and _names(rows) <= {*FIRST, *self._names}
            if is_new and self.resumed_step is None and self._state() == self._left:
                self._append(rows)
            else:
                self._rewrite(rows)
            self._last_step = max(self._last_step, *rows)
            self._left = self._state()

    def _append(self, rows: Rows) -> None:
        self._left = None  # if it fails, the next attempt looks at how far this one came
        with self.path.open("ab") as file:
            file.write(_text(rows, self._names, header=False).encode())

    def _rewrite(self, rows: Rows) -> None:
        for partial in self.path.parent.glob(f".{self.path.name}.*"):  # of a process that was killed while it wrote
            partial.unlink(missing_ok=True)
        there = self._read()
        if self.resumed_step is not None:
            there = {step: row for step, row in there.items() if step < self.resumed_step}
        for step, row in rows.items():
            kept = there.get(step, {})
            if any(name.startswith(TEST) for name in row):  # what an earlier test gave does not stand beside this one's
                kept = {name: cell for name, cell in kept.items() if not name.startswith(TEST)}
            there[step] = {**kept, **row}
        names = sorted(_names(there).difference(FIRST))
        write_whole(self.path, _text(there, names))
        self._names, self._last_step, self.resumed_step = names, max(there), None

    def _read(self) -> Rows:
        """What is in the file; a damaged one is put aside."""
        try:
            return read_metrics(self.path)
        except DataError as error:
            aside, number = self.path.with_name(f"{self.path.name}.damaged"), 0
            while aside.exists():
                number += 1
                aside = aside.with_suffix(f".damaged-{number}")
            self.path.replace(aside)
            print(f"forecastlab: {error}; it is kept as {aside.name}, and a new one is begun", file=sys.stderr)
            return {}

    def _state(self) -> tuple[int, int, int]:
        """What changes when another process writes the file."""
        state = self.path.stat()
        return state.st_ino, state.st_size, state.st_mtime_ns


def read_metrics(path: Path) -> Rows:
    """The rows of a file of metrics by step, as it was written or as a spreadsheet has saved it.

    A last line without an end is left out: a process was killed while it wrote it.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
        return _parsed(lines, path)
    except (UnicodeError, csv.Error) as error:
        raise DataError(f"{path} is damaged: {error}") from None


def metrics_table(path: Path) -> pd.DataFrame:
    """A file of metrics as a table of floats, with the columns `step`, `epoch` and whatever was logged.

    Raises:
        DataError: if it cannot be read.
    """
    rows = read_metrics(path)
    columns = [*FIRST, *sorted(_names(rows).difference(FIRST))]
    table = pd.DataFrame([{"step": step, **row} for step, row in sorted(rows.items())], columns=columns)
    return table.astype("float64")


def _parsed(lines: list[str], path: Path) -> Rows:
    if not lines:
        return {}
    for separator in SEPARATORS:
        head = [name.strip() for name in next(csv.reader(lines[:1], delimiter=separator))]
        if "step" in head:
            break
    else:
        raise DataError(f"{path} is damaged: its first line names no column step")
    if len(set(head)) < len(head) or "" in head:
        raise DataError(f"{path} is damaged: a column of its first line has no name, or that of another one")
    table = [[cell.strip() for cell in row] for row in csv.reader(lines[1:], delimiter=separator)]
    if separator != "," and any("," in cell for row in table for cell in row):  # the commas of decimals
        if any("." in cell for row in table for cell in row):
            raise DataError(f"{path} is damaged: it has numbers with commas and numbers with points")
        table = [[cell.replace(",", ".") for cell in row] for row in table]
    rows: Rows = {}
    for number, row in enumerate(table, 2):
        if not any(row):
            continue
        cells = {name: cell for name, cell in zip(head, row, strict=False) if cell}
        if len(row) != len(head) or not all(map(_is_number, cells.values())):
            raise DataError(f"{path}, line {number}: expected {len(head)} numbers, got {', '.join(row)[:60]!r}")
        step = float(cells.pop("step", "nan"))
        if not 0 <= step < 2**63 or step % 1:
            raise DataError(f"{path}, line {number}: step is not a whole number")
        rows.setdefault(int(step), {}).update(cells)
    return rows


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # which Python takes for a part of a number


def _names(rows: Rows) -> set[str]:
    return {name for row in rows.values() for name in row}


def _text(rows: Rows, names: Iterable[str], header: bool = True) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*FIRST, *names], lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows({"step": step, **row} for step, row in sorted(rows.items()))
    return text.getvalue()
