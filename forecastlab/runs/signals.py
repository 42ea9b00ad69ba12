"""SIGINT and SIGTERM as one exception, so that whoever is stopped can keep its work and say how to go on."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SETTLING = 5.0
"""Seconds in which further signals are the same wish: Ctrl-C reaches a job twice, by itself and through its parent."""


class Stopped(KeyboardInterrupt):
    """The process was asked to end: by Ctrl-C, by `kill`, or by a cluster's scheduler.

    It is a KeyboardInterrupt because that is what Lightning shuts its own processes down for.

    Args:
        number: the signal.
        advice: how to go on, for whoever reads it.
    """

    def __init__(self, number: int, advice: str = "") -> None:
        super().__init__(number, advice)
        self.number = number
        self.advice = advice

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.number).name}" + (f"; {self.advice}" if self.advice else "")

    @property
    def status(self) -> int:
        """The exit status that a shell expects: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number

    @classmethod
    def behind(cls, error: BaseException | None) -> "Stopped | None":
        """The signal that led to an error, if one did: Lightning turns an interrupt into a SystemExit."""
        while error is not None and not isinstance(error, cls):
            error = error.__cause__ or error.__context__
        return error


@contextmanager
def stoppable() -> Iterator[None]:
    """Raises `Stopped` at SIGINT and SIGTERM, wherever the main thread is within the block.

    A signal that the process was told to ignore (nohup, a shell's background job) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():  # only it can handle signals
        yield
        return
    first: float | None = None

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if first is None or now - first > SETTLING:
            first = now
            raise Stopped(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
