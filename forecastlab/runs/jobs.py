"""Independent jobs on an engine, with one live display."""

import os
import pickle
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from forecastlab.runs.engines.engine import Ending, Engine, Report, Unit
from forecastlab.runs.engines.local import Local
from forecastlab.runs.live_line import LiveLine
from forecastlab.runs.work_left import work_left

LIVES = 3
"""How often a job may die before it counts as failed."""


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Attributes:
        name: what the display calls it; no two jobs have the same.
        work: called with `argument` and a `Report` in a process of its own; a function of a module.
        argument: anything that can be pickled; paths in it are absolute.
        log: file that takes what the job prints.
        threads: CPU threads that it uses.
        lives: how often it may die with its process or its machine; it is begun again, and goes on where it was.
    """

    name: str
    work: Callable[[Any, Report], None]
    argument: Any
    log: Path
    threads: int = 1
    lives: int = LIVES


@dataclass
class _Running:
    job: Job
    task: TaskID
    begun: float
    share: float = 0.0
    note: str = ""


def run_jobs(
    jobs: Iterable[Job],
    places: int,
    preload: Sequence[str] = (),
    total: int | None = None,
    ended: Callable[[Job, str | None], str] = lambda job, error: error or "done",
    engine: Engine | None = None,
    folder: Path | None = None,
) -> dict[str, str]:
    """Runs jobs, several at a time, each in a fresh process; one that fails or is killed does not touch the others.

    A live display is drawn if standard output is a terminal; otherwise a line is printed as each job ends, and every
    half minute one of how far they are. Both say how long all of them still take (`work_left`). When this process is
    interrupted or ends, so do they.

    Args:
        jobs: the jobs, in the order in which they are begun; an iterator is asked for one when a place is free.
        places: the most that run at once.
        preload: modules that are imported once for all processes.
        total: how many jobs there are, for the display, where `jobs` is an iterator; it may give more.
        ended: told when a job has ended and what went wrong with it, None for nothing; gives what is printed of it.
        engine: where they run; None for this machine.
        folder: the folder of the run, which every machine of the engine sees; None for the working folder.

    Returns:
        What went wrong, by the name of the job; empty if nothing did.

    Raises:
        ConfigError: if the engine cannot be used.
    """
    numbered = enumerate(jobs)
    if not (first := list(islice(numbered, 1))):
        return {}
    waiting = chain(first, numbered)
    running: dict[int, _Running] = {}
    died: list[tuple[int, Job]] = []
    deaths: Counter[int] = Counter()
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
    with (
        (engine or Local()).open((folder or Path()).absolute(), preload) as workers,
        Progress(*columns, console=console, refresh_per_second=4, disable=not console.is_terminal) as progress,
    ):
        everything = progress.add_task("all", total=number_of_jobs, note="")
        over = 0
        try:
            while True:
                begun = {**dict(died), **dict(islice(waiting, places - len(running) - len(died)))}
                died = []
                workers.submit({number: _unit(job, preload) for number, job in begun.items()})
                for number, job in begun.items():
                    running[number] = _Running(job, progress.add_task(job.name, total=1.0, note=""), time.monotonic())
                if not running:
                    break
                news = workers.news(timeout=0.5)
                for number, (share, text) in news.progress.items():
                    one = running[number]
                    one.share, one.note = share, text
                    progress.update(one.task, completed=share, note=text)
                for number, ending in news.ended.items():
                    one = running.pop(number)
                    job = one.job
                    progress.remove_task(one.task)
                    deaths[number] += ending.how == "died"
                    if ending.how == "died" and deaths[number] < job.lives:
                        died.append((number, job))
                        said = f"{ending.text}; it is begun again"
                    else:
                        over += 1
                        error = _error(ending, deaths[number])
                        if error is not None:
                            failed[job.name] = error
                        else:
                            took.append(time.monotonic() - one.begun)
                        said = ended(job, error)
                    line.end()
                    progress.console.print(f"{job.name}: {said}", markup=False, highlight=False, soft_wrap=True)
                if number_of_jobs is not None:  # an iterator may give more, in place of those that failed
                    number_of_jobs = max(number_of_jobs, over + len(running))
                    progress.update(everything, total=number_of_jobs)
                ages = [(time.monotonic() - one.begun, one.share) for one in running.values()]
                waits = 0 if number_of_jobs is None else number_of_jobs - over - len(running)
                left = "" if number_of_jobs is None else work_left(took, ages, waits, places)
                at_work = sum(one.share for one in running.values())
                progress.update(everything, completed=over + at_work, note=left)
                if running and not console.is_terminal and line.due:
                    of = "" if number_of_jobs is None else f" of {number_of_jobs}"
                    line.show([f"{over}{of} ended", left, *map(_how_far, running.values())])
        finally:
            line.end()
            workers.stop()
    return failed


def _how_far(one: _Running) -> str:
    return f"{one.job.name}: {one.note or f'{one.share:.0%}'}"


def _unit(job: Job, preload: Sequence[str]) -> Unit:
    """A job as it travels."""
    work = pickle.dumps((job.work, job.argument))
    return Unit(job.name, work, job.log.absolute(), Path(os.getcwd()), job.threads, tuple(preload))


def _error(ending: Ending, deaths: int) -> str | None:
    """What went wrong with a job that is not begun again; None if nothing did."""
    if ending.how == "done":
        return None
    if ending.how == "stopped":
        return "stopped; run again, it goes on where it was"
    return f"failed: {ending.text}" + (f" (it died {deaths} times)" if deaths > 1 else "")
