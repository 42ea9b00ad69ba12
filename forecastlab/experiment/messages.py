"""What the parser says, in the user's words: the key, what was expected, what came, and what was probably meant."""

import difflib
import inspect
import re
import sys
from argparse import ArgumentError, ArgumentParser
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jsonargparse
from jsonargparse import Namespace
from lightning.pytorch import Callback
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from forecastlab.adapters.jsonargparse import options_of
from forecastlab.backbones.base import Backbone
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.decoders import Decoder
from forecastlab.errors import ConfigError
from forecastlab.losses import Loss
from forecastlab.network.factory import BUILT_IN, subclasses
from forecastlab.network.registry import registered_backbones

_BASES = {
    "model.backbone": Backbone,
    "model.decoder": Decoder,
    "model.loss": Loss,
    "model.optimizer": Optimizer,
    "model.lr_scheduler": LRScheduler,
    "data": ForecastDataModule,
    "trainer.callbacks": Callback,
}
_PLAIN = {"NoneType": "null", "collections.abc.Sequence": "list", "tuple": "list"}
"""How YAML calls types."""
_NO_SETTINGS = ("input_size", "params", "optimizer", "self", "args", "kwargs")
"""Parameters of classes that are given to them, and are not set by a config."""


@contextmanager
def in_words_of_users(parser: ArgumentParser, about: str = "") -> Iterator[None]:
    """Says in the user's words what a parser refuses within the block.

    Args:
        parser: the parser, whose options are suggested.
        about: what is parsed, before the message.

    Raises:
        ConfigError: if the parser refuses anything.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise ConfigError(f"the config is not a text file: {error}") from None
    except (jsonargparse.ArgumentError, ArgumentError) as error:
        options = [name.lstrip("-") for name in options_of(parser)]
        raise ConfigError(about + explain(str(error), options)) from None


def explain(message: str, options: Iterable[str], most: int = 9) -> str:
    """A message of the parser in at most `most` lines.

    Args:
        message: what the parser said.
        options: every option that it knows, without the leading dashes.
        most: the most lines to give.
    """
    options = list(options)
    keys = re.findall(r'Parser key "([^"]+)"', message)
    key = ".".join(keys)
    message = re.sub(r"Group '([^']+)' does not accept option '([^']+)'", r"unrecognized arguments: \1.\2", message)
    if match := re.search(r"unrecognized arguments: (.*)|(?:does not accept o|^O)ption '([^']+)'", message):
        unknown = (match.group(1) or match.group(2)).split()[0]
        name = unknown.lstrip("-").partition("=")[0]
        last = name.rpartition(".")[2]
        same = (option for option in options if option.rpartition(".")[2] == last and option != name)
        if meant := next(same, None) or _argument_of_a_part(last):
            return f"unknown option {unknown}; did you mean {meant}? See --help all for all options"
        return f"unknown option {unknown}" + suggestion(name, options)
    if match := re.search(r"Importing '([^']+)' is not allowed", message):
        path = match.group(1)
        if path.partition(".")[0] in BUILT_IN:
            kind = next((base.__name__ for prefix, base in _BASES.items() if key.startswith(prefix)), "class for it")
            return f"{key}: {path} is not a {kind}"
        return (
            f"{key}: {path} is not imported: it belongs to a package that is not allowed to run code here. If you "
            f"trust it, pass --allow_import {path.partition('.')[0]}"
        )
    if match := re.search(r"Unable to load config ['\"](.*)['\"]", message):
        key = ".".join(dict.fromkeys(keys))
        return f"{key}: expected settings below it, such as --{key}.NAME VALUE, or a file of them; got {match.group(1)}"
    if match := re.search(r"Option '([^']+)' is not accepted", message):
        return _unknown_argument(key, match.group(1), re.findall(r"class_path[=:]?'? ?'([\w.]+)'", message))
    if match := re.search(r"the following arguments are required: (.*)", message):
        missing = match.group(1)
        return f"{key}: missing {missing}" if key else f"missing {missing.partition('.')[2]}: give --config FILE"
    if wrong := re.findall(r"Expected '([^']+)' to be a subclass of <class '(\w+)'>", message):
        base = _BASES.get(key)
        if base is not None and wrong[-1][0].rpartition(".")[2] == base.__name__:  # no class was named
            return (
                f"{key}: its settings need the name of their class: write class_path and, below init_args, the "
                f"settings, or give --{key} NAME before --{key}.SETTING. Available: {', '.join(classes_of(key))}"
                + ("; TableDataModule reads a file of your own" if key == "data" else "")
            )
        return f"{key}: {wrong[-1][0]} is not a {wrong[-1][1]}"
    match = re.search(r"Expected a dot import path string: (\S+?)\.?(\s|$)", message)
    if match and not re.search(r"Expected a <class '(int|float)'>", message):  # a number or a tensor, as of an lr
        return _unknown_class(key, match.group(1))
    if match := re.search(r"(?s)Problems parsing config: (.*)|(Unexpected config: .*)", message):
        return _shortened(
            f"the config is not valid YAML with keys and values: {match.group(1) or match.group(2)}", most
        )
    if expected := re.findall(r"Expected a (<class '[\w.]+'>|typing\.Literal\[[^]]*\])", message):
        names = [re.sub(r"<class '([\w.]+)'>|typing\.Literal\[(.*)\]", r"\1\2", name) for name in expected]
        if len(keys) > 1 and len(names) > 1 and names[-1] == "NoneType":
            names.pop()  # it is what the outer value may be
        found = re.search(r"(?:Got value|Given value): (.*?)(?:\. Got value: .*)?$", message, re.MULTILINE)
        got = found.group(1) if found else "something else"
        if names == ["NoneType"]:
            return f"{key}: expected a class by its name, or its class_path and init_args, or null; got {got}"
        wanted = " or ".join(_PLAIN.get(name, name) for name in dict.fromkeys(names))
        return f"{key}: expected {wanted}, got {got}"
    return _shortened(re.sub(r'^Parser key "([^"]+)"', r"\1", message), most)


def dropped_arguments(configs: Iterable[Mapping[str, Any]], model: Mapping[str, Any]) -> list[str]:
    """What configs say about classes that others have taken the place of, and that these have no use for.

    Args:
        configs: what was read, the later ones over the earlier.
        model: the part `model` of what came out.

    Returns:
        A line for each part of the model that lost arguments.
    """
    given: dict[str, dict[str, Any]] = {}
    for config in configs:
        for part, value in (config.get("model") or {}).items():
            if isinstance(value, dict) and isinstance(value.get("init_args"), dict):
                given.setdefault(part, {}).update(value["init_args"])
    lines = []
    for part, arguments in given.items():
        now = model.get(part)
        if now is not None and (lost := [name for name in arguments if name not in now.get("init_args", ())]):
            lines.append(f"model.{part} is {now['class_path'].rpartition('.')[2]} now: {', '.join(lost)} dropped")
    return lines


def half_a_schedule(model: Mapping[str, Any], epochs: int | None) -> list[str]:
    """What is said of a cosine schedule that is not as long as the training; nothing of one that is.

    It is not made as long by itself: where a config says both, one of them would be without effect.

    Args:
        model: the part `model` of a config.
        epochs: trainer.max_epochs; None or -1 for no limit.
    """
    schedule = model.get("lr_scheduler")
    if schedule is None or not schedule["class_path"].endswith(".CosineAnnealingLR") or epochs is None or epochs < 1:
        return []
    length = schedule["init_args"]["T_max"]
    if length == epochs:
        return []
    shape = "has not fallen to its end by then" if epochs < length else f"falls for {length} epochs and rises again"
    return [
        f"trainer.max_epochs is {epochs}, and model.lr_scheduler.T_max is {length}: the learning rate {shape}; to let "
        f"it fall over the whole training, set --model.lr_scheduler.T_max {epochs} too"
    ]


def not_built(error: BaseException, trainer: Mapping[str, Any], most: int = 6) -> str | None:
    """What is said when a class that the trainer is given cannot be built.

    Args:
        error: what was raised; the reason is the innermost error that it was raised from, or what the class said
            where something else, such as text, could have been given in its place.
        trainer: the part `trainer` of the config.
        most: the most lines to give.

    Returns:
        The option, the class and the reason; None if it is not about a class of the trainer.
    """
    for option, value in trainer.items():
        named = [path for path in _class_paths(value) if path in str(error)]
        if named:
            name = named[0].rpartition(".")[2]
            return _shortened(f"trainer.{option}: {name} cannot be built: {_reason(error)}", most)
    return None


def _reason(error: BaseException) -> str:
    """What an error comes from; of several ways to read a value, the one that was no mere matter of its type."""
    choices: list[str] = []
    while error.__cause__ is not None:
        if match := re.search(r"(?s)\nErrors:\n  - (.*?)\nGiven value type", str(error)):
            choices += match.group(1).split("\n  - ")
        error = error.__cause__
    told = str(error) or type(error).__name__
    if told.startswith("Expected a "):
        told = next((choice for choice in choices if not choice.startswith("Expected a ")), told)
    return told


def _class_paths(value: Any) -> list[str]:
    """Every class that a value of the config names."""
    if isinstance(value, list):
        return [path for one in value for path in _class_paths(one)]
    if isinstance(value, Namespace):
        value = vars(value)
    if not isinstance(value, Mapping):
        return []
    inner = [path for one in value.values() for path in _class_paths(one)]
    return [str(value["class_path"]), *inner] if "class_path" in value else inner


def _unknown_argument(key: str, name: str, class_paths: Sequence[str]) -> str:
    for path in class_paths:
        module, _, cls = path.rpartition(".")
        if module in sys.modules:  # nothing is imported for the sake of a message
            if name == "class_path":
                return f"{key}: expected class_path and init_args only: move the arguments of {cls} below init_args"
            known = list(inspect.signature(getattr(sys.modules[module], cls)).parameters)
            known = [option for option in known if option not in _NO_SETTINGS]
            return f"{key}: {cls} has no argument {name!r}" + suggestion(name, known)
    return f"{key}: unknown argument {name!r}"


def classes_of(key: str) -> dict[str, type]:
    """The classes that a part of the config can name, by their names; empty for a part that is no class.

    Args:
        key: the part, such as "model.backbone".
    """
    if key == "model.backbone":
        return dict(registered_backbones())
    return dict(sorted(subclasses(_BASES[key]).items())) if key in _BASES else {}


def _argument_of_a_part(name: str) -> str | None:
    """The option that sets an argument of a part of the model, such as model.backbone.hidden_size; None for no such.

    Args:
        name: the last word of an option that there is not, such as hidden_size.
    """
    for key in _BASES:
        for cls in classes_of(key).values() if key.startswith("model.") else ():
            if name in inspect.signature(cls).parameters and name not in _NO_SETTINGS:
                return f"{key}.{name}"
    return None


def _unknown_class(key: str, name: str) -> str:
    if not key:  # of an option such as --model.backbone.help NAME
        known = {*registered_backbones(), *(name for base in _BASES.values() for name in subclasses(base))}
        return f"unknown class {name!r}" + suggestion(name, sorted(known))
    if key.startswith("model.backbone"):
        return f"{key}: unknown backbone {name!r}" + suggestion(name, list(registered_backbones()))
    for prefix, base in _BASES.items():
        if key.startswith(prefix):
            return f"{key}: unknown {base.__name__} {name!r}" + suggestion(name, sorted(subclasses(base)))
    return f"{key}: there is no class {name!r} of the kind that is expected here; give its name or its import path"


def suggestion(name: str, known: Sequence[str]) -> str:
    """The end of a sentence about an unknown name: what was probably meant, and what there is.

    Args:
        name: what was given.
        known: what could have been given.
    """
    lower = {option.lower(): option for option in known if option != name}
    close = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, 1, 0.5)]
    hint = f"; did you mean {close[0]}?" if close else "."
    return hint + (f" Available: {', '.join(known)}" if len(known) <= 40 else " See --help all for all options")


def _shortened(message: str, most: int) -> str:
    lines = [line.rstrip() for line in message.strip().splitlines() if line.strip()]
    return "\n".join(lines if len(lines) <= most else [*lines[: most - 1], "..."])
