"""Configs and what a command line says of them before it is parsed: experiment, root folder, a checkpoint's config."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from forecastlab.experiment.believed import believed
from forecastlab.experiment.config_reading import read_config
from forecastlab.experiment.options import values_of
from forecastlab.runs.run import LOGS, Run, folder_name, note


def config_of(checkpoint: Mapping[str, Any], command: str, args: Sequence[str], path: Path) -> str:
    """What is believed of the config that a checkpoint carries, for a command line.

    `predict` goes beyond the end of the data: if it is given another file, `--data.path`, the `start` and `end` of the
    training's do not hold for it. What is scored stays within them, unless other ones are given. The values of columns
    of text are those of the training.

    Args:
        checkpoint: what is in it.
        command: the sub-command.
        args: the command line after it.
        path: where the checkpoint is.

    Returns:
        The config as YAML; standard error is told what was left out of it.

    Raises:
        DataError: if nothing of it can be believed (`believed`).
    """
    given = [f"trainer.{name}" for content in read_configs(args).values() for name in content.get("trainer") or ()]
    given += [word.removeprefix("--").partition("=")[0].rstrip("+") for word in args if word.startswith("--")]
    config, left_out = believed(checkpoint["config"], command == "fit", Run.of_checkpoint(path) is not None, given)
    if left_out:
        note(
            f"of the config in {path} only the model, its data and plain settings are taken: "
            f"{', '.join(left_out)} left out; give them again where they are wanted"
        )
    paths = values_of(args, "--data.path")
    settings = config["data"].get("init_args")
    if command == "predict" and paths and isinstance(settings, dict):
        bounds = [name for name in ("start", "end") if settings.get(name) is not None]
        if bounds and paths[-1] != settings.get("path"):
            for name in bounds:
                del settings[name]
            note(f"--data.path is another file: the training's data.{' and data.'.join(bounds)} left out")
    categories = checkpoint["hyper_parameters"]["schema"].get("recipe", {}).get("categories")
    of_tables = str(config["data"].get("class_path")).rpartition(".")[2] == "TableDataModule"
    if command != "fit" and categories and of_tables and isinstance(settings, dict):
        settings["categories"] = {name: list(values) for name, values in categories.items()}
    return yaml.safe_dump(config, sort_keys=False)


def experiment_name(args: Sequence[str]) -> str | None:
    """The experiment that a command line names: --experiment, the config's `experiment`, or the config's file name.

    Raises:
        ConfigError: if a config is not YAML, or the name cannot be a folder's.
    """
    configs = read_configs(args)
    named = [content["experiment"] for content in configs.values() if content.get("experiment")]
    given = values_of(args, "--experiment") or named or [Path(path).stem for path in configs][:1]
    if not given:
        return None
    return folder_name(str(given[-1]))


def root_folder(args: Sequence[str]) -> Path:
    """The folder of all runs that a command line names, itself or in a config: the last one counts."""
    trainers = [content.get("trainer") for content in read_configs(args).values()]
    named = [trainer.get("default_root_dir") for trainer in trainers if isinstance(trainer, dict)]
    given = [*filter(None, named), *values_of(args, "--trainer.default_root_dir")]
    return Path(str(given[-1]) if given else ".", LOGS)


def read_configs(args: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The configs of a command line by their path; those that are no files are left to the parser.

    Raises:
        ConfigError: if one is not YAML.
    """
    return {path: read_config(path) for path in values_of(args, "--config", "-c") if os.path.isfile(path)}
