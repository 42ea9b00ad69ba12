"""Independent jobs in processes of their own, with one live display."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from forecastlab.errors import ForecastlabError
from forecastlab.runs.live_line import LiveLine
from forecastlab.runs.signals import Stopped, stoppable
from forecastlab.runs.work_left import work_left

PATIENCE = 30.0
"""Seconds that a process gets to keep its work when it is told to end."""

Report = Callable[[float, str], None]
"""Takes the share of a job that is done, 0 .. 1, and a few words about it."""


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Attributes:
        name: what the display calls it.
        work: called with `argument` and a `Report` in a process of its own; a function of a module.
        argument: anything that can be pickled.
        log: file that takes what the job prints.
    """

    name: str
    work: Callable[[Any, Report], None]
    argument: Any
    log: Path


@dataclass
class _Running:
    job: Job
    process: BaseProcess
    connection: Connection
    task: TaskID
    begun: float
    share: float = 0.0
    note: str = ""
    error: str | None = None


def run_jobs(
    jobs: Iterable[Job],
    processes: int,
    preload: Sequence[str] = (),
    total: int | None = None,
    ended: Callable[[Job, str | None], str] = lambda job, error: error or "done",
) -> dict[str, str]:
    """Runs jobs, several at a time, each in a fresh process; one that fails or is killed does not touch the others.

    On a machine with GPUs the processes are spread over them. A live display is drawn if standard output is a
    terminal; otherwise a line is printed as each job ends, and every half minute one of how far they are. Both say how
    long all of them still take (`work_left`). When this process is interrupted or ends, so do they.

    Args:
        jobs: the jobs, in the order in which they are begun; an iterator is asked for one when a process is free.
        processes: the most that run at once.
        preload: modules that are imported once for all processes.
        total: how many jobs there are, for the display, where `jobs` is an iterator.
        ended: told when a job has ended and what went wrong with it, None for nothing; gives what is printed of it.

    Returns:
        What went wrong, by the name of the job; empty if nothing did.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    waiting = enumerate(jobs)
    running: dict[int, _Running] = {}
    failed: dict[str, str] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    number_of_jobs = len(jobs) if isinstance(jobs, Sequence) else total
    took: list[float] = []
    console = Console()
    line = LiveLine(console.file)
    with Progress(*columns, console=console, refresh_per_second=4, disable=not console.is_terminal) as progress:
        everything = progress.add_task("all", total=number_of_jobs, note="")
        begun_jobs = 0
        try:
            while True:
                for number, job in islice(waiting, processes - len(running)):
                    begun = _begin(context, number, job, progress)
                    running[begun.process.sentinel] = begun
                    begun_jobs += 1
                if not running:
                    break
                ready = wait([*running, *(one.connection for one in running.values())], timeout=0.5)
                for sentinel, one in list(running.items()):
                    is_over = sentinel in ready
                    _listen(one, progress)  # also what it said just before it ended
                    if not is_over:
                        continue
                    one.process.join()
                    del running[sentinel]
                    error = _error(one)
                    if error is not None:
                        failed[one.job.name] = error
                    else:
                        took.append(time.monotonic() - one.begun)
                    progress.remove_task(one.task)
                    progress.advance(everything)
                    line.end()
                    ended_how = f"{one.job.name}: {ended(one.job, error)}"
                    progress.console.print(ended_how, markup=False, highlight=False, soft_wrap=True)
                ages = [(time.monotonic() - one.begun, one.share) for one in running.values()]
                left = "" if number_of_jobs is None else work_left(took, ages, number_of_jobs - begun_jobs, processes)
                progress.update(everything, note=left)
                if running and not console.is_terminal and line.due:
                    of = "" if number_of_jobs is None else f" of {number_of_jobs}"
                    line.show([f"{begun_jobs - len(running)}{of} ended", left, *map(_how_far, running.values())])
        finally:
            line.end()
            for one in running.values():
                one.process.terminate()
            for one in running.values():
                one.process.join(PATIENCE)
                one.process.kill()
                one.process.join()
    return failed


def _begin(context: Any, number: int, job: Job, progress: Progress) -> _Running:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, number, sender))
    process.start()
    sender.close()
    return _Running(job, process, receiver, progress.add_task(job.name, total=1.0, note=""), time.monotonic())


def _how_far(one: _Running) -> str:
    return f"{one.job.name}: {one.note or f'{one.share:.0%}'}"


def _listen(one: _Running, progress: Progress) -> None:
    with contextlib.suppress(EOFError, OSError):  # the process has ended
        while one.connection.poll():
            kind, share, text = one.connection.recv()
            if kind == "error":
                one.error = text
            else:
                one.share, one.note = share, text
                progress.update(one.task, completed=share, note=text)


def _error(one: _Running) -> str | None:
    """What went wrong with a job that has ended; None if nothing did."""
    code = one.process.exitcode
    if code == 0:
        return None
    if one.error is not None:
        return f"failed: {one.error}"
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        return "stopped; run again, it goes on where it was"
    return f"failed: the process {how}; see {one.job.log}"


def _work(job: Job, number: int, connection: Connection) -> None:
    """What runs in the process of a job."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        os.dup2(log.fileno(), sys.__stderr__.fileno() if sys.__stderr__ else 2)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else [str(device) for device in range(torch.cuda.device_count())]
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]

    def report(share: float, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            connection.send(("progress", share, text))

    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with stoppable():
            job.work(job.argument, report)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(stopped.status)
    except ForecastlabError as error:
        connection.send(("error", 0.0, str(error)))
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        connection.send(("error", 0.0, f"{type(error).__name__}: {error}; see {job.log}"))
        sys.exit(1)


def _end_with_parent() -> None:
    """Stops this process when the one that began it is gone: a second call must find its work lying still."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
