"""`Config`: what an experiment is, as a value."""

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace, capture_parser
from lightning.fabric.utilities.seed import max_seed_value

from forecastlab.adapters.jsonargparse import subcommands_of
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError, similar_file
from forecastlab.experiment.checks import checked_threads
from forecastlab.experiment.config_files import experiment_name, read_configs
from forecastlab.experiment.data_part import data_module
from forecastlab.experiment.environment import prepare
from forecastlab.experiment.experiment import Experiment
from forecastlab.experiment.held import held_out, names_frame
from forecastlab.experiment.messages import dropped_arguments, half_a_schedule, in_words_of_users
from forecastlab.experiment.run_config import CONFIG_KEYS
from forecastlab.experiment.shipped import path_of
from forecastlab.experiment.words import in_words
from forecastlab.runs.run import LOGS, note


@dataclass(frozen=True)
class Config:
    """What an experiment is: everything that a `config.yaml` holds, checked, with all defaults.

    A config does not change; `with_values` gives another one. It can be pickled and compared.

    Where `data.path` is a frame, it is held beside the values, which say only that there is one. Two configs are equal
    if their values are.

    Attributes:
        baselines: what `crossval` scores on the same rows; None if the config names none.
        held: the frame that the data are read from; None where the values name a file.
    """

    _values: dict[str, Any]
    baselines: tuple[str, ...] | None = None
    held: Any = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, config: "Config | Mapping[str, Any] | str | Path") -> "Config":
        """A config from its file, the name of a shipped one such as "quickstart", or its keys and values.

        Raises:
            ConfigError: if there is no such file, or for a value that cannot be used.
        """
        if isinstance(config, Config):
            return config
        if isinstance(config, Mapping):
            values, held = held_out(config)
            with in_words_of_users(_parser()):
                return replace(cls._checked(_parser().parse_object(copy.deepcopy(values))), held=held)
        path = path_of(str(config))
        if not os.path.isfile(path):
            raise ConfigError(f"there is no config {path}{similar_file(path)}")
        return cls.from_args(["--config", path])

    @classmethod
    def from_args(cls, args: Sequence[str]) -> "Config":
        """The config of a command line of `fit`; nothing is built or read but config files.

        Args:
            args: the command line after `fit`.

        Raises:
            ConfigError: for a value that cannot be used, or an option that only `fit` has a use for.
        """
        files, name = read_configs(args), experiment_name(args)
        words = ["fit", *([] if name is None else ["--experiment", name]), *args]
        with in_words_of_users(_parser()):
            parsed = _command_line().parse_args(words)["fit"]
        config = cls._checked(parsed)
        model, epochs = config._values["model"], config._values["trainer"]["max_epochs"]
        for line in [*dropped_arguments(files.values(), model), *half_a_schedule(model, epochs)]:
            note(line)
        return config

    @classmethod
    def _checked(cls, parsed: Namespace) -> "Config":
        if parsed.seed_everything is True:  # as Lightning takes it
            parsed.seed_everything = int(os.environ.get("PL_GLOBAL_SEED", "0"))
        if not 0 <= parsed.seed_everything <= max_seed_value:
            raise ConfigError(
                f"seed_everything: {parsed.seed_everything} is not in bounds, numpy accepts from 0 to {max_seed_value}"
            )
        checked_threads(parsed.threads)
        if parsed.lr_find:
            raise ConfigError("--lr_find belongs to fit: leave it out")
        values = yaml.safe_load(_parser().dump(parsed, skip_unset=False))
        baselines = None if parsed.baselines is None else tuple(parsed.baselines)
        return cls({key: values[key] for key in CONFIG_KEYS if key in values}, baselines)

    def with_values(self, values: Mapping[str, Any]) -> "Config":
        """Another config with some values replaced.

        Args:
            values: by dotted name, such as "data.fold" or "model.backbone.hidden_size", plain data; a class before its
                arguments. A class that takes the place of another keeps the arguments that both have.

        Raises:
            ConfigError: for a value that cannot be used.
        """
        values, held = held_out(values)
        parser = _parser()
        with in_words_of_users(parser):
            parsed = parser.parse_object({**self.values, "baselines": self.baselines and list(self.baselines)})
            waiting: dict[str, Any] = {}
            for name, value in values.items():
                first, *rest = name.split(".")
                if first in waiting:  # it may be an argument of a class that was named before
                    parsed, waiting = parser.parse_object(waiting, parsed), {}
                waiting[first] = copy.deepcopy(value)
                for part in reversed(rest):
                    waiting[first] = {part: waiting[first]}
            parsed = parser.parse_object(waiting, parsed)
        config = self._checked(parsed)
        return replace(config, held=(self.held if held is None else held) if names_frame(config._values) else None)

    @property
    def values(self) -> dict[str, Any]:
        """What config.yaml holds, as plain data of the caller's own."""
        return copy.deepcopy(self._values)

    def __repr__(self) -> str:
        data, model = self._values["data"], self._values["model"]
        arguments = data["init_args"]
        source = arguments.get("dataset") or arguments.get("path") or arguments.get("source") or ""
        steps = "1 step" if arguments["horizon"] == 1 else f"{arguments['horizon']} steps"
        reads = "all rows so far" if arguments["lookback"] == "full" else f"{arguments['lookback']} rows"
        return (
            f"<Config {self.experiment}: {in_words(model['backbone'])} forecasts {steps} from {reads} of "
            f"{data['class_path'].rpartition('.')[2]} {source}".rstrip()
            + f", fold {arguments['fold']}; at most {self._values['trainer']['max_epochs']} epochs>"
        )

    @property
    def experiment(self) -> str:
        """The name of the experiment."""
        return self._values["experiment"] or "default"

    @property
    def root(self) -> Path:
        """The folder of all runs."""
        return Path(self._values["trainer"]["default_root_dir"] or ".", LOGS)

    def to_yaml(self) -> str:
        """The text of config.yaml."""
        return yaml.safe_dump(self._values, sort_keys=False)

    def anywhere(self) -> dict[str, Any]:
        """The values without the folder of all runs: where it is does not make another experiment."""
        return {**self.values, "trainer": {**self.values["trainer"], "default_root_dir": None}}

    def settings(self, allow_seen: bool = False) -> dict[str, Any]:
        """What a call must agree on to go on with a cross-validation: its fold and its seed do not count.

        Args:
            allow_seen: whether rows that trained the weights are scored.
        """
        settings = {**self.anywhere(), "seed_everything": None}
        settings["data"]["init_args"] = {**settings["data"]["init_args"], "fold": None}
        return {**settings, "allow_seen": True} if allow_seen else settings

    def arguments(self, command: str, **more: Any) -> dict[str, Any]:
        """What a command line of this config is parsed to, for `Experiment`.

        Args:
            command: the sub-command, such as "fit".
            more: options of it that belong to one call, such as `ckpt_path`.
        """
        return {"subcommand": command, command: {**self.values, **more}}

    def data_module(self, fold: int | str | None = None) -> ForecastDataModule:
        """Builds the data module alone; nothing is read.

        Args:
            fold: which fold; None for the config's.

        Raises:
            ConfigError: for a setting that cannot be used.
        """
        part = self.values["data"]
        part = part if fold is None else {**part, "init_args": {**part["init_args"], "fold": fold}}
        return data_module([part], held=self.held)


@cache
def _command_line() -> ArgumentParser:
    """The parser of all commands of `Experiment`."""
    prepare()
    parser: ArgumentParser = capture_parser(Experiment, ["fit"])
    return parser


def _parser() -> ArgumentParser:
    """The parser of `fit` alone; it takes `--print_config` only from the one above."""
    parser: ArgumentParser = subcommands_of(_command_line())["fit"]
    return parser
