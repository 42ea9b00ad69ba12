"""Frames and series of pandas, polars, pyarrow and whatever narwhals knows, as plain frames of pandas."""

import importlib
from typing import Any

import pandas as pd

from forecastlab.data.reading.arrow import named_index_as_columns, to_frame
from forecastlab.errors import DataError


def from_frame(source: Any) -> tuple[pd.DataFrame, list[str]] | None:
    """A frame of any kind as one of pandas, (rows, columns), and what was done to it; None for what is no frame.

    An index of times stays the index; the named levels of another one become columns. What is given is not changed.

    Args:
        source: a frame or series, or something else.

    Raises:
        DataError: if its columns cannot be named.
    """
    notes = []
    if isinstance(source, pd.Series):
        if source.name is None:
            notes.append("the series has no name, and is called y")
        source = source.to_frame("y" if source.name is None else source.name)
    if not isinstance(source, pd.DataFrame):
        source = _foreign(source)
    if source is None:
        return None
    frame = source.copy(deep=False)
    if frame.columns.nlevels > 1:
        raise DataError(
            f"the frame has {frame.columns.nlevels} levels of names, such as {frame.columns[0]}: expected one, such as "
            "'_'.join(name)"
        )
    if isinstance(frame.index, pd.MultiIndex) or not isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex):
        clash = [name for name in frame.index.names if name is not None and name in frame.columns]
        if clash:
            raise DataError(f"the frame has a column and an index called {clash[0]}: expected names that differ")
        frame = named_index_as_columns(frame)
    frame.columns = pd.Index([str(name) for name in frame.columns], dtype=object)
    if doubled := frame.columns[frame.columns.duplicated()].tolist():
        raise DataError(f"the names of columns must differ; the frame has {doubled[0]} twice")
    return frame, notes


def _foreign(source: Any) -> pd.DataFrame | None:
    narwhals = importlib.import_module("narwhals")
    try:
        native = narwhals.from_native(source, allow_series=True)
    except TypeError:
        return None
    try:
        if isinstance(native, narwhals.Series):
            native = native.alias(native.name or "y").to_frame()
        if isinstance(native, narwhals.LazyFrame):
            native = native.collect()
        return to_frame(native.to_arrow())
    except ImportError:
        raise DataError(
            f"reading a {type(source).__module__.partition('.')[0]} frame needs pyarrow: "
            "pip install 'forecastlab[parquet]'"
        ) from None
