"""One spelling of options: words in a name are joined by `_`, and what has one meaning has one name.

Earlier spellings are understood, with a note, and are written anew here before anything is parsed.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import PurePath

from forecastlab.errors import ConfigError
from forecastlab.runs.run import LOGS

DASHED = re.compile(r"--[a-z]+(-[a-z]+)+")
"""A name whose words are joined by `-`, as those of our own options once were. Keys of a config have none."""
RENAMED = {
    "benchmark": {"--data": "--data.path"},
    "compare": {"--out": "--output"},
    "reproduce": {"--path": "--data.path", "--root": "--trainer.default_root_dir"},
    "tune": {"--seed": "--sampler_seed"},
}
"""By the command: options that had another name, and the name that they have."""
FOLDER_OF_RUNS = "--logs"
"""What `compare` called the folder of all runs itself, of which `--trainer.default_root_dir` is the folder above."""


def as_spelt(args: Sequence[str]) -> list[str]:
    """A command line in which every option has the name that it has now; standard error is told of each other one.

    Args:
        args: the command line, which begins with the sub-command.

    Raises:
        ConfigError: for a folder of runs that has no other name now.
    """
    command, *words = args
    renamed = RENAMED.get(command, {})
    told: dict[str, str] = {}
    made = [command]
    of_folder = False
    for word in words:
        name, equals, value = word.partition("=")
        if of_folder:
            made.append(_above(word))
            of_folder = False
            continue
        joined = f"--{name[2:].replace('-', '_')}" if DASHED.fullmatch(name) else name
        now = renamed.get(name, joined)
        if command == "compare" and name == FOLDER_OF_RUNS:
            now, of_folder = "--trainer.default_root_dir", not equals
            value = _above(value) if equals else value
        if now != name:
            told[name] = now
        made.append(f"{now}{equals}{value}")
    if told:
        from forecastlab.experiment.devices import rank  # here, since it needs Lightning

        for name, now in told.items() if not rank() else ():
            print(f"forecastlab: note: {name} is spelt {now}", file=sys.stderr)
    return made


def _above(folder: str) -> str:
    """The folder that a folder of all runs is in.

    Raises:
        ConfigError: if the given one has another name than such folders have.
    """
    path = PurePath(folder)
    if path.name != LOGS:
        raise ConfigError(
            f"--logs {folder}: --trainer.default_root_dir names the folder that {LOGS} is in now; of a folder of runs "
            f"that is called otherwise, name the experiments by their folders, such as {path / 'EXPERIMENT'}"
        )
    return str(path.parent)
