"""`fit`: from a file or a frame to a trained model, in one call."""

import contextlib
import difflib
import inspect
import io
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from forecastlab.data.options import DataOptions
from forecastlab.data.published import PUBLISHED, published_path
from forecastlab.data.survey import OpenQuestionError, Survey, survey
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.errors import ConfigError, ReadingNote
from forecastlab.experiment.config import Config
from forecastlab.experiment.experiment import Experiment
from forecastlab.experiment.proposal import proposed
from forecastlab.experiment.refit import refit
from forecastlab.models.model import Model
from forecastlab.models.quiet import within_a_program
from forecastlab.runs.run import Run

_SAID = {"markers": "na_values", "known": "known", "static": "static"}
"""What was seen that changes how the data are read, and the argument that would have said it."""


def fit(
    source: Any,
    target: str | int | Sequence[str | int] | None = None,
    horizon: int | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    experiment: str | None = None,
    **answers: Any,
) -> Model:
    """Looks at the data, chooses a config, trains it and returns a model.

    What is not given is found out, as `forecastlab init` does; `model.config` holds all of it. It trains on the rows
    before the test range of the newest fold, which `model.score()` then scores; `fold="all"` trains on every row.

    Without `experiment` nothing is left in the working folder.

    Args:
        source: a frame or series of pandas, polars or pyarrow, the path of a file or folder, several paths, or the name
            of a published dataset such as "airline".
        target: the column, or several, to predict; None to find it out.
        horizon: number of steps that are forecast; None to choose it.
        settings: any other value of the config by dotted name, which wins over what was chosen, such as
            {"model.backbone": "GRU", "model.backbone.hidden_size": 16, "trainer.max_epochs": 20}.
        experiment: keeps the run under this name in lightning_logs, as the command `fit` does.
        answers: any argument of `TableDataModule`, such as `time_column="date"`, `series_column="store"`,
            `known=["price"]`, `lookback=56` or `fold="all"`.

    Raises:
        OpenQuestionError: for what the data do not tell; it says which argument answers it.
        ConfigError: for a setting that is unknown or cannot be used.
        DataError: for data that cannot be read, or are too few.
    """
    kept = {} if experiment is None else {"experiment": experiment}
    config, notes = _chosen(source, target, horizon, answers, {**(settings or {}), **kept})
    return trained(config, experiment, notes)


def trained(config: Config, experiment: str | None = None, notes: Sequence[str] = ()) -> Model:
    """Trains a config within this program, on one device.

    Args:
        config: the experiment.
        experiment: keeps the run, whose config has this name, in lightning_logs; None keeps nothing.
        notes: sentences that are said before.

    Raises:
        ConfigError: for a setting that cannot be used.
        DataError: for data that cannot be read, or are too few.
    """
    devices = config.values["trainer"]["devices"]
    if devices not in ("auto", 1):
        raise ConfigError(
            f"trainer.devices: a program trains on one device, got {devices}; write a config with forecastlab init and "
            "train on several with forecastlab fit"
        )
    if devices == "auto":
        config = config.with_values({"trainer.devices": 1})
    with within_a_program(), _run(experiment) as run:
        for note in notes:
            warnings.warn(note, ReadingNote, stacklevel=3)
        training = _Training(config.arguments("fit"), run, held=config.held).execute()
        if run is None:
            refit(training)
        else:
            with contextlib.redirect_stdout(io.StringIO()):  # it names folders that are gone in a moment
                refit(training)
        best = getattr(training.trainer.checkpoint_callback, "best_model_path", "")
        if not best:
            raise ConfigError("no epoch was trained, validated and kept, so there is no model")
        return Model.of(best, config)


class _Training(Experiment):
    """`fit`, which speaks of its folder only where that is kept."""

    def after_fit(self) -> None:
        if self.given_run is None:
            super().after_fit()

    def _how_to_go_on(self) -> str:
        return super()._how_to_go_on() if self.given_run is None else ""


@contextlib.contextmanager
def _run(experiment: str | None) -> Iterator[Run | None]:
    """The run of a training: None for one that is kept, else one in a folder that is removed."""
    if experiment is not None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="forecastlab-", ignore_cleanup_errors=True) as folder:
        yield Run.new(Path(folder), "fit")


def _chosen(
    source: Any,
    target: str | int | Sequence[str | int] | None,
    horizon: int | None,
    answers: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> tuple[Config, list[str]]:
    """The config for what is seen in the data and what is given, and sentences on what nobody said."""
    given = {name: value for name, value in answers.items() if value is not None}
    if isinstance(given.get("na_values"), str | int | float):
        given["na_values"] = [given["na_values"]]
    _require_known(given)
    named = {} if target is None else {"target": target if isinstance(target, str | int) else list(target)}
    seen = _seen(source, {**given, **named})
    chosen = proposed(seen, {**given, **({} if horizon is None else {"horizon": horizon})})
    own = {f"data.{name}": value for name, value in given.items()}
    chosen["trainer"] |= {"devices": 1}
    config = Config.of(chosen).with_values({**own, **settings})
    epochs = config.values["trainer"]["max_epochs"]
    if epochs > 0 and not any(name == "model" or name.startswith("model.lr_scheduler") for name in settings):
        config = config.with_values({"model.lr_scheduler.T_max": epochs})  # the chosen one is as long as the training
    data = config.values["data"]["init_args"]
    free = ["target"] if target is None and seen.covariates else []  # with no other column it needs no choice
    free += ["horizon"] if horizon is None else []
    notes = []
    if free:
        found = f"{', '.join(data['targets'])} is forecast, {data['horizon']} steps ahead"
        notes.append(f"{found}: {' and '.join(free)} {'was' if len(free) == 1 else 'were'} not given")
    return config, notes + [fact for label, fact in seen.facts if label in _SAID and _SAID[label] not in given]


def _seen(source: Any, answers: Mapping[str, Any]) -> Survey:
    """What is in the data.

    Raises:
        OpenQuestionError: for what they do not tell, in words of Python.
    """
    if isinstance(source, os.PathLike):
        source = str(source)
    dataset = source if isinstance(source, str) and source in PUBLISHED and not os.path.exists(source) else None
    try:
        return survey(source if dataset is None else str(published_path(dataset)), answers, dataset)
    except OpenQuestionError as question:
        raise OpenQuestionError(question.question, question.option, question.choices, in_python=True) from None


def _require_known(answers: Mapping[str, Any]) -> None:
    """Refuses arguments that no data module has."""
    taken = {*inspect.signature(TableDataModule).parameters, *inspect.signature(DataOptions).parameters}
    known = sorted(taken - {"path", "dataset", "recipe", "options", "targets", "horizon"} | {"target", "horizon"})
    for name in answers:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(
                f"fit: there is no argument {name!r}{hint} Settings of the model and its training go into settings, "
                f"such as settings={{'model.backbone': 'GRU'}}. Of the data there are: {', '.join(known)}"
            )
