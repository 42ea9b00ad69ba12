"""`benchmark`: a recipe on the tasks of a public suite."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from forecastlab import __version__
from forecastlab.benchmarks import log as scorings
from forecastlab.benchmarks.recipes import recipe_of
from forecastlab.benchmarks.report import report as page_of
from forecastlab.benchmarks.scoring import SCORED, Scoring, score, seed_folder
from forecastlab.benchmarks.suites import Suite, Task, load, suite_of
from forecastlab.benchmarks.summary import summaries_table, summary
from forecastlab.benchmarks.tables import as_text, tables_of
from forecastlab.benchmarks.training import TRAINED, Training, read_json, train
from forecastlab.errors import ConfigError, DataError
from forecastlab.evaluation.tables import Table
from forecastlab.network.factory import allowed_imports
from forecastlab.runs.engines.engine import Engine
from forecastlab.runs.engines.named import engine_of
from forecastlab.runs.engines.process import end_if_imported
from forecastlab.runs.files import write_output, write_whole
from forecastlab.runs.jobs import Job, run_jobs
from forecastlab.runs.run import LOGS, Run

PRELOAD = ("forecastlab.benchmarks.training", "forecastlab.benchmarks.scoring")
"""What the processes need, which is imported once for all of them."""
ROOT_DIR = "trainer.default_root_dir"
"""The setting that says where the runs are, and changes no figure."""
LOG = Path("benchmarks", "log.csv")
"""The log of scorings, unless another is named."""


@dataclass(frozen=True)
class Benchmarked:
    """What a benchmark came to.

    Attributes:
        folder: the run's folder; results.csv in it holds `results`, report.html the tables.
        suite: what was scored.
        results: summaries as fev writes them, ours and those of the suite's baseline.
        failed: what went wrong, by the name of the job; empty if nothing did.
    """

    folder: Path
    suite: Suite
    results: pd.DataFrame
    failed: Mapping[str, str]

    def tables(self) -> list[Table]:
        """The tables, ours beside what others published.

        Raises:
            DataError: if no task is scored.
        """
        if not len(self.results):
            raise DataError(f"no task of {self.suite.name} is scored: {'; '.join(self.failed.values())}")
        return tables_of(self.suite, self.results)

    def __str__(self) -> str:
        return as_text(self.tables()) if len(self.results) else f"no task of {self.suite.name} is scored"


@dataclass
class _Plan:
    """What is left to do in a run."""

    run: Run
    suite: Suite
    recipe: str
    settings: Mapping[str, Any]
    seeds: tuple[int, ...]
    tasks: list[Task]
    data: Path | None
    log: Path
    report: Callable[[str], object]
    ready: list[str] = field(default_factory=list)

    def folder(self, task: str) -> Path:
        return self.run.folder.absolute() / task.replace("/", "_")

    @property
    def threads(self) -> int:
        """CPU threads of each job."""
        return int(self.settings.get("threads", 1))

    def untrained(self, task: str) -> list[int]:
        folder = self.folder(task)
        return [seed for seed in self.seeds if not read_json(seed_folder(folder, seed) / TRAINED)]

    def result(self, task: str) -> dict[str, Any]:
        """What the scoring of a task came to; empty if these seeds are not scored."""
        found = read_json(self.folder(task) / SCORED)
        return found if found.get("seeds") == list(self.seeds) else {}

    def jobs(self) -> Iterator[Job]:
        """The trainings, and each task's scoring as soon as its trainings have ended."""
        waiting = [task.name for task in self.tasks if not self.result(task.name)]
        self.ready = [task for task in waiting if not self.untrained(task)]
        for task in waiting:
            for seed in self.untrained(task):
                yield from self.scorings()
                place = seed_folder(self.folder(task), seed)
                argument = Training(
                    place, self.suite.name, task, seed, self.recipe, self.settings, self.data, allowed_imports()
                )
                yield Job(f"{task}, seed {seed}", train, argument, place / "log", self.threads)
        yield from self.scorings()

    def scorings(self) -> Iterator[Job]:
        """The scorings of the tasks whose trainings have ended since."""
        while self.ready:
            task = self.ready.pop(0)
            place = self.folder(task)
            argument = Scoring(place, self.suite.name, task, self.seeds, self.data, allowed_imports())
            yield Job(f"{task}, scores", score, argument, place / "log", self.threads)

    def ended(self, job: Job, error: str | None) -> str:
        """Notes that a job has ended; says how."""
        task = job.argument.task
        if error is not None:
            return error
        if isinstance(job.argument, Training):
            if not self.untrained(task):
                self.ready.append(task)
            return "trained"
        found = self.result(task)
        self.keep_in_log(self.suite.tasks[task])
        return ", ".join(f"{name} {value:.4f}" for name, value in found["figures"].items())

    def keep_in_log(self, task: Task) -> None:
        """Writes a scoring into the log, unless it is there already or the task is one to develop on."""
        found = self.result(task.name)
        if not found or found.get("logged") or task.development:
            return
        wall, cpu, _ = self.effort(task.name)
        entry = {
            "suite": self.suite.name,
            "task": task.name,
            "recipe": self.recipe,
            "settings": json.dumps({name: self.settings[name] for name in self.settings if name != ROOT_DIR}),
            "backbone": found["backbone"],
            "seeds": " ".join(map(str, self.seeds)),
            **found["figures"],
            "wall_s": None if wall is None else f"{wall:.1f}",
            "cpu_s": None if cpu is None else f"{cpu:.1f}",
        }
        number = scorings.append(self.log, entry)
        write_whole(self.folder(task.name) / SCORED, json.dumps({**found, "logged": True}))
        if number > 1:
            self.report(
                f"{task.name}: this is scoring {number} by version {__version__}, says {self.log}: a figure chosen "
                "among several is no longer one of unseen rows"
            )

    def effort(self, task: str) -> tuple[float, float, float] | tuple[None, None, None]:
        """Seconds of a scored task: wall and CPU time of all its parts, and wall time of its trainings alone.

        Of a training that was resumed only the last part is known: then they are None.
        """
        trainings = [read_json(seed_folder(self.folder(task), seed) / TRAINED) for seed in self.seeds]
        if any(part["resumed"] for part in trainings):
            return None, None, None
        parts = [*trainings, self.result(task)]
        wall, cpu = (sum(float(part[name]) for part in parts) for name in ("wall_s", "cpu_s"))
        return wall, cpu, sum(float(part["wall_s"]) for part in trainings)

    def results(self) -> pd.DataFrame:
        """The summaries of the tasks that are scored, and of the baseline on the same."""
        rows = []
        for task in self.suite.tasks.values():
            found = self.result(task.name)
            if not found:
                continue
            series = load(task, self.data)
            _, cpu, training = self.effort(task.name)
            more = {
                "training_time_s": training,
                "inference_time_s": found["wall_s"],
                "recipe": self.recipe,
                "backbone": found["backbone"],
                "seeds": " ".join(map(str, self.seeds)),
                "fallen_back": found["fallen_back"],
                "cpu_s": cpu,
            }
            name = f"{self.recipe} ({found['backbone']})" if "model.backbone" in self.settings else self.recipe
            rows.append(summary(self.suite, task, series, f"forecastlab {name}", found["figures"], more))
            rows.append(summary(self.suite, task, series, self.suite.baseline, found["baseline"], {}))
        return summaries_table(rows)


