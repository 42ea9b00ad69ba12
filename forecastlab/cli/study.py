"""A study's configs, its trials in processes of their own, and its results."""

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonargparse
import yaml
from optuna.trial import TrialState

from forecastlab.adapters.jsonargparse import options_of
from forecastlab.cli.crossval import ConfigReader
from forecastlab.cli.data import data_module
from forecastlab.cli.messages import explain
from forecastlab.cli.trial import Trial, train
from forecastlab.data.folds import Fold
from forecastlab.errors import ConfigError
from forecastlab.evaluation.drawing import png
from forecastlab.evaluation.page import write
from forecastlab.evaluation.search_figures import importances, study_history
from forecastlab.network import factory
from forecastlab.runs.files import write_whole
from forecastlab.runs.jobs import Job, run_jobs
from forecastlab.runs.run import Run
from forecastlab.tuning.results import best_of, importance_of, trials_table
from forecastlab.tuning.space import Space, Value
from forecastlab.tuning.study import Address, Worker

TRIALS = "trials.csv"
BEST = "best.yaml"
PRELOAD = ("forecastlab.cli.trial",)
IN_A_ROW = 5
"""Trials that fail one after the other before a call gives up."""


class Configs:
    """The configs of a study's trials: a command line of `fit`, with some values replaced.

    Args:
        args: the command line after `fit`.
    """

    def __init__(self, args: Sequence[str]) -> None:
        self.args = args
        self.reader = ConfigReader(["fit", *args])
        self.parser = self.reader.parsers["fit"]
        self.values = self.reader.values

    def __call__(self, chosen: Mapping[str, Value]) -> dict[str, Any]:
        """The config with these values.

        Raises:
            ConfigError: if the parser refuses one.
        """
        given = [f"--{name}={_as_text(value)}" for name, value in chosen.items()]
        try:
            config = self.parser.parse_args([*self.args, *given])
        except (jsonargparse.ArgumentError, argparse.ArgumentError) as error:
            options = [name.lstrip("-") for name in options_of(self.parser)]
            raise ConfigError(explain(str(error), options)) from None
        values = yaml.safe_load(self.parser.dump(config, skip_unset=False))
        return {key: values[key] for key in self.values}

    def require(self, space: Space) -> None:
        """Tries the ends of every range and every choice.

        Raises:
            ConfigError: if the parser refuses one.
        """
        for sample in space.samples():
            try:
                self(sample)
            except ConfigError as error:
                hint = ""
                if "has no argument" in str(error):
                    hint = (
                        "\na value that only some classes have needs a condition, such as when: {model.backbone: LSTM}"
                    )
                raise ConfigError(f"{error}{hint}") from None


