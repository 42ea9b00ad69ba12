"""One training of a benchmark: a task and a seed, in a process of its own."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback

from forecastlab.benchmarks.recipes import recipe_of
from forecastlab.benchmarks.series import SeriesSet
from forecastlab.benchmarks.suites import Task, load, suite_of
from forecastlab.data.survey import survey
from forecastlab.errors import DataError
from forecastlab.experiment.config import Config
from forecastlab.experiment.environment import prepare
from forecastlab.experiment.experiment import Experiment
from forecastlab.experiment.refit import refit
from forecastlab.experiment.refitted import finished
from forecastlab.runs.files import whole, write_whole
from forecastlab.runs.run import Run, resumable
from forecastlab.training.callbacks import Checkpoints, ForecastFigure
from forecastlab.training.callbacks.progress_report import ProgressReport

TRAINED = "trained.json"
"""What a finished training came to."""
ROWS = "rows.csv"
"""The rows of a task that train: those before its first test window."""


@dataclass(frozen=True)
class Training:
    """What a process needs to train one network.

    Attributes:
        folder: where its files go; the task's folder is above it.
        suite: name of the suite.
        task: name of the task.
        seed: of the training.
        recipe: makes the config, by its name.
        settings: values of the config that replace the recipe's, by dotted name.
        data: folder of the published files; None to find or download them.
        allow_import: packages that a class path may import from.
    """

    folder: Path
    suite: str
    task: str
    seed: int
    recipe: str
    settings: Mapping[str, Any]
    data: Path | None = None
    allow_import: tuple[str, ...] = ()


class _Fit(Experiment):
    """`fit` without the figure of the validation, which takes seconds and which nobody looks at."""

    def _callbacks(self, config: Any) -> list[Callback]:
        return [callback for callback in super()._callbacks(config) if not isinstance(callback, ForecastFigure)]


def train(training: Training, report: Callable[[float, str], None]) -> None:
    """Trains a network on the rows before the first test window; goes on where an earlier call was interrupted.

    A first training finds the number of epochs on a validation tail; a second one takes every row.

    Args:
        training: what to train.
        report: told how far the training is.

    Raises:
        ForecastlabError: if the recipe finds no config that the series are long enough for.
    """
    prepare(training.allow_import)
    run = Run(training.folder.parent.parent, training.folder.parent.name, training.folder.name)
    with run.alone():  # a process of an earlier call may still be ending
        if read_json(training.folder / TRAINED):
            return
        last = resumable(training.folder)
    begun, used = time.monotonic(), time.process_time()
    if (epochs := finished(training.folder)) is None:
        fit = _Fit(config_of(training).arguments("fit", ckpt_path=last), run, [ProgressReport(report)]).execute()
        assert isinstance(fit.trainer.checkpoint_callback, Checkpoints)
        epochs = fit.trainer.checkpoint_callback.best_epoch + 1
        refit(fit)
    result = {
        "epochs": epochs,
        "resumed": last is not None,  # the times are then those of the last part
        "wall_s": time.monotonic() - begun,
        "cpu_s": time.process_time() - used,
    }
    write_whole(training.folder / TRAINED, json.dumps(result))


def config_of(training: Training) -> Config:
    """The config that the recipe makes of the rows before the first test window.

    All of these rows train. A validation tail, of each series its own, first finds the number of epochs.

    Args:
        training: what is to be trained.

    Raises:
        ForecastlabError: as the recipe.
    """
    task = suite_of(training.suite).tasks[training.task]
    series = load(task, training.data)
    path = training.folder.parent / ROWS
    with whole(path) as file:
        series.frame(task.rows_before(series)).to_csv(file, index=False)
    answers = answers_of(task, series)
    values = recipe_of(training.recipe)(survey(str(path), answers), answers)
    if not series.together:
        values["data"]["init_args"]["fold_by"] = "series"
    own = {"data.fold": "all", "seed_everything": training.seed, "trainer.devices": 1}
    return Config.of(values).with_values({**own, **training.settings})


def answers_of(task: Task, series: SeriesSet) -> dict[str, Any]:
    """What is known of a task's rows, and what is asked of them, for `survey` and the recipe.

    Args:
        task: whose.
        series: its series.
    """
    answers: dict[str, Any] = {"horizon": task.horizon, "time_column": "ds"}
    if series.together:
        answers |= {"target": list(series.names)}
    else:
        answers |= {"target": "y", "series_column": "unique_id"}
    answers |= {"frequency": series.frequency} if series.starts else {"time_format": "number"}
    if task.season > 1:
        answers["season_length"] = task.season
    return answers


def read_json(path: Path) -> dict[str, Any]:
    """What a file of this room holds; empty if it is not there.

    Raises:
        DataError: if it is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}): delete it and run the command again") from None
    if not isinstance(found, dict):
        raise DataError(f"{path} is damaged: delete it and run the command again")
    return found
