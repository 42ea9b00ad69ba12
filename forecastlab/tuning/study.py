"""A study that several processes and machines share: its storage, its workers and its lost trials."""

import contextlib
import copy
import os
import socket
import threading
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from forecastlab.errors import ConfigError, DataError
from forecastlab.tuning.space import Space

Sampler = Literal["tpe", "random"]
Pruner = Literal["median", "none"]
SAMPLERS = get_args(Sampler)
PRUNERS = get_args(Pruner)

JOURNAL = "study.journal"
WORKERS = "workers"
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
STARTUP = 5
"""Trials that are finished before the first is pruned."""
WARMUP = 3
"""Epochs of each fold in which nothing is pruned."""
EPOCHS = 1_000_000
"""Steps of a trial's next fold follow those of the one before at this distance."""
BEAT = 30
"""Seconds between the signs of life that a worker gives in a database."""
SILENCE = 120
"""Seconds without one after which its trials are lost."""

HELD = 10
"""Seconds after which the journal's lock is taken from a process that was killed while it held it."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


class FoldMedianPruner(MedianPruner):
    """Optuna's median rule within each fold: it ends a trial whose best loss is above the median of the others.

    Losses of different folds are not compared. The rule ends no trial before `STARTUP` trials have finished, and none
    in the first `WARMUP` epochs of a fold.
    """

    def __init__(self) -> None:
        super().__init__(n_startup_trials=STARTUP)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        if trial.last_step is None or trial.last_step % EPOCHS < WARMUP:
            return False
        begin = trial.last_step - trial.last_step % EPOCHS
        within = copy.copy(trial)
        within.intermediate_values = {step: loss for step, loss in trial.intermediate_values.items() if step >= begin}
        return bool(super().prune(study, within))


@dataclass(frozen=True)
class Address:
    """Where a study is.

    Attributes:
        name: the study's name in its storage.
        folder: folder of the journal.
        url: address of a database, in place of the journal.
        pruner: what ends trials early.
    """

    name: str
    folder: Path
    url: str | None = None
    pruner: Pruner = "median"

    def open(self) -> tuple[Study, BaseStorage]:
        """The study, a new one if there is none of this name, and its storage.

        Raises:
            ConfigError: if the database cannot be used.
            DataError: if the journal cannot be read.
        """
        pruner: BasePruner = FoldMedianPruner() if self.pruner == "median" else NopPruner()
        storage = _journal(self.folder / JOURNAL) if self.url is None else _database(self.url)
        sampler = RandomSampler()  # a worker sets another for each trial
        study = optuna.create_study(
            storage=storage, study_name=self.name, load_if_exists=True, pruner=pruner, sampler=sampler
        )
        return study, storage


class Worker:
    """One process of a study: it asks for trials, and gives up trials whose worker has died.

    A worker holds a lock on its own file while it lives. Other workers of the same folder so know at once when it was
    killed. In a database it also sends heartbeats. Its unfinished trials are lost with it.

    Args:
        study: the study.
        storage: where it is kept.
        folder: folder of the run, where the locks are.
        space: what is chosen.
        trials: how many trials the study gets, those of all workers and of earlier calls together.
        sampler: "tpe" learns from the trials so far, "random" does not.
        seed: of the sampler; a trial's values depend on it, on the trial's number and, for "tpe", on earlier trials.
    """

    def __init__(
        self,
        study: Study,
        storage: BaseStorage,
        folder: Path,
        space: Space,
        trials: int,
        sampler: Sampler = "tpe",
        seed: int = 0,
    ) -> None:
        self.study = study
        self.storage = storage
        self.folder = folder / WORKERS
        self.space = space
        self.trials = trials
        self.sampler = sampler
        self.seed = seed
        self.name = f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"
        self.running: dict[int, optuna.Trial] = {}

    @property
    def finished(self) -> int:
        """How many trials of the study are finished, pruned ones among them."""
        return len(self.study.get_trials(deepcopy=False, states=FINISHED))

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Holds the lock within the block. Trials that still run at its end are lost."""
        self.folder.mkdir(exist_ok=True)
        over = threading.Event()
        with FileLock(self.folder / self.name):
            beating = threading.Thread(target=self._beat, args=(over,), daemon=True)
            beating.start()
            try:
                yield
            finally:
                over.set()
                beating.join()
                for number in list(self.running):
                    self.ended(number, "its worker was stopped")
        (self.folder / self.name).unlink(missing_ok=True)

    def ask(self) -> optuna.Trial | None:
        """The next trial, with its values; None if the study has or will have all of them."""
        self.give_up_lost()
        begun = self.study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.RUNNING))
        if len(begun) >= self.trials:
            return None
        with _quiet():
            trial = self.study.ask()
        self.running[trial.number] = trial
        if isinstance(self.storage, RDBStorage):
            self.storage.record_heartbeat(self.id_of(trial.number))
        trial.set_user_attr("worker", self.name)
        self.study.sampler = self._sampler_of(trial.number)
        self.space.choose(trial)
        return trial

    def ended(self, number: int, error: str | None = None) -> FrozenTrial:
        """Records that a trial of this worker has ended, and returns it. A trial that has not finished has failed.

        Args:
            number: its number.
            error: what went wrong.
        """
        del self.running[number]
        self._fail(number, error or "it ended without a result")
        return self.storage.get_trial(self.id_of(number))

    def give_up_lost(self) -> None:
        """Marks the trials of killed workers as failed."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number not in self.running and self._is_gone(trial.user_attrs.get("worker")):
                self._fail(trial.number, "its worker was killed")
        if isinstance(self.storage, RDBStorage):
            with _quiet():
                optuna.storages.fail_stale_trials(self.study)

    def id_of(self, number: int) -> int:
        """What the storage, which may hold other studies too, knows a trial by."""
        study = self.storage.get_study_id_from_name(self.study.study_name)
        return self.storage.get_trial_id_from_study_id_trial_number(study, number)

    def _fail(self, number: int, error: str) -> None:
        """Counts a trial as failed unless it is finished."""
        trial_id = self.id_of(number)
        if self.storage.get_trial(trial_id).state.is_finished():
            return
        with contextlib.suppress(UpdateFinishedTrialError):  # somebody was quicker
            self.storage.set_trial_user_attr(trial_id, "error", error)
            self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def _is_gone(self, name: str | None) -> bool:
        if name is None or not (self.folder / name).exists():
            return not isinstance(self.storage, RDBStorage)  # workers that share a database may have other folders
        lock = FileLock(self.folder / name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        lock.release()
        return True

    def _sampler_of(self, number: int) -> BaseSampler:
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        return TPESampler(seed=seed) if self.sampler == "tpe" else RandomSampler(seed=seed)

    def _beat(self, over: threading.Event) -> None:
        """Gives signs of life for all running trials; a journal needs none."""
        while isinstance(self.storage, RDBStorage) and not over.wait(BEAT):
            for trial in list(self.running.values()):
                with contextlib.suppress(StorageInternalError):  # the next one may get through
                    self.storage.record_heartbeat(self.id_of(trial.number))


def _journal(path: Path) -> JournalStorage:
    lock = JournalFileOpenLock(str(path), HELD)
    try:
        if path.exists():
            _mend(path, lock)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except Exception as error:  # of many kinds: every line is taken for what Optuna once wrote
        why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise DataError(f"{path} is damaged ({why}): begin another study with --new, or delete the file") from error


def _mend(path: Path, lock: JournalFileOpenLock) -> None:
    """Cuts off a last line that a killed process left unfinished: the next one would be appended to it."""
    lock.acquire()
    try:
        lines = path.read_bytes()
        if not lines.endswith(b"\n"):
            os.truncate(path, lines.rfind(b"\n") + 1)
    finally:
        lock.release()


def _database(url: str) -> RDBStorage:
    if "://" not in url:
        raise ConfigError(
            f"--storage: expected the address of a database, such as sqlite:///study.db or "
            f"postgresql://user@host/studies, got {url!r}"
        )
    waits: dict[str, Any] = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    try:
        with _quiet():
            return RDBStorage(url, {"pool_pre_ping": True, **waits}, heartbeat_interval=BEAT, grace_period=SILENCE)
    except (ImportError, SQLAlchemyError, RuntimeError, StorageInternalError) as error:  # RuntimeError: another version
        said = str(error.__cause__ or error).splitlines()[0]
        raise ConfigError(f"--storage: the database cannot be used: {said}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps from users what Optuna says of heartbeats: that they are experimental, and that we give them ourselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used")
        yield
