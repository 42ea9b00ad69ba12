"""Units as jobs of SLURM, which submitit submits."""

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from forecastlab.errors import ConfigError
from forecastlab.runs.engines.engine import Engine, Unit, Workers
from forecastlab.runs.engines.remote import RemoteWorkers, attend, require

TIMEOUTS = 20
"""How often the time of a job may be up; it is queued again, and its unit goes on where it was."""
WARNING = 90
"""Seconds before the end of its time at which a job is told, so that its unit keeps its work."""


@dataclass(frozen=True)
class Slurm(Engine):
    """Runs each unit as a job of SLURM; units that are submitted together are one array.

    What is not given here SLURM takes from its own variables, such as SBATCH_PARTITION.

    Attributes:
        minutes: time of a job. A unit that needs more is queued again before its time is up.
        gpus: GPUs for each unit; without any a unit sees none.
        memory: memory of a job, such as 8GB; None for the cluster's usual.
        partition: None for the cluster's usual.
        account: None for the user's usual.
        qos: quality of service; None for the usual.
        cluster: "local" runs the jobs as processes of this machine, by submitit's local executor, to try things.
    """

    minutes: int = 60
    gpus: int = 0
    memory: str | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    cluster: Literal["slurm", "local"] = "slurm"

    @contextlib.contextmanager
    def open(self, folder: Path, preload: Sequence[str]) -> Iterator[Workers]:
        try:
            import submitit
        except ImportError:
            raise require("slurm", "slurm") from None
        if self.minutes < 1 or self.gpus < 0:
            raise ConfigError("--engine slurm: expected minutes of 1 or more, and gpus of 0 or more")
        if self.cluster not in ("slurm", "local"):
            raise ConfigError(f"--engine slurm: expected cluster=slurm or cluster=local, got {self.cluster}")
        if self.cluster == "slurm" and shutil.which("srun") is None:
            raise ConfigError("--engine slurm: this machine has no srun: call it where jobs of SLURM are submitted")
        workers = _Jobs(submitit, folder, self)
        with workers.at_work():
            yield workers


class Attended:
    """What a job of SLURM calls; called again, when its time was up, it does the same.

    Args:
        unit: the unit of the job.
        note: the file that tells of it.
        gpus: whether it may use GPUs.
    """

    def __init__(self, unit: Unit, note: Path, gpus: bool) -> None:
        self.arguments = unit, note, gpus

    def __call__(self) -> None:
        attend(*self.arguments)

    def checkpoint(self) -> Any:
        """What submitit queues before the time of the job is up."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _Jobs(RemoteWorkers[Any]):
    def __init__(self, submitit: Any, folder: Path, given: Slurm) -> None:
        super().__init__(folder)
        self._submitit = submitit
        self._given = given

    def begin(self, calls: list[tuple[Unit, Path]]) -> list[Any]:
        handles: dict[int, Any] = {}
        for threads in {unit.threads for unit, _ in calls}:  # an array has one size
            alike = [number for number, (unit, _) in enumerate(calls) if unit.threads == threads]
            executor = self._executor(threads)
            with executor.batch():
                submitted = [executor.submit(Attended(*calls[number], self._given.gpus > 0)) for number in alike]
            handles |= dict(zip(alike, submitted, strict=True))
        return [handles[number] for number in range(len(calls))]

    def _executor(self, threads: int) -> Any:
        given = self._given
        executor = self._submitit.AutoExecutor(
            self.folder / "jobs", cluster=given.cluster, slurm_max_num_timeout=TIMEOUTS, local_max_num_timeout=TIMEOUTS
        )
        executor.update_parameters(
            name="forecastlab", timeout_min=given.minutes, cpus_per_task=threads, slurm_signal_delay_s=WARNING
        )
        if given.gpus:
            executor.update_parameters(gpus_per_node=given.gpus)
        own = {"mem": given.memory, "partition": given.partition, "account": given.account, "qos": given.qos}
        said = {f"slurm_{name}": value for name, value in own.items() if value is not None}
        executor.update_parameters(**said)
        return executor

    def over(self, timeout: float) -> set[int]:
        deadline = time.monotonic() + timeout
        while True:
            over = {number for number, (_, _, job) in self.running.items() if job.done()}
            if over or time.monotonic() > deadline:
                return over
            time.sleep(0.1)

    def cancel(self, handle: Any) -> None:
        handle.cancel(check=False)

    def last_words(self, unit: Unit, handle: Any) -> str:
        said = (handle.stderr() or "").strip()
        if said:
            with unit.log.open("a", encoding="utf-8") as log:
                log.write(said + "\n")
        return f"its job {handle.job_id} ended without a result (state {handle.state}); see {unit.log}"
