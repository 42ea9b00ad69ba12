"""Our own errors: what the command line prints without a traceback before it ends in status 2."""

import difflib
import errno
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

MOST_FILES = 2000
"""Files of a folder that are looked at for one of a similar name."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
"""What the system says when a file cannot be written for want of room or of leave."""
MOST_ROWS = 5
"""Rows that an error about several of them describes."""


class ForecastlabError(Exception):
    """An error that whoever runs the tool can put right: in a configuration, a file, or the data in it.

    The message says what was expected, what came instead, and what to do, in at most ten lines. A bug of ours is
    never one of these: it keeps its traceback.
    """


class DataError(ForecastlabError):
    """A file or a table cannot be used: missing, unreadable, malformed, or without the values that are needed."""


class RefusedRowsError(DataError):
    """Rows of streams that are updated together cannot be used; no stream has changed.

    Args:
        refused: the error of each such row, by number of its stream.
        count: number of rows that were given.
    """

    def __init__(self, refused: Mapping[int, ForecastlabError], count: int) -> None:
        lines = [f"row {number}: {error}".splitlines()[0] for number, error in islice(refused.items(), MOST_ROWS)]
        if len(refused) > MOST_ROWS:
            lines.append(f"and {len(refused) - MOST_ROWS:,} more")
        first = f"{len(refused):,} of {count:,} rows are refused, and no stream has changed:"
        super().__init__("\n".join([first, *lines, "Give the other rows without those of error.refused"]))
        self.refused, self._count = dict(refused), count

    def __reduce__(self) -> tuple[Any, ...]:  # an exception is rebuilt from its message otherwise
        return type(self), (self.refused, self._count)


class Note(UserWarning):
    """What somebody should know about their data or about a fit, in one line; the command line prints it as a note."""


class FittingNote(Note):
    """What was done in the place of fits that failed."""


class ReadingNote(Note):
    """What was decided about data, or done to their rows, while they were read: sorted, merged, filled, left out."""


class NewSeriesNote(Note):
    """Which series a network was not trained on, and what that means for their forecasts."""


class NotFiniteError(ForecastlabError):
    """A loss or a weight became infinite or not a number; nothing that comes after it can be used."""


class ConfigError(ForecastlabError):
    """A setting cannot be used: unknown, of the wrong type or range, or at odds with another one or with the data."""


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """The end of a sentence that names what was probably meant; empty where nothing is similar.

    Args:
        name: what was given.
        known: what could have been given.
    """
    lower = {str(one).lower(): str(one) for one in known}
    close = difflib.get_close_matches(str(name).lower(), lower, 1)
    return f"; did you mean {lower[close[0]]}?" if close else ""


def as_typed(word: object) -> str:
    """A word of a command line as it is typed, in quotes where it has blanks: those that every shell understands.

    Args:
        word: a path, or a value of an option.
    """
    text = str(word)
    letters = text.replace(os.sep, "/")
    if re.fullmatch(r"[\w@%+=:,./-]+", letters):
        return text
    return shlex.quote(text) if re.search(r'["$`!\\]', letters) else f'"{text}"'


def similar_file(path: str | Path) -> str:
    """The end of a sentence about a file that is not there: the file of its folder whose name is most similar.

    Args:
        path: where it was looked for.
    """
    folder, name = Path(path).parent, Path(path).name
    try:
        found = {one.name: str(folder / one.name) for one in islice(folder.iterdir(), MOST_FILES) if one.name != name}
    except (OSError, ValueError):  # ValueError: a name with a null byte
        return ""
    close = difflib.get_close_matches(name, found, 1, 0.75)
    return f"; did you mean {found[close[0]]}?" if close else ""


def our_error(error: BaseException | None) -> ForecastlabError | None:
    """The error of ours that this one is or was raised from: jsonargparse wraps what constructors raise.

    A disk that is full, or a file that may not be written, is the user's to put right as well.
    """
    while error is not None and not isinstance(error, ForecastlabError):
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            where = f" {error.filename}" if error.filename else ""
            return DataError(f"cannot read or write{where}: {error.strerror}")
        error = error.__cause__
    return error
