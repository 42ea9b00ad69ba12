"""Frames with a row per series and a column per time, turned into a row per series and time."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from forecastlab.data.reading.places import PLACES, Places, in_file, row_name
from forecastlab.data.reading.times import read_times
from forecastlab.errors import DataError

LEAST = 3
"""Columns of times that make a frame one of this form."""
_NUMBERED = re.compile(r"(\D*)(\d+)")


def turned(
    frame: pd.DataFrame, series: Sequence[str], static: Sequence[str], targets: Sequence[str], time: str
) -> tuple[pd.DataFrame, tuple[str, ...], list[str]] | None:
    """Turns a column per time into a row per time; None for a frame of another form.

    The columns of a frame of this form are called as dates are (2023-01-01, 1/22/20, 1960, 1959Q1), or have one word
    and then numbers in order (V2, V3, V4, ... or d_1, d_2, ...). Its target has no column of its own.

    Args:
        frame: (rows, columns).
        series: columns that tell the series apart; () to find them out.
        static: columns that do not change within a series; those that the frame has not are left out.
        targets: what is to be predicted; there can be one only.
        time: what the column of the times is to be called.

    Returns:
        The frame, (series * times, columns), without the values that are missing at the end of a series; the columns
        that tell the series apart; and what was done, in sentences.

    Raises:
        DataError: if no column tells the series apart, or there are several targets.
    """
    if any(name in frame.columns for name in (*targets, time)):
        return None
    others = [label for label in frame.columns if label not in (*series, *static)]
    found = _dates(others) or _numbers(frame, others)
    if found is None:
        return None
    if len(targets) > 1:
        raise DataError(
            f"the data have a column per time, {found[0]}, {found[1]}, ... {found[-1]}, and so one target; targets "
            f"names {len(targets)}"
        )
    series = tuple(series) or _series(frame, [label for label in others if label not in set(found)])
    kept = [name for name in dict.fromkeys([*series, *static]) if name in frame.columns]
    values = frame[found].to_numpy()
    there = ~pd.isna(values)
    last = np.where(there.any(axis=1), values.shape[1] - there[:, ::-1].argmax(axis=1), 0)
    within = np.arange(values.shape[1]) < last[:, None]
    rows, columns = np.nonzero(within)
    long = pd.DataFrame({name: frame[name].to_numpy()[rows] for name in kept})
    if _dates(found):
        long[time] = pd.Index(found).astype(str).to_numpy()[columns]
    else:
        long[time] = np.array([int(_numbered(label)[1]) for label in found])[columns]
    long[targets[0]] = values[within]
    file = in_file(frame).removesuffix(": ")
    long.attrs[PLACES] = Places.of(
        file, len(long), lambda row: f"{row_name(frame, int(rows[row]))}, under {found[columns[row]]}"
    )
    ignored = [str(label) for label in others if label not in set(found) and label not in kept]
    notes = [
        f"{len(found)} columns, {found[0]} .. {found[-1]}, are times: they become rows of {targets[0]}, for each of "
        f"{len(frame)} series" + (f"; columns that are not used: {', '.join(ignored)}" if ignored else "")
    ]
    return long, series, notes


def _dates(labels: Sequence[Any]) -> list[Any] | None:
    """The labels that are dates, in their order; None if too few are."""
    likely = [label for label in labels if isinstance(label, pd.Timestamp) or re.search(r"\d{2}|\d[-/]\d", str(label))]
    likely = [label for label in likely if not re.match(r"[A-Za-z_]+\d+$", str(label)) or _month_or_quarter(str(label))]
    if len(likely) < LEAST:
        return None
    texts = pd.DataFrame({"label": [str(label) for label in likely]})
    if all(re.fullmatch(r"\d+", text) for text in texts["label"]) and not texts["label"].str.len().isin([4, 8]).all():
        return None
    try:
        times = read_times(texts, ["label"]).times
    except DataError:
        return None
    return likely if times.is_monotonic_increasing and times.is_unique else None


def _month_or_quarter(text: str) -> bool:
    return re.match(r"(?i)(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|q\d)", text) is not None


def _numbered(label: Any) -> tuple[str, str]:
    form = _NUMBERED.fullmatch(str(label))
    return ("", "") if form is None else (form[1], form[2])


def _numbers(frame: pd.DataFrame, others: Sequence[Any]) -> list[Any] | None:
    """The numeric columns of one word and numbers that count up by one, in their order; None if there are too few."""
    labels = [label for label in others if pd.api.types.is_numeric_dtype(frame[label])]
    words = [_numbered(label)[0] for label in labels if _numbered(label)[1]]
    if not words:
        return None
    word = max(set(words), key=words.count)
    found = [label for label in labels if _numbered(label)[1] and _numbered(label)[0] == word]
    numbers = np.array([int(_numbered(label)[1]) for label in found])
    if not word and len(frame) > len(found):
        return None  # columns without names, which are numbered
    return found if len(found) >= LEAST and (np.diff(numbers) == 1).all() and numbers[0] <= 2 else None


def _series(frame: pd.DataFrame, others: Sequence[str]) -> tuple[str, ...]:
    """The columns that tell the rows apart; none of a frame of one row.

    Raises:
        DataError: if no column does by itself.
    """
    if len(frame) == 1 and not others:
        return ()
    for name in others:
        if frame[name].notna().all() and frame[name].is_unique and not pd.api.types.is_float_dtype(frame[name]):
            return (name,)
    named = ", ".join(map(str, others)) or "no other column"
    raise DataError(
        f"the data have a column per time and {len(frame)} rows, but no column tells the rows apart; there are "
        f"{named}: name one or several, --data.series_column '[a, b]'"
    )
