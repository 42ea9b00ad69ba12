"""Writes docs/reference/ from the parsers of the command line: `python -m tests.reference.pages`."""

import argparse
import inspect
import json
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Union, get_args, get_origin

from jsonargparse import ArgumentParser, capture_parser

from forecastlab.adapters.jsonargparse import options_of, subcommands_of
from forecastlab.cli import COMMANDS, data, run_removal
from forecastlab.cli.completion import own_parsers
from forecastlab.cli.help import HELPS
from forecastlab.data.ozone_datamodule import OzoneDataModule
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.experiment.environment import prepare
from forecastlab.experiment.experiment import Experiment
from forecastlab.experiment.messages import classes_of
from forecastlab.experiment.run_config import CONFIG_KEYS

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
MADE = "<!-- Written by `python -m tests.reference.pages`. -->"
HEAD = ["", "| option | value | default | what it is |", "|---|---|---|---|"]
KINDS = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path", type(None): "null"}
TAKE_CONFIG = ("fit", "validate", "test", "predict", "crossval", "tune", "explain")
"""The commands that take every key of a config as an option."""
SIZES = ("input_size", "width", "horizon", "targets", "known", "outputs", "params", "optimizer", "self")
"""Parameters of classes that a config does not give."""
SHOWN_LATER = {
    "model.backbone": "Backbones and hybrids. Each is described in [Backbones](../api/backbones.md) and "
    "[Hybrids](../api/hybrids.md).",
    "model.decoder": "Decoders. Each is described in [Decoders](../api/decoders.md).",
    "model.loss": "Losses. Each is described in [Losses and penalties](../api/losses.md).",
}


def kind(hint: object) -> str:
    """A type in words."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint in KINDS:
        return KINDS[hint]
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in parts)
    if origin in (Union, types.UnionType):
        ordered = sorted(parts, key=lambda part: part is type(None))
        ordered = [part for part in ordered if part is not int or float not in parts]
        return " or ".join(dict.fromkeys(kind(part) for part in ordered))
    if origin in (Mapping, dict):
        return "mapping"
    if origin in (Sequence, Iterable, list):
        return f"list of {kind(parts[0])}"
    if origin is Callable:
        return kind(parts[-1])
    return f"`{hint.__name__}`" if inspect.isclass(hint) else "any"


def value(action: argparse.Action) -> str:
    """What an option takes, in words."""
    if action.nargs == 0:
        return "flag"
    hint = getattr(action, "_typehint", None) or action.type
    if action.choices is not None:
        return ", ".join(f"`{choice}`" for choice in action.choices)
    if hint is None:
        return "text"
    if hint in KINDS or get_origin(hint) is not None or inspect.isclass(hint):
        return kind(hint)
    return "list, with commas"  # a function of ours that reads one


def shown(default: object) -> str:
    """A default as a config would write it; nothing for none."""
    if default in (None, argparse.SUPPRESS):
        return ""
    if isinstance(default, Mapping) and "class_path" in default:
        return f"`{default['class_path'].rpartition('.')[2]}`"
    if isinstance(default, Path | str):
        return f"`{default}`" if str(default) else '`""`'
    return f"`{json.dumps(default)}`"


def sentence(text: str | None) -> str:
    """The first sentence of a text, in one line of a table."""
    text = " ".join((text or "").split())
    text = re.sub(r"``([^`]*)``", r"`\1`", re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text))
    first = re.match(r".*?(?<!e\.g)(?<!i\.e)(?<!et al)[.!?](?= [^a-z]|$)", text)
    return (first[0].removesuffix(".") if first else text).replace("|", "\\|")


def row(name: str, action: argparse.Action, about: str) -> str:
    return f"| `{name}` | {value(action)} | {shown(action.default)} | {sentence(about)} |"


def rows(
    parser: argparse.ArgumentParser, keep: Callable[[str], bool], ours: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """A row for each option of a parser that is kept, those without dashes first, in our words where there are any."""
    named: dict[int, tuple[str, argparse.Action]] = {}
    for name, action in options_of(parser).items():
        if keep(name) and name.startswith("--") and not name.endswith("+") and action.help != argparse.SUPPRESS:
            named.setdefault(id(action), (name, action))
    free = [(str(action.metavar or action.dest), action) for action in parser._actions if not action.option_strings]
    return [row(name, action, ours.get(name) or told(parser, action)) for name, action in [*free, *named.values()]]


def told(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """What a parser says of an option, without the default, which has a column of its own."""
    text = re.sub(r",? *\(?default: %\(default\)s\)?", "", action.help or "")
    return text if isinstance(parser, ArgumentParser) else text % {**vars(action), "prog": parser.prog}


def config_keys(parser: argparse.ArgumentParser, part: str) -> list[str]:
    """A row for each key below a part of the config."""
    return rows(parser, lambda name: name.startswith(f"--{part}.") and not name.endswith((".help", ".schema")))


@cache
def fit_parsers() -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands that train and score a config."""
    prepare()
    return subcommands_of(capture_parser(Experiment, ["fit"]))


