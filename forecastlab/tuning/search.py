"""The search of a study: it begins trials in processes of their own, and writes what came out."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml
from optuna.trial import TrialState

from forecastlab.data.folds import Fold
from forecastlab.errors import ConfigError
from forecastlab.experiment.config import Config
from forecastlab.figures.drawing import png
from forecastlab.figures.searches import importances, study_history
from forecastlab.network import factory
from forecastlab.runs.engines.engine import Engine
from forecastlab.runs.files import write_output, write_whole
from forecastlab.runs.jobs import Job, run_jobs
from forecastlab.runs.run import TRIALS, Run
from forecastlab.tuning.results import best_of, importance_of, trials_table
from forecastlab.tuning.space import Space, Value
from forecastlab.tuning.study import Address, Worker
from forecastlab.tuning.trial import Trial, train

BEST = "best.yaml"
PRELOAD = ("forecastlab.tuning.trial",)
IN_A_ROW = 5
"""Trials that fail one after the other before a call gives up; those that fail side by side count once."""


def require_configs(config: Config, space: Space) -> None:
    """Tries the ends of every range and every choice of a space.

    Raises:
        ConfigError: if one gives no config.
    """
    for sample in space.samples():
        try:
            chosen(config, sample)
        except ConfigError as error:
            hint = ""
            if "has no argument" in str(error):
                hint = "\na value that only some classes have needs a condition, such as when: {model.backbone: LSTM}"
            raise ConfigError(f"{error}{hint}") from None


def chosen(config: Config, values: Mapping[str, Value]) -> Config:
    """The config with the values of a trial, of which lists and mappings are JSON.

    Raises:
        ConfigError: for a value that cannot be used.
    """
    return config.with_values({name: _from_json(value) for name, value in values.items()})


class Search:
    """One call's work on a study.

    Args:
        worker: its part in the study.
        address: where the study is.
        config: the config whose values are replaced.
        run: the run whose folder takes the results.
        folds: the folds to train, and their ranges with the config's own values.
        keep_weights: whether checkpoints and curves of the trials are kept.
        fingerprint: of the data that the study is about.
        report: told what goes wrong.
    """

    def __init__(
        self,
        worker: Worker,
        address: Address,
        config: Config,
        run: Run,
        folds: Mapping[int | str, Fold],
        keep_weights: bool,
        fingerprint: str,
        report: Callable[[str], object],
    ) -> None:
        self.worker = worker
        self.study = worker.study
        self.address = address
        self.config = config
        self.folder = run.folder
        self.alone = run.alone
        self.experiment = run.experiment
        self.folds = folds
        self.keep_weights = keep_weights
        self.fingerprint = fingerprint
        self.report = report
        self._begun = 0
        self._in_a_row = 0
        self._newest = self._newest_then = -1
        self._own: dict[str, Value] | None = None
        try:
            self._own = worker.space.values_like(config.values)
        except ValueError as error:
            report(f"the config itself is no trial: {error} in this space")

    @property
    def given_up(self) -> bool:
        """Whether so many trials failed that no further one is begun."""
        return self._in_a_row >= IN_A_ROW

    def run(self, places: int, engine: Engine) -> None:
        """Runs trials until the study has all of them, and writes what came out.

        Args:
            places: the most trials at once.
            engine: where they run.
        """
        with self.worker.at_work():
            while not self.given_up:
                self._begun = 0
                missing = max(0, self.worker.trials - self.worker.finished)
                run_jobs(self._jobs(), places, PRELOAD, missing, self._ended, engine, self.folder)
                if not self._begun:  # trials that were lost last are begun anew in another round
                    break
        self._draw()

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
        while not self.given_up:
            with self.alone():  # so that commands that share the folder do not begin more trials than are wanted
                self._propose_own()
                asked = self.worker.ask()
            if asked is None:
                return
            self._begun += 1
            self._newest = asked.number
            try:
                config = self._config(asked.params)
            except ConfigError as error:
                self._count_failure(asked.number)
                self.worker.ended(asked.number, str(error))
                self.report(f"trial {asked.number}: failed: {error}")
                continue
            asked.set_user_attr("config", config.to_yaml())
            folder = self.folder.absolute() / "trials" / str(asked.number)
            trial = Trial(
                asked.number,
                self.worker.id_of(asked.number),
                self.address,
                {fold: self._of_fold(config, fold) for fold in self.folds},
                folder,
                self.keep_weights,
                factory.allowed_imports(),
                self.fingerprint,
            )
            threads = config.values["threads"]
            # A trial that dies is lost, and the study begins another.
            yield Job(f"trial {asked.number}", train, trial, folder.with_suffix(".log"), threads, lives=1)

    def _ended(self, job: Job, error: str | None) -> str:
        """Takes note of a trial's end, and says how it ended."""
        trial = self.worker.ended(job.argument.number, error)
        if trial.state == TrialState.FAIL:
            self._count_failure(trial.number)
        else:
            self._in_a_row = 0
        best = best_of(self.study)
        with self.alone():
            write_output(trials_table(self.study, self.worker.space).to_csv(index=False), self.folder / TRIALS)
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

    def _count_failure(self, number: int) -> None:
        """Counts a failed trial if it was begun after the last one that counted: a lost machine takes many at once."""
        if number > self._newest_then:
            self._in_a_row += 1
            self._newest_then = self._newest

    def _config(self, values: Mapping[str, Value]) -> Config:
        """The config with the values of a trial; those of a class after the class."""
        names = [entry.name for entry in self.worker.space.entries]
        return chosen(self.config, {name: values[name] for name in names if name in values})

    def _of_fold(self, config: Config, fold: int | str) -> Config:
        """The config of a fold, in which the rows are validated that all trials validate, however long its windows."""
        data = config.values["data"]["init_args"]
        ranges = self.folds[fold]
        targets = ranges.train_stop - ranges.train_start - config.data_module().first_target
        rows, share = len(ranges.validation), data.get("val_fraction")
        told: dict[str, Any] = {"data.init_args.fold": fold}
        if share and data.get("val_size") is None and 0 < rows < targets and rows != round(share * targets):
            told["data.init_args.val_fraction"] = rows / targets
        return config.with_values(told)

    def _best(self) -> str:
        """The best config, with a comment on where it comes from."""
        best = best_of(self.study)
        assert best is not None
        kept = best.user_attrs.get("config")  # not of one that was added by hand
        config = self._config(best.params) if kept is None else Config.of(yaml.safe_load(kept))
        first = next(iter(self.folds))
        where = f"fold {first}"
        if len(self.folds) == 1:
            config = self._of_fold(config, first)
        else:
            where = f"mean of folds {', '.join(map(str, self.folds))}"
        return (
            f"# Trial {best.number} of {self.experiment}: validation loss {best.value:.6g} ({where}), the least of "
            f"{self.worker.finished} trials.\n# forecastlab fit --config {BEST}\n{config.to_yaml()}"
        )

    def _draw(self) -> None:
        table = trials_table(self.study, self.worker.space)
        shares = importance_of(self.study)
        with self.alone():
            write_output(table.to_csv(index=False), self.folder / TRIALS)
            if best_of(self.study) is not None:
                write_whole(self.folder / BEST, self._best())
            if table["val/loss"].notna().any():
                write_output(
                    png(study_history(table, label="validation loss (scaled units)")), self.folder / "history.png"
                )
            if len(shares):
                rows = shares.rename("importance").rename_axis("value")
                write_output(rows.to_csv(), self.folder / "importance.csv")
                names = [name.replace(".init_args", "").partition(".")[2] for name in shares.index]
                write_output(png(importances(shares.set_axis(names))), self.folder / "importance.png")


def _from_json(value: Value) -> object:
    return json.loads(value) if isinstance(value, str) and value[:1] in ("{", "[") else value
