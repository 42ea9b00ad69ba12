"""Groups of features by the beginning of their names."""

import re
from collections.abc import Sequence


def group_of(feature: str) -> str:
    """The letters that a name begins with, up to the first digit or underscore: "WSR" of "WSR0" and of "WSR_PK".

    A name that begins with something else is a group of its own.
    """
    match = re.match(r"[^\W\d_]+", feature)
    return match.group() if match else feature


def groups_of(features: Sequence[str]) -> dict[str, list[str]]:
    """The groups of more than one feature, in the order of their first ones."""
    groups: dict[str, list[str]] = {}
    for feature in features:
        groups.setdefault(group_of(feature), []).append(feature)
    return {name: members for name, members in groups.items() if len(members) > 1}