class Tuning:
    """One call's work on a study.

    Args:
        worker: its part in the study.
        address: where the study is.
        configs: the configs of trials.
        run: the run whose folder takes the results.
        folds: the folds to train, and their ranges with the config's own values.
        keep_weights: whether checkpoints and curves of the trials are kept.
        fingerprint: of the data that the study is about.
    """

    def __init__(
        self,
        worker: Worker,
        address: Address,
        configs: Configs,
        run: Run,
        folds: Mapping[int | str, Fold],
        keep_weights: bool,
        fingerprint: str,
    ) -> None:
        self.worker = worker
        self.study = worker.study
        self.address = address
        self.configs = configs
        self.folder = run.folder
        self.alone = run.alone
        self.experiment = run.experiment
        self.folds = folds
        self.keep_weights = keep_weights
        self.fingerprint = fingerprint
        self._begun = 0
        self._in_a_row = 0
        self._own: dict[str, Value] | None = None
        try:
            self._own = worker.space.values_like(configs.values)
        except ValueError as error:
            print(f"the config itself is no trial: {error} in this space")

    def run(self, processes: int) -> int:
        """Runs trials until the study has all of them, and writes and prints what came out.

        Args:
            processes: the most trials at once.

        Returns:
            0, or 1 if some are missing.
        """
        with self.worker.at_work():
            while self._in_a_row < IN_A_ROW:
                self._begun = 0
                missing = max(0, self.worker.trials - self.worker.finished)
                run_jobs(self._jobs(), processes, PRELOAD, missing, self._ended)
                if not self._begun:  # trials that were lost last are begun anew in another round
                    break
        self._draw()
        self._say()
        return 0 if self.worker.finished >= self.worker.trials else 1

    def _propose_own(self) -> None:
        """Makes the config's own values the first trial, so that it is seen what the search is good for."""
        if self._own is None:
            return
        trials = self.study.get_trials(deepcopy=False)
        own = [trial for trial in trials if trial.user_attrs.get("own")]
        again = len(own) == 1 and own[0].state == TrialState.FAIL  # once: it may have been killed
        if not trials or again:
            self.study.enqueue_trial(self._own, user_attrs={"own": True})

    def _jobs(self) -> Iterator[Job]:
        while self._in_a_row < IN_A_ROW:
            if self.configs({}) != self.configs.values:
                print("the config was changed: no further trial is begun; run again, and it is another study")
                return
            with self.alone():  # so that commands that share the folder do not begin more trials than are wanted
                self._propose_own()
                asked = self.worker.ask()
            if asked is None:
                return
            self._begun += 1
            try:
                config = self._config(asked.params)
            except ConfigError as error:
                self._in_a_row += 1
                self.worker.ended(asked.number, str(error))
                print(f"trial {asked.number}: failed: {error}")
                continue
            asked.set_user_attr("config", as_yaml(config))
            folder = self.folder / "trials" / str(asked.number)
            trial = Trial(
                asked.number,
                self.worker.id_of(asked.number),
                self.address,
                {fold: as_yaml(self._of_fold(config, fold)) for fold in self.folds},
                folder,
                self.keep_weights,
                factory.allowed_imports(),
                self.fingerprint,
            )
            yield Job(f"trial {asked.number}", train, trial, folder.with_suffix(".log"))

    def _ended(self, job: Job, error: str | None) -> str:
        """Takes note of a trial's end, and says how it ended."""
        trial = self.worker.ended(job.argument.number, error)
        self._in_a_row = self._in_a_row + 1 if trial.state == TrialState.FAIL else 0
        best = best_of(self.study)
        with self.alone():
            write(trials_table(self.study, self.worker.space).to_csv(index=False), self.folder / TRIALS)
            if best is not None and best.number == trial.number:
                write_whole(self.folder / BEST, self._best())
        if trial.state != TrialState.FAIL and not self.keep_weights:
            job.log.unlink(missing_ok=True)
        if trial.state == TrialState.COMPLETE:
            return f"val/loss {trial.value:.4f}" + ", the best so far" * (
                best is not None and best.number == trial.number
            )
        said = error or trial.user_attrs.get("error")
        if trial.state == TrialState.PRUNED:
            return f"pruned after {trial.user_attrs.get('epochs', 0)} epochs" + (f": {said}" if said else "")
        return str(said)

    def _config(self, chosen: Mapping[str, Value]) -> dict[str, Any]:
        """The config with the values of a trial; those of a class after the class."""
        names = [entry.name for entry in self.worker.space.entries]
        return self.configs({name: chosen[name] for name in names if name in chosen})

    def _of_fold(self, config: Mapping[str, Any], fold: int | str) -> dict[str, Any]:
        """The config of a fold, in which the rows are validated that all trials validate, however long its windows."""
        data = config["data"]["init_args"]
        ranges = self.folds[fold]
        targets = ranges.train_stop - ranges.train_start - data_module([config["data"]]).first_target
        rows, share = len(ranges.validation), data.get("val_fraction")
        told: dict[str, Any] = {"fold": fold}
        if share and data.get("val_size") is None and 0 < rows < targets and rows != round(share * targets):
            told["val_fraction"] = rows / targets
        return {**config, "data": {**config["data"], "init_args": {**data, **told}}}

    def _best(self) -> str:
        """The best config, with a comment on where it comes from."""
        best = best_of(self.study)
        assert best is not None
        kept = best.user_attrs.get("config")  # not of one that was added by hand
        values = self._config(best.params) if kept is None else yaml.safe_load(kept)
        first = next(iter(self.folds))
        where = f"fold {first}"
        if len(self.folds) == 1:
            values = self._of_fold(values, first)
        else:
            where = f"mean of folds {', '.join(map(str, self.folds))}"
        return (
            f"# Trial {best.number} of {self.experiment}: validation loss {best.value:.6g} ({where}), the least of "
            f"{self.worker.finished} trials.\n# forecastlab fit --config {BEST}\n{as_yaml(values)}"
        )

    def _draw(self) -> None:
        table = trials_table(self.study, self.worker.space)
        shares = importance_of(self.study)
        with self.alone():
            write(table.to_csv(index=False), self.folder / TRIALS)
            if best_of(self.study) is not None:
                write_whole(self.folder / BEST, self._best())
            if table["val/loss"].notna().any():
                write(png(study_history(table, label="validation loss (scaled units)")), self.folder / "history.png")
            if len(shares):
                rows = shares.rename("importance").rename_axis("value")
                write(rows.to_csv(), self.folder / "importance.csv")
                names = [name.replace(".init_args", "").partition(".")[2] for name in shares.index]
                write(png(importances(shares.set_axis(names))), self.folder / "importance.png")

    def _say(self) -> None:
        """Says what came out and how to go on."""
        trials = self.study.get_trials(deepcopy=False)
        counts = {state: sum(trial.state == state for trial in trials) for state in TrialState}
        print(
            f"trials     {counts[TrialState.COMPLETE]} finished, {counts[TrialState.PRUNED]} pruned, "
            f"{counts[TrialState.FAIL]} lost or failed, {counts[TrialState.RUNNING]} running elsewhere; "
            f"{self.worker.trials} wanted"
        )
        if self._in_a_row >= IN_A_ROW:
            print(f"given up: {IN_A_ROW} trials in a row failed; see {_relative(self.folder / TRIALS)}")
        best = best_of(self.study)
        if best is not None:
            print(f"best       val/loss {best.value:.4f} in trial {best.number}")
            for own in trials:
                if own.user_attrs.get("own") and own.state == TrialState.COMPLETE:
                    print(f"before     val/loss {own.value:.4f} in trial {own.number}, with the config's own values")
            for name, value in best.params.items():
                print(f"  {name}: {_as_text(value)}")
            print(f"train it   forecastlab fit --config {_relative(self.folder / BEST)}")
        print(f"run        {_relative(self.folder)}")


def as_yaml(values: Mapping[str, Any]) -> str:
    """A config as YAML."""
    return yaml.safe_dump(dict(values), sort_keys=False)


def _as_text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _relative(path: Path) -> str:
    return os.path.relpath(path)
