"""Every private name of jsonargparse, and of argparse below it, behind a function with a public one."""

import argparse
from collections.abc import Mapping


def options_of(parser: argparse.ArgumentParser) -> Mapping[str, argparse.Action]:
    """The options that a parser knows, with their dashes, and what each does."""
    return parser._option_string_actions


def actions_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """All arguments of a parser, those without a name of their own among them."""
    return parser._actions
