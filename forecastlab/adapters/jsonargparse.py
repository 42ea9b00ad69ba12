"""Every private name of jsonargparse, and of argparse below it, behind a function with a public one."""

import argparse
from collections.abc import Mapping
from typing import Any

from jsonargparse._util import resolved_import_paths


def options_of(parser: argparse.ArgumentParser) -> Mapping[str, argparse.Action]:
    """The options that a parser knows, with their dashes, and what each does."""
    return parser._option_string_actions


def positionals_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments of a parser that are told by their place."""
    return parser._get_positional_actions()


def subcommands_of(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """The parsers of a parser's sub-commands by their names."""
    (found,) = (action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(found)


def name_by(path: str, cls: type) -> None:
    """Has configs name a class by a path, where the parser would look for the shortest one.

    Args:
        path: a path that leads to the class.
        cls: the class.
    """
    resolved_import_paths.add(cls, path)
