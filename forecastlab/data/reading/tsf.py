"""The .tsf files of the Monash forecasting repository: a series per line, described at the top."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.reading.places import PLACES, Places
from forecastlab.errors import DataError
from forecastlab.limits import require_memory

_STEPS = {
    "4_seconds": (4, "4s"),
    "minutely": (60, "min"),
    "10_minutes": (600, "10min"),
    "half_hourly": (1800, "30min"),
    "hourly": (3600, "h"),
    "daily": (86400, "D"),
    "weekly": (604800, "7D"),
}
"""Steps of one length: their seconds, and what pandas calls them."""
_MONTHS = {"monthly": 1, "quarterly": 3, "yearly": 12}
"""Months of a step of the calendar."""
_NAMES = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
"""Months in the names of offsets."""
_CELL = 40
"""Bytes that a row of the frame takes at least."""


def read_tsf(text: str, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The series of a .tsf file as a frame with a row per value, (rows, columns), and what it says of itself.

    The attributes of a series become columns of their own names. The attribute `start_timestamp` becomes the column
    `ds`, the time of each value, and the values become the column `y`. `frame.attrs` holds what the file says of all
    series: "frequency" (a pandas offset, where one fits all series), "horizon" and "missing".

    Args:
        text: the content of the file.
        path: where it is, for messages.

    Raises:
        DataError: if it is not written in this form.
    """
    attributes: list[tuple[str, str]] = []
    about: dict[str, str] = {}
    lines = text.splitlines()
    data = len(lines)
    for number, line in enumerate(lines):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        key = words[0].lower()
        if key == "@data":
            data = number + 1
            break
        if key == "@attribute" and len(words) == 3:
            attributes.append((words[1], words[2].lower()))
        elif key.startswith("@") and len(words) > 1:
            about[key[1:]] = " ".join(words[1:])
        else:
            raise DataError(f"{path}, line {number + 1}: expected @attribute name type, or @data, got {line[:60]}")
    if not attributes:
        raise DataError(f"{path} has no line @attribute: expected one for each thing that is said of a series")
    require_memory(path, _CELL * text.count(","), "its values")
    given, values, numbers = _series(lines, data, attributes, path)
    lengths = [len(series) for series in values]
    ends = np.cumsum(lengths)
    columns: dict[str, Any] = {}
    frequency = None
    for place, (name, kind) in enumerate(attributes):
        cells = [row[place] for row in given]
        if name == "start_timestamp":
            starts = [_time(cell, name, f"{path}, line {line}") for cell, line in zip(cells, numbers, strict=True)]
            columns["ds"], frequency = _times(starts, lengths, about.get("frequency"), path)
        elif kind == "numeric":
            found = [_number(cell, name, f"{path}, line {line}") for cell, line in zip(cells, numbers, strict=True)]
            columns[name] = np.repeat(np.array(found), lengths)
        else:
            columns[name] = pd.Series(cells, dtype="str").repeat(lengths).reset_index(drop=True)
    frame = pd.DataFrame(columns | {"y": np.concatenate(values)})
    horizon = about.get("horizon")
    if horizon is not None and not horizon.isdecimal():
        raise DataError(f"{path}: expected a number of steps behind @horizon, got {horizon}")
    frame.attrs = {
        **({} if frequency is None else {"frequency": frequency}),
        **({} if horizon is None else {"horizon": int(horizon)}),
        "missing": about.get("missing", "false").lower() == "true",
    }

    def called(row: int) -> str:
        series = int(np.searchsorted(ends, row, side="right"))
        return f"{path}, line {numbers[series]}, value {row - int(ends[series]) + lengths[series] + 1}"

    frame.attrs[PLACES] = Places.of(str(path), len(frame), called)
    note = f"{path}: {len(values)} series, {about.get('frequency', 'of no stated frequency')}"
    return frame, [f"{note}{f', horizon {horizon}' if horizon else ''}; the values are called y, the times ds"]


def _series(
    lines: list[str], data: int, attributes: list[tuple[str, str]], path: Path
) -> tuple[list[list[str]], list[NDArray[np.float64]], list[int]]:
    """The attributes and the values of each series, and the number of its line."""
    given, values, numbers = [], [], []
    for number, line in enumerate(lines[data:], data + 1):
        if not line.strip() or line.startswith("#"):
            continue
        *said, written = line.strip().split(":", len(attributes))
        if len(said) != len(attributes):
            raise DataError(
                f"{path}, line {number}: expected {len(attributes)} attributes and the values, all separated by "
                f"colons, got {line[:60]}"
            )
        try:
            values.append(np.array(written.replace("?", "nan").split(",")).astype(np.float64))
        except ValueError as error:
            raise DataError(f"{path}, line {number}: expected numbers or ?, separated by commas: {error}") from None
        given.append(said)
        numbers.append(number)
    if not values:
        raise DataError(f"{path} has no series: expected a line for each behind @data")
    return given, values, numbers


def _times(
    starts: "list[np.datetime64]", lengths: list[int], frequency: str | None, path: Path
) -> tuple[Any, str | None]:
    """The times of all values, (rows,), and the pandas offset that fits all series, if there is one."""
    first = np.repeat(np.array(starts), lengths)
    counted = np.concatenate([np.arange(length) for length in lengths])
    if frequency in _STEPS:
        seconds, offset = _STEPS[frequency]
        return first + (counted * seconds).astype("timedelta64[s]"), offset
    if frequency not in _MONTHS:
        raise DataError(
            f"{path}: expected one of {', '.join([*_STEPS, *_MONTHS])} behind @frequency, got {frequency or 'nothing'}"
        )
    step = _MONTHS[frequency]
    months = first.astype("datetime64[M]") + counted * step
    since = first - first.astype("datetime64[M]").astype("datetime64[s]")
    last = (months + 1).astype("datetime64[D]") - np.timedelta64(1, "D")  # 31 January is followed by 28 February
    times = np.minimum(
        months.astype("datetime64[s]") + since, last.astype("datetime64[s]") + since % np.timedelta64(86400, "s")
    )
    each = pd.DatetimeIndex(starts)
    anchors = set(each.month % step) if step > 1 else {0}
    if (each.day == 1).all() and (each.normalize() == each).all() and len(anchors) == 1:
        month = _NAMES[(each[0].month - 1) % step]
        return times, {1: "MS", 3: f"QS-{month}", 12: f"YS-{month}"}[step]
    return times, None


def _time(cell: str, name: str, where: str) -> np.datetime64:
    day, _, clock = cell.partition(" ")
    try:
        return np.datetime64(f"{day}T{(clock or '00').replace('-', ':')}", "s")
    except ValueError:
        raise DataError(f"{where}, attribute {name}: expected a time such as 1990-01-01 00-00-00, got {cell}") from None


def _number(cell: str, name: str, where: str) -> float:
    try:
        return float(cell.replace("?", "nan"))
    except ValueError:
        raise DataError(f"{where}, attribute {name}: expected a number, got {cell}") from None
