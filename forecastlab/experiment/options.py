"""Options that are read before, or beside, the parser of configs."""

from collections.abc import Sequence
from typing import Any


def take(args: Sequence[str], *names: str) -> tuple[list[str], list[str]]:
    """Takes an option out of a command line.

    Args:
        args: the command line.
        names: the names of the option, with dashes.

    Returns:
        Its values, given as `--option value` or `--option=value`, in order; and the command line without them.
    """
    values: list[str] = []
    rest: list[str] = []
    words = iter(args)
    for word in words:
        name, equals, value = word.partition("=")
        if word in names:
            values += [following for following in [next(words, None)] if following is not None]
        elif equals and name in names:
            values.append(value)
        else:
            rest.append(word)
    return values, rest


def values_of(args: Sequence[str], *names: str) -> list[str]:
    """The values of an option in a command line."""
    return take(args, *names)[0]


def listed(value: Any) -> list[Any]:
    """A value of a config that may be one, several or none, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
