"""The scoring of a task: the networks of all seeds forecast every test window together."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from forecastlab.benchmarks.forecasting import Forecasts
from forecastlab.benchmarks.scores import Scores, naive_scores
from forecastlab.benchmarks.suites import load, suite_of
from forecastlab.benchmarks.windows import TestWindows
from forecastlab.experiment.environment import prepare
from forecastlab.network.network import Network
from forecastlab.runs.files import write_whole
from forecastlab.runs.run import CHECKPOINTS

SCORED = "scored.json"
"""What the scoring of a task came to."""


@dataclass(frozen=True)
class Scoring:
    """What a process needs to score a task.

    Attributes:
        folder: the task's; the folders of the seeds are in it.
        suite: name of the suite.
        task: name of the task.
        seeds: of the networks whose forecasts are averaged.
        data: folder of the published files; None to find or download them.
        allow_import: packages that a class path may import from.
    """

    folder: Path
    suite: str
    task: str
    seeds: tuple[int, ...]
    data: Path | None = None
    allow_import: tuple[str, ...] = ()


def score(scoring: Scoring, report: Callable[[float, str], None]) -> None:
    """Forecasts and scores all test windows of a task, and keeps the figures.

    Args:
        scoring: what to score.
        report: told how far it is.

    Raises:
        ForecastlabError: if a network cannot be read, or forecasts what is not a number.
    """
    prepare(scoring.allow_import)
    begun, used = time.monotonic(), time.process_time()
    task = suite_of(scoring.suite).tasks[scoring.task]
    series = load(task, scoring.data)
    networks = [Network.load(seed_folder(scoring.folder, seed) / CHECKPOINTS / "best.ckpt") for seed in scoring.seeds]
    forecasts, scores = Forecasts(networks, task, series), Scores(task, series)
    windows, done = TestWindows.of(task, series), 0
    for part in windows.parts():
        scores.add(part, forecasts.of(part))
        done += len(part)
        report(done / len(windows), f"{done} of {len(windows)} windows")
    result = {
        "seeds": list(scoring.seeds),
        "figures": scores.figures(),
        "baseline": naive_scores(task, series),
        "backbone": type(networks[0].backbone).__name__,
        "windows": len(windows),
        "fallen_back": forecasts.fallen_back,
        "wall_s": time.monotonic() - begun,
        "cpu_s": time.process_time() - used,
    }
    write_whole(scoring.folder / SCORED, json.dumps(result))
    if forecasts.fallen_back:
        print(f"{forecasts.fallen_back} of {len(windows)} windows are forecast by the seasonal naive")


def seed_folder(folder: Path, seed: int) -> Path:
    """The folder of one training of a task.

    Args:
        folder: the task's.
        seed: of the training.
    """
    return folder / f"seed_{seed}"
