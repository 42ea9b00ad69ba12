"""A process of its own for a unit: the same on this machine and on the machines of a cluster."""

import contextlib
import inspect
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from forecastlab.errors import ConfigError, ForecastlabError
from forecastlab.runs.engines.engine import PATIENCE, Ending, Unit
from forecastlab.runs.signals import Stopped, stoppable

START = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""How processes begin: from one that has imported what they need, or, on Windows, by importing it each."""
UNGUARDED = 77
"""The exit status of a process that would begin other work while it imports the script that began it."""


def end_if_imported() -> None:
    """Ends this process if it was begun for a unit, and only imports the script that begins units.

    A function that begins units calls it first, or a script that calls that function without
    `if __name__ == "__main__":` would begin it again in every process.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == "__mp_main__" and frame.f_code.co_name == "<module>":
            os._exit(UNGUARDED)  # with an exception, each process would print a traceback
        frame = frame.f_back


class UnitProcess:
    """The process that runs a unit. It ends when the process that began it does.

    Args:
        unit: what it runs.
        devices: the GPUs that it may use, as in CUDA_VISIBLE_DEVICES; "" for none, None for those of this process.
        place: which of these GPUs it takes, counted over and over again; None for all.
    """

    def __init__(self, unit: Unit, devices: str | None = None, place: int | None = None) -> None:
        context: Any = multiprocessing.get_context(START)
        if START == "forkserver":
            context.set_forkserver_preload(list(unit.preload))
        receiver, sender = context.Pipe(duplex=False)
        self.unit = unit
        self.progress: tuple[float, str] | None = None
        self._error: str | None = None
        self._connection: Connection = receiver
        self._process: BaseProcess = context.Process(target=_work, args=(unit, devices, place, sender))
        self._process.start()
        sender.close()

    @property
    def sentinel(self) -> int:
        """What `multiprocessing.connection.wait` says has come when the process has ended."""
        return self._process.sentinel

    @property
    def connection(self) -> Connection:
        """What `multiprocessing.connection.wait` says has come when the process has said something."""
        return self._connection

    def listen(self) -> None:
        """Takes what the process has said into `progress`."""
        with contextlib.suppress(EOFError, OSError):  # the process has ended
            while self._connection.poll():
                kind, share, text = self._connection.recv()
                if kind == "error":
                    self._error = text
                else:
                    self.progress = share, text

    def ending(self) -> Ending:
        """How the process has ended; waits until it has.

        Raises:
            ConfigError: if the script that began it would begin its work in every process again.
        """
        self._process.join()
        self.listen()  # also what it said just before
        self._connection.close()
        code = self._process.exitcode
        if code == 0:
            return Ending("done")
        if code == UNGUARDED:
            script = getattr(sys.modules["__main__"], "__file__", "the script")
            raise ConfigError(
                f"{script}: every process of a training imports this script, and would begin the work again. Put "
                'all that is no import, function or class below the line\n\n    if __name__ == "__main__":\n'
            )
        if self._error is not None:
            return Ending("failed", self._error)
        if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            return Ending("stopped")
        if code is not None and code < 0:
            return Ending("died", f"the process was killed by signal {-code}; see {self.unit.log}")
        return Ending("failed", f"the process ended with status {code}; see {self.unit.log}")

    def terminate(self) -> None:
        """Asks the process to end."""
        self._process.terminate()

    def end(self) -> None:
        """Waits for a process that was asked to end, and kills it when it does not."""
        self._process.join(PATIENCE)
        self._process.kill()
        self._process.join()


def _work(unit: Unit, devices: str | None, place: int | None, connection: Connection) -> None:
    """What runs in the process."""
    unit.log.parent.mkdir(parents=True, exist_ok=True)
    with unit.log.open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        os.dup2(log.fileno(), sys.__stderr__.fileno() if sys.__stderr__ else 2)

    def report(share: float, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            connection.send(("progress", share, text))

    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with stoppable():
            _enter(unit.folder)
            _choose_devices(devices, place)
            function: Callable[[Any, Any], None]
            function, argument = pickle.loads(unit.work)
            function(argument, report)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(stopped.status)
    except ForecastlabError as error:
        connection.send(("error", 0.0, str(error)))
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        connection.send(("error", 0.0, f"{type(error).__name__}: {error}; see {unit.log}"))
        sys.exit(1)


def _enter(folder: Path) -> None:
    """Goes to the folder in which the command was begun.

    Raises:
        ConfigError: if this machine has no such folder.
    """
    try:
        os.chdir(folder)
    except OSError as error:
        raise ConfigError(
            f"the folder {folder}, in which the command was begun, cannot be used on {socket.gethostname()}: "
            f"{error.strerror}; begin the command in a folder that all machines share"
        ) from None


def _choose_devices(devices: str | None, place: int | None) -> None:
    """Lets this process see the GPUs that are meant for it."""
    if devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices
    if place is None:
        return
    import torch  # here, since whoever begins a process need not have it

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = visible.split(",") if visible else [str(device) for device in range(torch.cuda.device_count())]
    if found:
        os.environ["CUDA_VISIBLE_DEVICES"] = found[place % len(found)]


def _end_with_parent() -> None:
    """Stops this process when the one that began it is gone: a second call must find its work lying still."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
