"""What a text does not say of itself: its comments, its separator, and whether its first line holds names."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import pandas as pd

from forecastlab.data.reading.dialect import Dialect
from forecastlab.errors import DataError

BLANKS = r"\s+"
"""The separator of columns that are told apart by runs of blanks, as pandas writes it."""
_SEPARATORS = ("\t", ";", "|", ",", BLANKS)
"""The comma comes behind the marks: in what another one separates, it may be the decimal mark."""
_MARKS = ("#", "%", "!", "//")
"""What begins a comment."""
_ROWS = 500
"""Rows that the sample has at most."""
_MISSING = {"", "na", "n/a", "nan", "null", "none", "-", "?"}
_NUMBER = re.compile(r"[+\-\u2212\u2013]?(?:\d[\d.,'\u2019 \u00a0\u202f\u2009]*|[.,]\d+)(?:[eE][+-]?\d+)?")
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_CLOCK = r"\d{1,2}[:.]\d{2}[\d:.+\- Z]*(?:[AP]M)?"
_TIME = re.compile(
    rf"\d{{1,4}}[-/.]\d{{1,2}}(?:[-/.]\d{{1,4}})?(?:[T ]+{_CLOCK})?|{_CLOCK}|\d{{4}}-?Q[1-4]|"
    rf"(?:\d{{1,4}}[ -])?(?:{_MONTHS})[a-z]*[- ,.]+\d{{1,4}}(?:[ ,-]+\d{{1,4}})?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Layout:
    """How a text is laid out.

    Attributes:
        skipped: lines before the first row of cells: comments, and the line of names.
        names: the columns' names; None where the text has no row at all.
        sep: see `Dialect`.
        notes: what was found out, for the user.
    """

    skipped: int
    names: list[str] | None
    sep: str
    notes: list[str]


def layout_of(lines: Sequence[str], dialect: Dialect, what: str) -> Layout:
    """Finds out how a text is laid out.

    Args:
        lines: the first lines, with their ends.
        dialect: what is known already.
        what: the file, for messages.

    Raises:
        DataError: if nobody can tell whether the first line holds names, or if names are not different.
    """
    notes = []
    begin, comments = _begin(lines, dialect)
    if comments and dialect.comment is None:
        notes.append(f"{what}: {len(comments)} lines of comments at its top are left out")
    rest = [line for line in lines[begin:] if line.strip() and not _is_comment(line, dialect)]
    sep = _separator(rest, dialect)
    rows, ends = _rows(lines, begin, sep, dialect)
    if not rows:
        return Layout(begin, None, sep, notes)
    named = names_of(
        rows, dialect, what, _cells(comments[-1].lstrip().lstrip("".join(_MARKS)), sep) if comments else []
    )
    names, below = named.names, rows[1:] if named.header else rows
    if named.header and below and all(len(row) == len(names) + 1 and not row[-1].strip() for row in below):
        names = [*names, f"Unnamed: {len(names)}"]  # a separator ends each row, but not the line of names
    return Layout(ends[0] if named.header else begin, names, sep, notes + named.notes)


@dataclass(frozen=True)
class Named:
    """The names of a table's columns.

    Attributes:
        names: one for each column.
        header: whether the first row holds them.
        notes: what was found out, for the user.
    """

    names: list[str]
    header: bool
    notes: list[str]


def names_of(rows: Sequence[Sequence[str]], dialect: Dialect, what: str, comment: Sequence[str] = ()) -> Named:
    """The names of the columns of a table: those of its first row, or numbers; a nameless one is "Unnamed: 0".

    Args:
        rows: the first rows, text cells.
        dialect: what is known already.
        what: the file, for messages.
        comment: the cells of a comment right above the rows, which may be the names as well.

    Raises:
        DataError: if nobody can tell whether the first row holds names, or if names do not differ.
    """
    notes = []
    header = _has_header(rows, what) if dialect.header is None else dialect.header
    if header:
        names = [cell.strip() for cell in rows[0]]
    else:
        width = max(len(row) for row in rows)
        names = [str(number) for number in range(width)]
        if dialect.header is None and 1 < width == len(comment):
            names = [cell.strip() for cell in comment]
            notes.append(f"{what}: the last line of its comments names the columns")
        elif dialect.header is None:
            notes.append(f"{what}: its first line holds values, not names; the columns are called 0, 1, ...")
    names = [name or f"Unnamed: {place}" for place, name in enumerate(names)]
    if doubled := [name for place, name in enumerate(names) if name in names[:place]]:
        raise DataError(f"the names of columns must differ; {what} has {doubled[0]} twice")
    return Named(names, header, notes)


def line_behind(text: str, row: int, sep: str, dialect: Dialect) -> int:
    """The number of the line, from 1, with which a row ends; empty lines and comments have numbers as well.

    Args:
        text: the rows.
        row: number of the row, from 0.
        sep: what separates the cells.
        dialect: what is known of the text.
    """
    return next(islice(_reader(io.StringIO(text, newline=""), sep, dialect), row, None), ([], row + 1))[1]


def without_nameless(frame: pd.DataFrame, what: str) -> tuple[pd.DataFrame, list[str]]:
    """The frame without columns that have neither a name nor a value, (rows, columns), and how many those are.

    Args:
        frame: (rows, columns).
        what: the file, for messages.
    """
    empty = [name for name in frame.columns if name.startswith("Unnamed: ") and frame[name].isna().all()]
    if not empty or len(empty) == frame.shape[1]:
        return frame, []
    columns = "column is" if len(empty) == 1 else "columns are"
    return frame.drop(columns=empty), [f"{what}: {len(empty)} {columns} left out, without a name and without a value"]


def is_empty(cell: str) -> bool:
    """Whether a cell holds nothing, or a word for it."""
    return cell.strip().lower() in _MISSING


def is_number(cell: str) -> bool:
    """Whether a cell looks like a number, however it is written."""
    return bool(_NUMBER.fullmatch(cell.strip()))


def is_time(cell: str) -> bool:
    """Whether a cell looks like a time that is no plain number."""
    return bool(_TIME.fullmatch(cell.strip())) and not re.fullmatch(r"\d+\.\d+|\d{1,3}(?:\.\d{3})+", cell.strip())


def _is_comment(line: str, dialect: Dialect) -> bool:
    return dialect.comment is not None and line.startswith(dialect.comment)


def _begin(lines: Sequence[str], dialect: Dialect) -> tuple[int, list[str]]:
    """The number of lines before the table, and those of them that are comments."""
    marks = _MARKS if dialect.comment is None else (dialect.comment,)
    comments: list[str] = []
    mark = None
    for number, line in enumerate(lines):
        bare = line.strip().lstrip('"')
        if bare and mark is None:
            mark = next((mark for mark in marks if bare.startswith(mark)), "")
        if bare and (not mark or not bare.startswith(mark)):
            return number, comments
        if bare:
            comments.append(line)
    return (0, []) if dialect.comment is None else (len(lines), comments)


def _cells(line: str, sep: str) -> list[str]:
    return next(csv.reader([line.strip()], delimiter=" " if sep == BLANKS else sep, skipinitialspace=True), [])


def _reader(lines: Iterable[str], sep: str, dialect: Dialect) -> Iterator[tuple[list[str], int]]:
    """The rows of cells, without empty ones, and the number of the line behind each."""
    blanks, comment = sep == BLANKS, dialect.comment
    kept = (line if comment is None else line.split(comment)[0] for line in lines)
    stripped = (line.strip() if blanks else line for line in kept)
    reader = csv.reader(stripped, delimiter=" " if blanks else sep, skipinitialspace=True)
    try:
        for row in reader:
            if len(row) > 1 or (row and row[0].strip()):
                yield row, reader.line_num
    except csv.Error:  # a cell of more than 131072 characters, such as one whose quotes do not end
        return


def _rows(lines: Sequence[str], begin: int, sep: str, dialect: Dialect) -> tuple[list[list[str]], list[int]]:
    """The rows of cells of a sample, and the number of the line behind each."""
    found = list(islice(_reader(lines[begin:], sep, dialect), _ROWS))
    return [row for row, _ in found], [begin + line for _, line in found]


def _separator(lines: Sequence[str], dialect: Dialect) -> str:
    """The separator with which most lines of a sample have as many cells as the first one.

    Of several the one is taken that leaves most cells that are values: "5,96" is one, "2024-01-01;5" is none.
    """
    if dialect.sep is not None:
        return dialect.sep
    best, most = "", (0.0, 0.0)
    for sep in _SEPARATORS:
        rows, _ = _rows(lines, 0, sep, dialect)
        width = len(rows[0]) if rows else 0
        steady = sum(len(row) == width for row in rows) / len(rows) if width > 1 else 0.0
        if steady == 1 or (steady and sep != BLANKS):  # blanks stand in texts as well
            values = [is_empty(cell) or is_number(cell) or is_time(cell) for row in rows for cell in row]
            if (steady, sum(values) / len(values)) > most:
                best, most = sep, (steady, sum(values) / len(values))
    if best == "," and dialect.decimal == "," and most[0] < 1:
        best = ""
    return best or (";" if dialect.decimal == "," else ",")


def _has_header(rows: Sequence[Sequence[str]], what: str) -> bool:
    """Whether the first row holds names.

    It does not if its cells are values like those below; one that is text belongs to the values if it comes again in
    its column, and a time above times is no name.
    """
    first, rest = rows[0], rows[1:]
    below = [
        [row[place] for row in rest if place < len(row) and not is_empty(row[place])] for place in range(len(first))
    ]
    if not rest or all(is_empty(cell) for cell in first):
        return True
    times = [is_time(cell) for cell in first]
    over_times = [
        time and bool(column) and all(map(is_time, column)) for time, column in zip(times, below, strict=True)
    ]
    if any(over_times):
        return False
    if any(times):
        return True
    numbers = [is_number(cell) for cell in first]
    texts = [
        place for place, cell in enumerate(first) if not numbers[place] and not is_empty(cell)
    ]  # empty cells tell nothing
    if texts:
        return not (any(numbers) and all(first[place] in below[place] for place in texts))
    if any(numbers[place] and not all(map(is_number, below[place])) for place in range(len(first))):
        return True
    whole = [int(cell) for cell in first if re.fullmatch(r"\s*\d+\s*", cell)]
    counted = len(whole) == sum(numbers) and whole == list(range(whole[0], whole[0] + len(whole)))
    if counted and not first[0].strip() and whole[0] == 0:
        return True  # as pandas writes a frame of columns without names
    if counted and (len(whole) > 2 or whole[0] == 0):
        raise DataError(
            f"{what}: its first line, {', '.join(first)[:60]}, may hold the columns' names or values: say "
            "--data.header true or --data.header false"
        )
    return False
