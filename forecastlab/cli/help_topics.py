"""`--help TOPIC`: every option of one part of a config."""

import inspect
import re
from collections.abc import Sequence

from jsonargparse import capture_parser

from forecastlab.adapters.jsonargparse import subcommands_of
from forecastlab.cli.help import TOPICS
from forecastlab.errors import ConfigError
from forecastlab.experiment.experiment import Experiment
from forecastlab.experiment.messages import classes_of, suggestion

PARTS = {"training": ("early_stopping", "checkpoints")}
"""The parts of a config that a topic of another name is about."""


def topic_help(command: str, topic: str) -> str:
    """The help about a topic.

    Args:
        command: the sub-command.
        topic: a part of the config, such as "data" or "model.backbone", or "training".

    Raises:
        ConfigError: if nothing is known about it.
    """
    parts = PARTS.get(topic, (topic.removeprefix("--"),))
    text = entries_of(subcommands_of(capture_parser(Experiment, [command]))[command].format_help(), parts)
    known = classes_of(topic)
    if not text and not known:
        raise ConfigError(f"--help: nothing is known about {topic!r}{suggestion(topic, list(TOPICS))}")
    lines = [text] if text else []
    if known:
        lines += ["", f"classes for {topic}:"]
        lines += [f"  {name:<26}{(inspect.getdoc(cls) or '').partition(chr(10))[0]}" for name, cls in known.items()]
        lines += ["", f"the arguments of one: forecastlab {command} --{topic}.help NAME"]
    return "\n".join(lines)


def entries_of(text: str, parts: Sequence[str]) -> str:
    """The entries of some options in the help that a parser prints.

    Args:
        text: the help: an entry begins with an option two letters from the left, and goes on further to the right.
        parts: names of options, without dashes; those below them count too.
    """
    kept, wanted = [], False
    for line in text.splitlines():
        if option := re.match(r"  (?:-\w, )?--([\w.-]+)", line):
            name = option.group(1)
            wanted = any(name == part or name.startswith(f"{part}.") for part in parts)
        elif not line.startswith("   "):
            wanted = False
        if wanted:
            kept.append(line)
    return "\n".join(kept)
