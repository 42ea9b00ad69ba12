"""What the parser says, in the user's words: the key, what was expected, what came, and what was probably meant."""

import difflib
import importlib
import inspect
import re
from collections.abc import Iterable, Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.decoders import Decoder
from forecastlab.factory import subclasses
from forecastlab.losses import Loss
from forecastlab.registry import registered_backbones

_BASES = {
    "model.decoder": Decoder,
    "model.loss": Loss,
    "model.optimizer": Optimizer,
    "model.lr_scheduler": LRScheduler,
    "data": ForecastDataModule,
}


def explain(message: str, options: Iterable[str], most: int = 9) -> str:
    """A message of the parser in at most `most` lines.

    Args:
        message: what the parser said.
        options: every option that it knows, without the leading dashes.
        most: the most lines to give.
    """
    keys = re.findall(r'Parser key "([^"]+)"', message)
    key = ".".join(keys)
    if match := re.search(r"unrecognized arguments: (.*)|does not accept option '([^']+)'", message):
        unknown = (match.group(1) or match.group(2)).split()[0]
        return f"unknown option {unknown}" + _suggest(unknown.lstrip("-").partition("=")[0], list(options))
    if match := re.search(r"Option '([^']+)' is not accepted", message):
        return _unknown_argument(key, match.group(1), re.findall(r"class_path[=:]?'? ?'([\w.]+)'", message))
    if match := re.search(r"the following arguments are required: (.*)", message):
        return f"{key}: missing {match.group(1)}"
    if match := re.search(r"Expected a dot import path string: (\S+?)\.?(\s|$)", message):
        return _unknown_class(key, match.group(1))
    if match := re.search(r"(?s)Problems parsing config: (.*)|(Unexpected config: .*)", message):
        return _shortened(
            f"the config is not valid YAML with keys and values: {match.group(1) or match.group(2)}", most
        )
    if expected := re.findall(r"Expected a (<class '[\w.]+'>|typing\.Literal\[[^]]*\])", message):
        names = [re.sub(r"<class '([\w.]+)'>|typing\.Literal\[(.*)\]", r"\1\2", name) for name in expected]
        if len(keys) > 1 and len(names) > 1 and names[-1] == "NoneType":
            names.pop()  # it is what the outer value may be
        wanted = " or ".join("null" if name == "NoneType" else name for name in dict.fromkeys(names))
        got = re.search(r"(?:Got value|Given value): (.*?)(?:\. Got value: .*)?$", message, re.MULTILINE)
        return f"{key}: expected {wanted}, got {got.group(1) if got else 'something else'}"
    return _shortened(re.sub(r'^Parser key "([^"]+)"', r"\1", message), most)


def _unknown_argument(key: str, name: str, class_paths: Sequence[str]) -> str:
    for path in class_paths:
        module, _, cls = path.rpartition(".")
        if module:
            known = list(inspect.signature(getattr(importlib.import_module(module), cls)).parameters)
            known = [option for option in known if option not in ("input_size", "params", "optimizer")]  # not settings
            return f"{key}: {cls} has no argument {name!r}" + _suggest(name, known)
    return f"{key}: unknown argument {name!r}"


def _unknown_class(key: str, name: str) -> str:
    if key.startswith("model.backbone"):
        return f"{key}: unknown backbone {name!r}" + _suggest(name, list(registered_backbones()))
    for prefix, base in _BASES.items():
        if key.startswith(prefix):
            return f"{key}: unknown {base.__name__} {name!r}" + _suggest(name, sorted(subclasses(base)))
    return f"{key}: there is no class {name!r} of the kind that is expected here; give its name or its import path"


def _suggest(name: str, known: Sequence[str]) -> str:
    lower = {option.lower(): option for option in known}
    close = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, 1, 0.5)]
    hint = f"; did you mean {close[0]}?" if close else "."
    return hint + (f" Available: {', '.join(known)}" if len(known) <= 40 else " See --help for all options")


def _shortened(message: str, most: int) -> str:
    lines = [line.rstrip() for line in message.strip().splitlines() if line.strip()]
    return "\n".join(lines if len(lines) <= most else [*lines[: most - 1], "..."])
