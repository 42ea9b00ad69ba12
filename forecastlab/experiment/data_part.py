"""The part `data` of a config, by itself."""

from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentParser

from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.experiment.environment import unwrapped
from forecastlab.experiment.held import holding
from forecastlab.experiment.messages import in_words_of_users


def data_parser(prog: str | None = None, description: str | None = None) -> ArgumentParser:
    """A parser of the part, which knows every data module.

    Args:
        prog: the command that it is for.
        description: what the command does.
    """
    parser = ArgumentParser(prog=prog, description=description, exit_on_error=False, allow_abbrev=False)
    parser.add_subclass_arguments(ForecastDataModule, "data")
    return parser


def data_module(parts: Sequence[object], args: Sequence[str] = (), held: Any = None) -> ForecastDataModule:
    """Builds the data module of a config; nothing is read.

    Args:
        parts: what configs hold under `data`; later ones win.
        args: options of a command line that win over them.
        held: the frame that is read, where the config's path says that there is one.

    Raises:
        ConfigError: for a setting that cannot be used.
    """
    parser = data_parser("forecastlab data")
    with in_words_of_users(parser):
        config = None
        for part in parts:
            config = parser.parse_object({"data": part}, config)
        if args:
            config = parser.parse_args(args, config)
    with holding(held):
        module: ForecastDataModule = unwrapped(lambda: parser.instantiate(config)).data
    return module
