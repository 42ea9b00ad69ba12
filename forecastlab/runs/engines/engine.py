"""What an engine is: units are submitted to it, and it reports how far they are and how they ended."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PATIENCE = 30.0
"""Seconds that a unit gets to keep its work when it is told to end."""

Report = Callable[[float, str], None]
"""Takes the share of a job that is done, 0 .. 1, and a few words about it."""


@dataclass(frozen=True)
class Unit:
    """A job as it travels to where it runs: values and absolute paths only. What comes of it is in files.

    Attributes:
        name: what the display calls it.
        work: a pickled pair: a function of a module, and what it is called with besides a `Report`.
        log: file that takes what the job prints.
        folder: the working folder, in which the names of files in a config are looked up.
        threads: CPU threads that the job uses.
        preload: modules that are imported before the first job begins.
    """

    name: str
    work: bytes
    log: Path
    folder: Path
    threads: int
    preload: tuple[str, ...]


@dataclass(frozen=True)
class Ending:
    """How a unit has ended.

    Attributes:
        how: "done"; "failed" by an error of its own, which it would meet again; "stopped" by somebody who asked it to
            end; "died" with its process or its machine, so that it can be begun again.
        text: what is said of it.
    """

    how: Literal["done", "failed", "stopped", "died"]
    text: str = ""


@dataclass(frozen=True)
class News:
    """What an engine reports.

    Attributes:
        progress: the share that is done and a few words, by the number of the unit.
        ended: how units have ended, by their number; each is reported once, and its number is free again.
    """

    progress: Mapping[int, tuple[float, str]]
    ended: Mapping[int, Ending]


class Workers(ABC):
    """An engine at work."""

    @abstractmethod
    def submit(self, units: Mapping[int, Unit]) -> None:
        """Takes units, each under a number that no unit at work has.

        Args:
            units: the units by their numbers.
        """

    @abstractmethod
    def news(self, timeout: float) -> News:
        """What has happened since the last call; waits for it.

        Args:
            timeout: seconds after which nothing may have happened.
        """

    @abstractmethod
    def stop(self) -> None:
        """Tells the units at work to end, and returns when they have; what they have done so far is kept."""


class Engine(ABC):
    """Where units run."""

    @abstractmethod
    def open(self, folder: Path, preload: Sequence[str]) -> AbstractContextManager[Workers]:
        """Begins work.

        Args:
            folder: the folder of the run, which every machine sees by this path.
            preload: modules that the units need.

        Raises:
            ConfigError: if the engine cannot be used.
        """
