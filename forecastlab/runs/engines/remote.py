"""Units on other machines: each is attended by a worker there, which writes what is known of it into a file."""

import contextlib
import json
import os
import shutil
import signal
import socket
import time
import uuid
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from filelock import FileLock, Timeout

from forecastlab.errors import ConfigError
from forecastlab.runs.engines.engine import PATIENCE, Ending, News, Unit, Workers
from forecastlab.runs.engines.process import UnitProcess
from forecastlab.runs.files import write_whole
from forecastlab.runs.signals import stoppable

Handle = TypeVar("Handle")
"""What an engine knows a submitted unit by."""

ENGINE = "engine"
"""The folder of a run in which commands and the workers of their units speak with each other."""
DRIVER = "driver"
"""The file of a command in there: locked while the command lives; a worker that does not find it ends."""
BEAT = 1.0
"""Seconds between two looks at these files."""


def attend(unit: Unit, note: Path, gpus: bool) -> None:
    """Runs a unit in a process of its own, and writes into a file how far it is and how it has ended.

    It ends, and the unit with it, at SIGINT or SIGTERM, and when the command is over that submitted the unit.

    Args:
        unit: the unit.
        note: the file, in the folder of the command.
        gpus: whether the unit may use the GPUs that this process sees.
    """
    driver, told = note.parent / DRIVER, None
    with stoppable():
        try:
            if not _is_there(driver):  # the unit waited longer than its command lived
                return
            with _deaf_to_warnings():
                process = UnitProcess(unit, os.environ.get("CUDA_VISIBLE_DEVICES") if gpus else "")
            try:
                while process.sentinel not in wait([process.sentinel, process.connection], timeout=BEAT):
                    process.listen()
                    if process.progress != told:
                        told = process.progress
                        _write(note, told, None)
                        time.sleep(BEAT)
                    if not _is_there(driver):
                        process.terminate()
                        process.end()
                ending = process.ending()
            except BaseException:  # an engine may raise its own
                process.terminate()
                process.end()
                raise
        except KeyboardInterrupt:
            ending = Ending("stopped", "its worker was told to end")
        _write(note, told, ending)


@contextlib.contextmanager
def _deaf_to_warnings() -> Iterator[None]:
    """Lets the processes that are begun in this block ignore SIGUSR2.

    SLURM sends it to all processes of a job before the job's time is up. The worker then ends its unit.
    """
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR2, before)


def _is_there(path: Path) -> bool:
    """Whether a file is there; opened, since other machines' file systems answer from memory otherwise."""
    try:
        path.open("rb").close()
    except FileNotFoundError:
        return False
    return True


def _write(note: Path, progress: tuple[float, str] | None, ending: Ending | None) -> None:
    if _is_there(note.parent / DRIVER):  # else the command is over, and has taken its folder away
        write_whole(note, json.dumps({"progress": progress, "ending": ending and [ending.how, ending.text]}))


class RemoteWorkers(Workers, Generic[Handle]):
    """An engine whose workers call `attend`.

    Args:
        folder: the folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ENGINE / f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"
        self.running: dict[int, tuple[Unit, Path, Handle]] = {}
        self._submitted = 0

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Keeps the workers' units alive within the block; ends those of a command that was killed."""
        if self.folder.parent.is_dir():
            for other in self.folder.parent.iterdir():
                _end_if_dead(other)
        self.folder.mkdir(parents=True)
        try:
            with FileLock(self.folder / DRIVER):
                yield
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # another command is at work
                self.folder.parent.rmdir()

    def submit(self, units: Mapping[int, Unit]) -> None:
        calls = {}
        for number, unit in units.items():
            self._submitted += 1
            calls[number] = unit, self.folder / f"{self._submitted}.json"
        if calls:
            handles = self.begin(list(calls.values()))
            for (number, (unit, note)), handle in zip(calls.items(), handles, strict=True):
                self.running[number] = unit, note, handle

    def news(self, timeout: float) -> News:
        over = self.over(timeout)
        progress: dict[int, tuple[float, str]] = {}
        ended: dict[int, Ending] = {}
        for number, (unit, note, handle) in list(self.running.items()):
            found = _read(note)
            if found.get("progress"):
                share, text = found["progress"]
                progress[number] = share, text
            if number in over:
                del self.running[number]
                said = found.get("ending")
                ending = Ending(*said) if said else Ending("died", self.last_words(unit, handle))
                if ending.how == "stopped":  # not by this command: its machine is wanted for something else
                    ending = Ending("died", f"{ending.text or 'its process was told to end'}; see {unit.log}")
                ended[number] = ending
        return News(progress, ended)

    def stop(self) -> None:
        deadline = time.monotonic() + PATIENCE + 2 * BEAT
        for _, _, handle in self.running.values():
            self.cancel(handle)
        while self.running and time.monotonic() < deadline:
            self.news(BEAT)

    @abstractmethod
    def begin(self, calls: list[tuple[Unit, Path]]) -> list[Handle]:
        """Submits units, with the files that tell of them; returns what they are known by."""

    @abstractmethod
    def over(self, timeout: float) -> set[int]:
        """The numbers of the units whose workers have ended, however; waits for some."""

    @abstractmethod
    def cancel(self, handle: Handle) -> None:
        """Asks the worker of a unit to end."""

    @abstractmethod
    def last_words(self, unit: Unit, handle: Handle) -> str:
        """What is known of a worker that has died."""


def _end_if_dead(folder: Path) -> None:
    """Takes away the folder of a command that was killed, so that its workers end."""
    if not (folder / DRIVER).exists():
        return
    with contextlib.suppress(Timeout, OSError), FileLock(folder / DRIVER, timeout=0):
        shutil.rmtree(folder, ignore_errors=True)


def _read(note: Path) -> dict[str, Any]:
    """What a worker has written; empty if it has not yet."""
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def require(command: str, extra: str) -> ConfigError:
    """The error for an engine whose package is not installed.

    Args:
        command: the engine, as it was given.
        extra: the extra of this package that brings it.
    """
    return ConfigError(f"--engine {command} needs further packages: pip install 'forecastlab[{extra}]'")
