"""One line of progress: it changes in place before somebody's eyes, and comes anew every half minute elsewhere."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

BLINK = 0.2
"""Seconds between changes of the line on a terminal and in a notebook."""
INTERVAL = 30.0
"""Seconds between lines in a pipe, a file or a job of CI."""


class LiveLine:
    """A line that says how far something is.

    On a terminal and in a notebook it changes in place. Into a pipe or a file a new line is written every half minute,
    however short the steps of the work are; work that takes less leaves no line there.

    Args:
        stream: what is written to; None for standard output.
        clock: gives the time in seconds.
    """

    def __init__(self, stream: Any = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = sys.stdout if stream is None else stream
        self.clock = clock
        self._length = 0
        notebook = type(self._stream).__module__.startswith("ipykernel")
        self._terminal = bool(self._stream.isatty())
        self.changes = notebook or self._terminal
        self._last = clock() - (BLINK if self.changes else 0.0)

    @property
    def due(self) -> bool:
        """Whether it is time to say more."""
        return self.clock() - self._last >= (BLINK if self.changes else INTERVAL)

    def show(self, parts: Sequence[str]) -> None:
        """Says how far the work is, due or not.

        Args:
            parts: what the line says, the most important first; on a terminal, those at the end that do not fit are
                left out.
        """
        self._last = self.clock()
        line = fitting([part for part in parts if part], shutil.get_terminal_size().columns if self._terminal else None)
        if self.changes:
            self._stream.write("\r" + line.ljust(self._length))
            self._length = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def end(self) -> None:
        """Leaves a line that changes as it is, so that whatever follows begins on a line of its own."""
        if self._length:
            self._stream.write("\n")
            self._stream.flush()
            self._length = 0


def fitting(parts: Sequence[str], columns: int | None) -> str:
    """Parts of a line, as many from the first on as there is room for.

    Args:
        parts: the parts.
        columns: how many letters a line has; None for any number.
    """
    line = "  ".join(parts)
    for kept in range(len(parts) - 1, 0, -1):
        if columns is None or len(line) < columns:  # a terminal breaks a line that fills it
            return line
        line = "  ".join(parts[:kept])
    return line if columns is None else line[: columns - 1]


def duration(seconds: float) -> str:
    """A time span in words: 40 s, 3 min, 2.5 h, 4 days."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"
