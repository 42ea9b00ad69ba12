"""Run folders: `<root>/lightning_logs/<experiment>/version_N`, and the checkpoints in them."""

import contextlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from forecastlab.cli.options import values_of
from forecastlab.errors import ConfigError, DataError

LOGS = "lightning_logs"
CONFIG = "config.yaml"
CHECKPOINTS = "checkpoints"
SETTINGS = "settings.yaml"
"""What a repeated call of `crossval` or `reproduce` must agree on to go on with a run."""


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
        config = self.folder / CONFIG
        return config.stat().st_mtime_ns if config.exists() else 0

    @classmethod
    def new(cls, root: Path, experiment: str) -> "Run":
        """Makes the folder of the next run; of several processes that do so at once, each gets its own.

        Raises:
            ConfigError: if the folder cannot be made.
        """
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
    def continued(cls, root: Path, experiment: str, settings: dict[str, Any], new: bool) -> "Run":
        """The newest run of an experiment that was begun with the same settings; a new run if there is none.

        Args:
            root: folder of all runs.
            experiment: name of the experiment.
            settings: plain data; what a call must agree on to go on with a run.
            new: whether a new run is begun in any case.
        """
        for run in [] if new else reversed(find_runs(root, experiment)):
            path = run.folder / SETTINGS
            if path.exists() and yaml.safe_load(path.read_text()) == settings:
                return run
        run = cls.new(root, experiment)
        (run.folder / SETTINGS).write_text(yaml.safe_dump(settings, sort_keys=False))
        return run

    def discard_if_not_begun(self) -> None:
        """Removes the folder of a run that failed before it began, that is, before its config was written."""
        if not (self.folder / CONFIG).exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # there are other runs
                self.folder.parent.rmdir()

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
        for folder in root.glob(f"{experiment or '*'}/version_*")
        if re.fullmatch(r"version_\d+", folder.name) and folder.is_dir()
    ]
    return sorted(runs, key=lambda run: run.number if experiment else run.begun)


def find_checkpoint(given: str, root: Path, experiment: str | None) -> Path:
    """The checkpoint that `--ckpt_path` names: a path, or "last" or "best" of the newest run.

    Raises:
        ConfigError: if there is none.
    """
    if given not in ("last", "best"):
        path = Path(given).expanduser()
        if not path.is_file():
            raise ConfigError(f"there is no checkpoint {given}; give the path of one, or last, or best")
        return path
    for run in reversed(find_runs(root, experiment)):
        path = run.folder / CHECKPOINTS / f"{given}.ckpt"
        if path.exists():
            return path
    where = f"of experiment {experiment!r} " if experiment else ""
    raise ConfigError(
        f"--ckpt_path {given}: no run {where}in {root} has a {given}.ckpt; train one first with forecastlab fit, "
        "or give a path"
    )


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Loads a checkpoint without running any code that it may hold.

    Raises:
        DataError: if it is not a checkpoint of ours.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        raise DataError(
            f"{path} is not a readable checkpoint ({type(error).__name__}): it is damaged or was written by another "
            "program; use another checkpoint of the run"
        ) from None
    if not isinstance(checkpoint, dict) or not {"state_dict", "config"} <= set(checkpoint):
        raise DataError(f"{path} was not written by forecastlab fit: it holds no config or no weights")
    return checkpoint


def experiment_name(args: Sequence[str]) -> str | None:
    """The experiment that a command line names: --experiment, the config's `experiment`, or the config's file name."""
    given = values_of(args, "--experiment")
    configs = [Path(path) for path in values_of(args, "--config", "-c")]
    for path in reversed(configs):
        try:
            content = yaml.safe_load(path.read_text())
        except (OSError, UnicodeError, yaml.YAMLError):
            continue  # the parser says what is wrong with it
        if isinstance(content, dict) and content.get("experiment"):
            given = given or [str(content["experiment"])]
    if given:
        return given[-1]
    return configs[0].stem if configs else None
