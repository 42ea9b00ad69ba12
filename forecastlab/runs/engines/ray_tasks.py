"""Units as tasks of Ray Core, on this machine or on a cluster."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from forecastlab.errors import ConfigError
from forecastlab.runs.engines.engine import Engine, Unit, Workers
from forecastlab.runs.engines.remote import RemoteWorkers, attend, require


@dataclass(frozen=True)
class Ray(Engine):
    """Runs each unit as a task of Ray Core, which is told its CPU threads and its share of a GPU.

    Where this process is connected to Ray already, that connection is used and kept.

    Attributes:
        address: of a cluster, as `ray start` prints it, or "auto" for the one that this machine belongs to; None for a
            cluster of this machine alone, which ends with the command.
        gpus: GPUs for each unit, or the share of one; without any a unit sees none.
    """

    address: str | None = None
    gpus: float = 0.0

    @contextlib.contextmanager
    def open(self, folder: Path, preload: Sequence[str]) -> Iterator[Workers]:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to others
        if self.address is None:  # nobody else reaches it: Ray then takes the loopback address; read at its import
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        try:
            import ray
        except ImportError:
            raise require("ray", "ray") from None
        ours = not ray.is_initialized()
        if ours:
            _connect(ray, self.address)
        try:
            workers = _Tasks(ray, folder, self.gpus)
            with workers.at_work():
                yield workers
        finally:
            if ours:
                ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    """Connects this process with a cluster, and leaves it its own handling of signals.

    Raises:
        ConfigError: if that cannot be done.
    """
    own: dict[str, Any] = {}
    if address is None:  # its work is as urgent as the command's, where Ray would make it wait for all others
        own = {"include_dashboard": False, "_system_config": {"worker_niceness": 0}}
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    try:
        ray.init(address or "local", log_to_driver=False, logging_level="error", **own)
    except Exception as error:  # of many kinds, plain ones among them
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"--engine ray:{address or ''}: no connection ({said}); start a cluster with ray start --head, give the "
            "address that it prints, and set RAY_AUTH_MODE and the token as on the cluster"
        ) from error
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


class _Tasks(RemoteWorkers[Any]):
    def __init__(self, ray: Any, folder: Path, gpus: float) -> None:
        super().__init__(folder)
        self._ray = ray
        self._gpus = gpus
        self._attend = ray.remote(attend)

    def begin(self, calls: list[tuple[Unit, Path]]) -> list[Any]:
        return [
            self._attend.options(
                name=unit.name,
                num_cpus=unit.threads,
                num_gpus=self._gpus,
                max_retries=0,  # whoever submits a unit counts its lives
            ).remote(replace(unit, preload=(*unit.preload, "ray")), note, self._gpus > 0)  # as Ray's worker does
            for unit, note in calls
        ]

    def over(self, timeout: float) -> set[int]:
        numbers = {handle: number for number, (_, _, handle) in self.running.items()}
        if not numbers:
            return set()
        over, _ = self._ray.wait(list(numbers), num_returns=len(numbers), timeout=timeout, fetch_local=False)
        return {numbers[handle] for handle in over}

    def cancel(self, handle: Any) -> None:
        self._ray.cancel(handle)

    def last_words(self, unit: Unit, handle: Any) -> str:
        try:
            self._ray.get(handle)
        except self._ray.exceptions.RayError as error:
            said = (str(error).strip().splitlines() or [""])[0]
            return f"its worker was lost ({type(error).__name__}: {said}); see {unit.log}"
        return f"its worker ended without a word; see {unit.log}"