def benchmark(
    suite: str,
    recipe: str = "auto",
    settings: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (0,),
    tasks: Sequence[str] | None = None,
    jobs: int = 1,
    data: str | Path | None = None,
    log: str | Path = LOG,
    new: bool = False,
    report: Callable[[str], object] = lambda text: print(f"forecastlab: {text}", file=sys.stderr),
    engine: str | Engine = "local",
) -> Benchmarked:
    """Trains a recipe on each task of a public suite, and scores it by the suite's own protocol.

    Each task and seed is trained in a process of its own, on the rows before the first test window only. A repeated
    call with the same recipe and settings skips what is finished and resumes what is not. A script that calls this
    needs `if __name__ == "__main__":`, as all programs that begin processes.

    Every scoring of a task on which defaults may not be derived is added to a log.

    Args:
        suite: its name: gift-offline, chronos-zs, m4 or ltsf.
        recipe: what makes the config of a task; "auto", or a function of an allowed package by its dotted path.
        settings: values of the config that replace the recipe's, by dotted name, such as {"model.backbone": "GRU"}.
        seeds: of the trainings; the forecasts of several are averaged.
        tasks: names of the tasks; None for all.
        jobs: trainings at once, one thread each.
        data: folder of the published files; None to find or download them.
        log: the log of scorings, a CSV file.
        new: begins a new run instead of going on with an equal one.
        report: told what must be known about the scores.
        engine: where they run: "local", "ray", "ray:ADDRESS", "slurm", or an engine.

    Raises:
        ConfigError: for a setting that cannot be used.
        DataError: for published files, or files of an earlier call, that cannot be used.
    """
    end_if_imported()
    found, own, engine = suite_of(suite), dict(settings or {}), engine_of(engine)
    chosen = found.chosen(tasks)
    if jobs < 1:
        raise ConfigError(f"--jobs must be positive, got {jobs}")
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ConfigError(f"--seeds: expected different numbers from 0 on, got {', '.join(map(str, seeds)) or 'none'}")
    if taken := [name for name in own if name in ("seed_everything", "data.fold", "trainer.devices")]:
        raise ConfigError(f"{taken[0]} is the benchmark's to set: leave it out (--seeds names seeds)")
    recipe_of(recipe)  # before anything is trained
    folder = None if data is None else Path(data).resolve()
    for task in chosen:
        load(task, folder)
    root = Path(own.get(ROOT_DIR) or ".", LOGS)
    kept = {"suite": suite, "recipe": recipe, "settings": own, "version": __version__}
    run = Run.continued(root, f"benchmark-{suite}", kept, {}, new)
    plan = _Plan(run, found, recipe, own, tuple(seeds), chosen, folder, Path(log), report)
    with run.alone():
        for task in chosen:
            plan.keep_in_log(task)  # of a call that was stopped between a scoring and its line
        total = sum(len(plan.untrained(task.name)) + 1 for task in chosen if not plan.result(task.name))
        failed = run_jobs(plan.jobs(), jobs, PRELOAD, total, plan.ended, engine, run.folder)
        last = list(plan.scorings())  # of the trainings that ended last
        failed |= run_jobs(last, jobs, PRELOAD, ended=plan.ended, engine=engine, folder=run.folder)
        results = plan.results()
        done = Benchmarked(run.folder, found, results, failed)
        if len(results):
            write_output(results.to_csv(index=False), run.folder / "results.csv")
            write_output(page_of(found, results), run.folder / "report.html")
    return done
