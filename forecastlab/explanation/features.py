"""Inputs that belong together: those of a column of text, and features whose names begin alike."""

import re
from collections.abc import Sequence

from forecastlab.batch import PADDED, Schema
from forecastlab.network.embeddings import text_columns


def sources_of(schema: Schema) -> dict[str, list[str]]:
    """The inputs that each feature is made of: one, or those of 0 and 1 of a column of text.

    The feature `padded` tells about windows, and not about the data; it is left out.
    """
    source = {column: name for name, columns in text_columns(schema).items() for column in columns}
    found: dict[str, list[str]] = {}
    for feature in schema.features:
        if feature != PADDED or schema.min_history is None:
            found.setdefault(source.get(feature, feature), []).append(feature)
    return found


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
