"""The configs that are part of the package, by their names."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

import forecastlab
from forecastlab.errors import ConfigError, similar_file

FOLDER = Path(forecastlab.__file__).parent / "configs"
OPTIONS = ("--config", "-c", "--space")
"""The options whose value may be the name of a shipped config."""


def names() -> list[str]:
    """The names of the shipped configs, such as `quickstart` and `ozone/windowed_lstm`, sorted."""
    return sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.yaml"))


def with_paths(args: Sequence[str]) -> list[str]:
    """Puts the path of a shipped config in the place of its name, wherever a command line names one.

    Args:
        args: the command line.

    Raises:
        ConfigError: if an option names neither a file nor a shipped config.
    """
    words = list(args)
    for place, word in enumerate(args):
        option, equals, value = word.partition("=")
        if equals and option in OPTIONS:
            words[place] = f"{option}={path_of(value)}"
        elif place and args[place - 1] in OPTIONS:
            words[place] = path_of(word)
    return words


def path_of(given: str) -> str:
    """The path of a config.

    Args:
        given: the path of a file, the name of a shipped config, or a config as YAML text. A file comes before a config
            of the same name.

    Returns:
        The path of the shipped config that `given` names; everything else as it is.

    Raises:
        ConfigError: if `given` could be a name, and neither a file nor a shipped config has it.
    """
    if os.path.isfile(given):
        return given
    known = names()
    if given in known:
        return str(FOLDER / f"{given}.yaml")
    is_text = not given.strip() or any(sign in given for sign in ":{\n")
    if is_text or given == "-" or os.path.isabs(given) or os.path.exists(given):  # the parser says what is wrong
        return given
    wanted = given.removesuffix(".yaml")
    by_stem = {Path(name).name: name for name in reversed(known)}
    stems = difflib.get_close_matches(Path(wanted).name, by_stem, 1)
    close = [*difflib.get_close_matches(wanted, known, 1, 0.8), *(by_stem[stem] for stem in stems)]
    meant = f"; did you mean {close[0]}?" if close else "."
    hint = similar_file(given) or f"{meant} Available: {', '.join(known)}"
    raise ConfigError(f"config: there is no file {given!r}, and no shipped config has this name{hint}")
