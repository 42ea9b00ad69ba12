"""Run folders: `<root>/lightning_logs/<experiment>/version_N`, and the checkpoints in them."""

import contextlib
import functools
import glob
import os
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from forecastlab.errors import ConfigError, DataError, similar_file
from forecastlab.limits import read_yaml
from forecastlab.runs import locks
from forecastlab.runs.files import write_whole

LOGS = "lightning_logs"
CONFIG = "config.yaml"
CHECKPOINTS = "checkpoints"
TRIALS = "trials.csv"
"""The trials of a study, in the folder of a `tune`."""
MOST_NAMES = 12
"""Trainings of a run that are named where one of them must be chosen."""
JOB = "slurm_job"
"""The job of SLURM that began a run."""
EVENTS = "events.out."
"""What the names of TensorBoard's files begin with."""
SETTINGS = "settings.yaml"
"""What a repeated call of `crossval` or `reproduce` must agree on to go on with a run."""
LOCK = "lock"
"""The file that is locked by whoever works on a run; it goes when the work is done."""
PATIENCE = 15.0
"""Seconds to wait for a process that is still writing to a run: one that was stopped ends within a few."""


@dataclass(frozen=True)
class Run:
    """One run of an experiment.

    Attributes:
        root: folder of all runs.
        experiment: name of the experiment.
        version: name of the run's folder, usually version_N.
    """

    root: Path
    experiment: str
    version: str

    @property
    def folder(self) -> Path:
        """Where the run's files are."""
        return self.root / self.experiment / self.version

    @property
    def number(self) -> int:
        """N of version_N."""
        return int(self.version.removeprefix("version_"))

    @property
    def begun(self) -> int:
        """When the run was last begun or resumed, in nanoseconds; 0 if it has not been yet."""
        for name in (CONFIG, SETTINGS):  # a benchmark or a reproduction has a config for each of its parts
            if (self.folder / name).exists():
                return (self.folder / name).stat().st_mtime_ns
        return 0

    @classmethod
    def new(cls, root: Path, experiment: str) -> "Run":
        """Makes the folder of the next run; of several processes that do so at once, each gets its own.

        Raises:
            ConfigError: if the folder cannot be made.
        """
        folder_name(experiment)
        number = max((run.number for run in find_runs(root, experiment)), default=-1) + 1
        while True:
            run = cls(root, experiment, f"version_{number}")
            try:
                run.folder.mkdir(parents=True)
            except FileExistsError:
                number += 1
            except OSError as error:
                raise ConfigError(
                    f"cannot make the run folder {run.folder}: {error.strerror}; choose another place with "
                    "--trainer.default_root_dir"
                ) from None
            else:
                return run

    @classmethod
    def continued(
        cls, root: Path, experiment: str, settings: dict[str, Any], data: Mapping[str, Any], new: bool
    ) -> "Run":
        """The newest run of an experiment that was begun with the same settings and data; a new run if there is none.

        A new run that is begun because of the data says so on standard error.

        Args:
            root: folder of all runs.
            experiment: name of the experiment.
            settings: plain data; what a call must agree on to go on with a run.
            data: what tells its data from others, `ForecastDataModule.about`.
            new: whether a new run is begun in any case.

        Raises:
            DataError: if it cannot be known what a run was begun with.
        """
        kept = {**settings, "rows": dict(data)}
        other: tuple[Run, Any] | None = None
        for run in [] if new else reversed(find_runs(root, experiment)):
            found = run.settings()
            if found == kept:
                return run
            if isinstance(found, dict) and other is None and {**found, "rows": dict(data)} == kept:
                other = run, found.get("rows")
        run = cls.new(root, experiment)
        write_whole(run.folder / SETTINGS, yaml.safe_dump(kept, sort_keys=False))
        if other is not None:
            note(
                f"the data have changed since {other[0].version}: {_rows(other[1])} then, {_rows(data)} now; "
                f"{run.version} is begun"
            )
        return run

    def settings(self) -> object:
        """What the run was begun with, plain data; None if it is not one that a repeated call goes on with.

        Raises:
            DataError: if the file is damaged.
        """
        path = self.folder / SETTINGS
        if not path.exists():
            return None
        try:
            settings = read_yaml(path.read_text(encoding="utf-8"), str(path))
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            why = (str(error).splitlines() or [type(error).__name__])[0]
        else:
            if isinstance(settings, dict):
                return settings
            why = "it holds no keys and values"
        raise DataError(
            f"{path} is damaged ({why}): it does not say what the run was begun with. Begin a new run with --new, or "
            "delete the file: the run is then left as it is, with its checkpoints"
        )

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other processes from working on the run within the block; the system ends it with the process.

        Processes of other machines are kept out too where the file system is shared and can lock. Where it cannot, that
        is said on standard error.

        Raises:
            ConfigError: if another process is working on the run, or its folder cannot be written to.
        """
        path = self.folder / LOCK
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise ConfigError(f"cannot write to the run folder {self.folder}: {error.strerror}") from None
            _held.add(file)
            try:
                locks.lock(file)
                held = locks.is_still(file, path)  # whoever held the lock has taken the file away
            except OSError as error:
                held = error.errno not in locks.TAKEN
                if held:
                    _say_unlocked(self.folder)
            if held:
                break
            owner = _owner(file)
            _let_go(file)
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"another process is working on {self.folder}{owner}: wait for it or stop it, or begin a new run"
                )
            time.sleep(0.1)
        with contextlib.suppress(OSError):  # a full disk
            os.ftruncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, f"process {os.getpid()} of {socket.gethostname()}".encode())
        try:
            yield
        finally:
            _held.discard(file)
            locks.close_and_delete(file, path)

    def is_worked_on(self) -> bool:
        """Whether a process holds the run now; False too where the file system has no locks."""
        try:
            with open(self.folder / LOCK, "rb") as file:  # it stays when a process is killed, but its lock does not
                locks.lock(file.fileno(), shared=True)
        except OSError as error:
            return error.errno in locks.TAKEN
        return False

    def delete(self) -> None:
        """Deletes the folder with all that is in it.

        Raises:
            ConfigError: if another process is working on the run, or something cannot be deleted.
        """
        try:
            with self.alone():
                for path in self.folder.iterdir():
                    if path.is_dir() and not path.is_symlink():
                        shutil.rmtree(path)
                    elif path.name != LOCK:  # Windows deletes no file that is held
                        path.unlink()
            self.folder.rmdir()
        except OSError as error:
            raise ConfigError(f"cannot delete all of {self.folder}: {error.strerror or error}") from None
        with contextlib.suppress(OSError):  # there are other runs
            self.folder.parent.rmdir()

    def require_room(self, size: int) -> None:
        """Finds out before the training whether its files can be written.

        Args:
            size: what they may take, in bytes.

        Raises:
            ConfigError: if the folder cannot be written to, or the disk is nearly full.
        """
        elsewhere = "or choose another place with --trainer.default_root_dir"
        try:
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise ConfigError(
                f"cannot write to the run folder {self.folder}: {error.strerror}; allow it, {elsewhere}"
            ) from None
        free = shutil.disk_usage(self.folder).free
        if free < size:
            raise ConfigError(
                f"the disk of {self.folder} is nearly full: {free / 1e6:.1f} MB are free, and the checkpoints of this "
                f"network may take {size / 1e6:.1f}; make room, {elsewhere}"
            )

    def checkpoints_inside(self, kind: str) -> list[Path]:
        """The checkpoints of the trainings below this run, as a cross-validation, a study or a benchmark has them.

        Args:
            kind: "best" or "last".

        Returns:
            Their paths, with numbers in names in ascending order.
        """

        def place(path: Path) -> list[tuple[str, int]]:
            return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", str(path))]

        return sorted(self.folder.glob(f"**/{CHECKPOINTS}/{kind}.ckpt"), key=place)

    def discard_if_not_begun(self) -> None:
        """Removes the folder of a run that failed before it began, that is, before anything came of its first epoch."""
        if all(path.name in (CONFIG, JOB, LOCK) or path.name.startswith(EVENTS) for path in self.folder.glob("*")):
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # there are other runs
                self.folder.parent.rmdir()
                self.root.rmdir()

    @classmethod
    def of_checkpoint(cls, checkpoint: Path) -> "Run | None":
        """The run whose checkpoint this is; None for a checkpoint that lies elsewhere."""
        folder = checkpoint.resolve().parent.parent
        if checkpoint.resolve().parent.name != CHECKPOINTS or not (folder / CONFIG).exists():
            return None
        return cls(folder.parent.parent, folder.parent.name, folder.name)


def find_runs(root: Path, experiment: str | None = None) -> list[Run]:
    """The runs of an experiment by number; of all experiments, for None, by when they were last begun or resumed."""
    runs = [
        Run(root, folder.parent.name, folder.name)
        for folder in root.glob(f"{glob.escape(experiment) if experiment else '*'}/version_*")
        if re.fullmatch(r"version_\d+", folder.name) and folder.is_dir()
    ]
    return sorted(runs, key=lambda run: run.number if experiment else run.begun)


_held: set[int] = set()
"""Open files that are locked."""


def _let_go(file: int) -> None:
    _held.discard(file)
    os.close(file)


def _let_all_go() -> None:
    for file in list(_held):
        _let_go(file)


if hasattr(os, "register_at_fork"):  # a loader's process lives on for seconds when the training is killed
    os.register_at_fork(after_in_child=_let_all_go)


def _owner(file: int) -> str:
    """Who has locked a file, for a message; empty where that is not known."""
    os.lseek(file, 0, os.SEEK_SET)
    found = re.fullmatch(r"process \d+ of [\w.-]+", os.read(file, 300).decode(errors="replace"))
    return f" ({found.group()})" if found else ""


@functools.cache
def _say_unlocked(folder: Path) -> None:
    note(
        f"the file system of {folder} cannot lock files: nothing keeps two commands from working on this run at once, "
        "so begin no second one"
    )


def open_checkpoint(given: str, root: Path, experiment: str | None) -> tuple[Path, dict[str, Any]]:
    """The checkpoint that `--ckpt_path` names, and what is in it.

    It is a path, or "last" or "best" of the newest run that has one; that of a run of a single training, such as a
    cross-validation of one fold, is the training's. A last.ckpt that cannot be used is passed over for that of the run
    before, which is said on standard error.

    Raises:
        ConfigError: if there is none, or the newest run has several trainings, such as a cross-validation.
        DataError: if it cannot be used.
    """
    if given not in ("last", "best"):
        path = Path(given).expanduser()
        if not path.is_file():
            raise ConfigError(
                f"there is no checkpoint {given}; give the path of one, or last, or best{similar_file(path)}"
            )
        return path, load_checkpoint(path)
    passed_over: list[str] = []
    damaged: DataError | None = None
    for run in reversed(find_runs(root, experiment)):
        path = run.folder / CHECKPOINTS / f"{given}.ckpt"
        if not path.exists() and (inside := run.checkpoints_inside(given)):
            if len(inside) > 1:
                raise ConfigError(_several(given, run, inside))
            path = inside[0]
        if not path.exists():
            passed_over.append(f"{run.folder} has no {path.name}")
            continue
        try:
            checkpoint = load_checkpoint(path)
        except DataError as error:
            if given == "best":
                raise
            damaged = damaged or error
            passed_over.append(str(error).partition(";")[0])
            continue
        for reason in passed_over:
            note(f"{reason}; taking {path}")
        return path, checkpoint
    if damaged is not None:
        raise damaged
    where = f"of experiment {experiment!r} " if experiment else ""
    raise ConfigError(
        f"--ckpt_path {given}: no run {where}in {root} has a {given}.ckpt; train one first with forecastlab fit, "
        "or give a path"
    )


def _several(given: str, run: Run, inside: list[Path]) -> str:
    """What is said where a run has several trainings, none of which is its best or last."""
    names = [str(path.parent.parent.relative_to(run.folder)) for path in inside]
    listed = ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if names[MOST_NAMES:] else "")
    return (
        f"--ckpt_path {given}: the newest run with weights, {run.folder}, has {len(inside)} trainings: {listed}; name "
        f"one of them, such as --ckpt_path {inside[-1]}"
    )


def _rows(data: Any) -> str:
    """What is known of a run's data, in a few words."""
    if not isinstance(data, Mapping):
        return "nobody knows which"
    several = f" of {data.get('series')} series" if data.get("series") != 1 else ""
    return (
        f"{data.get('rows')} rows{several} from {data.get('first')} to {data.get('last')} (fingerprint "
        f"{str(data.get('fingerprint'))[:8]})"
    )