def commands_page() -> str:
    """Each command, and the options that are its own."""
    own, of_config = own_parsers(), fit_parsers()
    keys = {f"--{key}" for key in (*CONFIG_KEYS, "baselines")}
    lines = [
        *("# Commands", "", MADE, ""),
        "`--help` after a command prints these, and `forecastlab fit --help` the keys that people use most. Every "
        "command takes `--allow_import PACKAGE` too: class paths of a config may then name classes of a package of "
        "your own.",
        "",
        "Words in a name are joined by `_`. Names with a dot are keys of the [config](config.md). `--seed_everything` "
        "is the seed of one training; where a command trains several, `--seeds` lists theirs.",
    ]
    for command in COMMANDS:
        about = HELPS[command].about.replace("\n", " ") if command in HELPS else None
        about = about or (data.parser() if command == "data" else own[command]).description
        if command in HELPS:
            groups = HELPS[command].groups.values()
            ours = {option.partition(" ")[0]: text for options in groups for option, text in options.items()}
            found = rows(of_config[command], lambda name: "." not in name and name not in {"--help", *keys}, ours)
        elif command == "data":
            found = rows(data.parser(), lambda name: name in ("--config", "--figure"))
        else:
            found = rows(own[command], lambda name: name != "--help")
        lines += ["", f"## {command}", "", about]
        if command in TAKE_CONFIG:
            lines += [
                "",
                "Takes all keys of the [config](config.md) as options too, such as `--trainer.max_epochs 30`.",
            ]
        elif command == "data":
            lines += ["", "Takes the keys of the config's [data](config.md#data) as options too."]
        elif command == "benchmark":
            lines += ["", "Takes other keys of the [config](config.md) by their dotted names too."]
        lines += [*HEAD, *found] if found else []
        if command == "runs":
            removal = run_removal.parser()
            lines += [
                "",
                "`forecastlab runs rm`: " + removal.description,
                *HEAD,
                *rows(removal, lambda n: n != "--help"),
            ]
    return "\n".join([*lines, ""])


def config_page() -> str:
    """The keys of a config, in the groups of `fit --help`."""
    parser = fit_parsers()["fit"]
    lines = [
        *("# Config", "", MADE, ""),
        "A config is a YAML file. A key `model.dropout` is `dropout` below `model`, and the option `--model.dropout` "
        "of `fit`, `crossval`, `tune` and, for what a checkpoint may have otherwise, `test`, `validate`, `predict` and "
        "`explain`. Where a value is a class, it is written as `class_path` and `init_args`, or by its name on the "
        "command line: `--model.backbone GRU --model.backbone.hidden_size 64`.",
        *("", "`forecastlab fit --config FILE --print_config` prints a config with all defaults."),
    ]
    tables = {cls.__name__: ArgumentParser() for cls in (TableDataModule, OzoneDataModule)}
    tables["TableDataModule"].add_class_arguments(TableDataModule, "data")
    tables["OzoneDataModule"].add_class_arguments(OzoneDataModule, "data")
    of_module = {name: config_keys(found, "data") for name, found in tables.items()}
    shared = [one for one in of_module["TableDataModule"] if one in of_module["OzoneDataModule"]]
    lines += ["", "## data", "", "`data` is one of these data modules:", ""]
    lines += [f"- `{name}`: {first_of(cls)}" for name, cls in classes("data").items()]
    lines += ["", "All of them have:", *HEAD, *shared]
    for name, found in of_module.items():
        lines += ["", f"### {name}", *HEAD, *(one for one in found if one not in shared)]
    lines += ["", "## model", *HEAD, *config_keys(parser, "model")]
    for part, about in SHOWN_LATER.items():
        lines += ["", f"### {part}", "", about, "", "| class | arguments | what it is |", "|---|---|---|"]
        lines += [of_class(name, cls) for name, cls in classes(part).items()]
    for part in ("model.optimizer", "model.lr_scheduler"):
        names = ", ".join(f"`{name}`" for name in classes(part))
        lines += ["", f"### {part}", "", f"Those of torch, with torch's arguments: {names}."]
    lines += ["", "## training", *HEAD, *config_keys(parser, "early_stopping"), *config_keys(parser, "checkpoints")]
    lines += ["", "## trainer", "", "The arguments of Lightning's Trainer.", *HEAD, *config_keys(parser, "trainer")]
    run = rows(parser, lambda name: name in ("--experiment", "--seed_everything", "--threads", "--baselines"))
    return "\n".join([*lines, "", "## run", *HEAD, *run, ""])


def classes(part: str) -> dict[str, type]:
    """The classes for a part of the config, without those that other tests of this process have made."""
    ours = ("forecastlab.", "torch.", "lightning.pytorch.cli")
    return {name: cls for name, cls in classes_of(part).items() if cls.__module__.startswith(ours)}


def of_class(name: str, cls: type) -> str:
    """A class, its arguments and their defaults."""
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    settings = [
        one for one in inspect.signature(cls).parameters.values() if one.name not in SIZES and one.kind not in free
    ]
    arguments = ", ".join(f"`{one.name}={text_of(one.default)}`" for one in settings)
    return f"| `{name}` | {arguments.replace('|', chr(92) + '|')} | {first_of(cls)} |"


def first_of(cls: type) -> str:
    """The first sentence of a class's own words."""
    return sentence((inspect.getdoc(cls) or "").partition("\n\n")[0])


def text_of(default: object) -> str:
    """The default of an argument in Python; classes by their names."""
    if isinstance(default, tuple | list):
        return f"({', '.join(map(text_of, default))})"
    return default.__name__ if inspect.isclass(default) or inspect.isroutine(default) else repr(default)


PAGES = {"commands.md": commands_page, "config.md": config_page}

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for page, text in PAGES.items():
        (FOLDER / page).write_text(text(), encoding="utf-8")
