"""Units in processes of this machine."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

from forecastlab.runs.engines.engine import Engine, News, Unit, Workers
from forecastlab.runs.engines.process import UnitProcess


@dataclass(frozen=True)
class Local(Engine):
    """Runs each unit in a fresh process of this machine; where there are GPUs the processes are spread over them."""

    @contextlib.contextmanager
    def open(self, folder: Path, preload: Sequence[str]) -> Iterator[Workers]:
        yield _Processes()


class _Processes(Workers):
    def __init__(self) -> None:
        self._running: dict[int, UnitProcess] = {}
        self._begun = 0

    def submit(self, units: Mapping[int, Unit]) -> None:
        for number, unit in units.items():
            self._running[number] = UnitProcess(unit, place=self._begun)
            self._begun += 1

    def news(self, timeout: float) -> News:
        running = self._running.values()
        ready = wait([part for one in running for part in (one.sentinel, one.connection)], timeout=timeout)
        progress, ended = {}, {}
        for number, one in list(self._running.items()):
            one.listen()
            if one.progress is not None:
                progress[number] = one.progress
            if one.sentinel in ready:
                ended[number] = self._running.pop(number).ending()
        return News(progress, ended)

    def stop(self) -> None:
        for one in self._running.values():
            one.terminate()
        for one in self._running.values():
            one.end()