def note(text: str) -> None:
    """Says something on standard error, once for all devices."""
    from lightning.pytorch.utilities import rank_zero_only  # here, since to list runs needs none of it

    rank_zero_only(print)(f"forecastlab: {text}", file=sys.stderr)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Loads a checkpoint without running any code that it may hold.

    Raises:
        DataError: if it is damaged, or not a checkpoint of ours.
    """
    from forecastlab.runs.checkpoint import read_checkpoint  # here, since to list runs needs no torch

    checkpoint = read_checkpoint(path)
    if not {"config", "hyper_parameters", "global_step", "epoch", "pytorch-lightning_version"} <= checkpoint.keys():
        raise DataError(f"{path} was not written by forecastlab fit: it holds no config; use a checkpoint of a run")
    return checkpoint


def resumable(folder: Path) -> str | None:
    """The path of the checkpoint that a run is resumed from; without a usable one it begins afresh, and its remains go.

    Args:
        folder: the run's, which need not exist.
    """
    last = folder / CHECKPOINTS / "last.ckpt"
    if last.exists():
        try:
            load_checkpoint(last)
        except DataError as error:
            print(f"{error}; begun afresh")
        else:
            return str(last)
    for remains in folder.iterdir():
        if remains.is_dir():
            shutil.rmtree(remains)
        elif remains.name not in ("log", LOCK):  # which this process writes and holds
            remains.unlink()
    return None


def folder_name(name: str) -> str:
    """The name of an experiment, if it can be a folder's: every name that becomes a folder passes here.

    Raises:
        ConfigError: if it cannot: it must be one name, printable, that leads nowhere else.
    """
    if name in ("", ".", "..") or not name.isprintable() or re.search(r"[/\\]", name) or len(name.encode()) > 200:
        raise ConfigError(f"experiment: expected a name for a folder, without slashes, got {name[:80]!r}")
    return name


def experiment_of(checkpoint: Path) -> str:
    """The experiment that a checkpoint belongs to by its place; outside the folder of a run, its own name.

    What the checkpoint says of it is not believed.

    Raises:
        ConfigError: if its name cannot be a folder's.
    """
    run = Run.of_checkpoint(checkpoint)
    if run is None:
        return folder_name(checkpoint.stem)
    above = run.folder.resolve().parents[2]
    return above.name if re.fullmatch(r"fold_\w+", run.experiment) and above.name else run.experiment
