"""Frames in configs: a config names a file; where it is given a frame instead, the frame is held beside it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pandas as pd

from forecastlab.data.reading.source import FRAME
from forecastlab.data.table_datamodule import TableDataModule

_PLACES = ("data.path", "data.init_args.path")
_held: ContextVar[Any] = ContextVar("held", default=None)
"""The frame of the config whose data module is being built."""


def held_out(values: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Takes the frame out of the values of a config; `FRAME` takes its place.

    Args:
        values: nested as in config.yaml, or by dotted name.

    Returns:
        The values, with paths as text; and the frame, None if there is none.
    """
    kept, held = dict(values), None
    for place in _PLACES:
        if place in kept:
            kept[place], held = _named(kept[place])
    data = kept.get("data")
    arguments = data.get("init_args") if isinstance(data, Mapping) else None
    if isinstance(data, Mapping) and isinstance(arguments, Mapping) and "path" in arguments:
        path, held = _named(arguments["path"])
        kept["data"] = {**data, "init_args": {**arguments, "path": path}}
    return kept, held


def names_frame(values: Mapping[str, Any]) -> bool:
    """Whether the data of a config are a frame.

    Args:
        values: nested as in config.yaml, with all defaults.
    """
    return bool(values["data"]["init_args"].get("path") == FRAME)


@contextmanager
def holding(frame: Any) -> Iterator[None]:
    """Has a data module that is built within the block read a frame, if its path is `FRAME`."""
    token = _held.set(frame)
    try:
        yield
    finally:
        _held.reset(token)


def with_held(built: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that a class is built with: a data module's path may be the frame that is held."""
    frame = _held.get()
    if frame is None or not issubclass(built, TableDataModule) or arguments.get("path") != FRAME:
        return arguments
    return {**arguments, "path": frame}


def _named(source: Any) -> tuple[Any, Any]:
    """What a config holds of a source, and the frame that it cannot hold."""
    if source is None or isinstance(source, str | os.PathLike):
        return source if source is None else str(source), None
    if isinstance(source, list | tuple):
        return [str(path) for path in source], None
    if isinstance(source, pd.DataFrame | pd.Series):
        source = source.copy(deep=False)  # what the caller does to his own later does not reach it
    return FRAME, source
