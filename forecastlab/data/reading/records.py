"""Records of GluonTS and of Hugging Face `datasets`: a mapping per series, with its start and its values."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.reading.columns import USUAL
from forecastlab.data.reading.steps import times_after
from forecastlab.errors import DataError

_CODES = ("feat_static_cat", "feat_dynamic_cat")
"""What holds numbers of categories, which are no amounts."""
_DYNAMIC = ("feat_dynamic_real", "feat_dynamic_cat", "past_feat_dynamic_real", "past_feat_dynamic_cat")
_STATIC = ("feat_static_cat", "feat_static_real")
SERIES = "item_id"
"""What names the series of records."""


def from_records(records: Iterable[Any], frequency: str = "") -> tuple[pd.DataFrame, list[str]]:
    """Records as a frame with a row per series and time, and what was decided.

    Columns are `item_id` (numbers if the records have no names), `ds`, `target`, and those of the covariates. What has
    several rows is numbered: `target_0`, `feat_dynamic_real_0`. Values of a dynamic covariate behind the end of the
    target are known in advance: they become rows without a target. A category of number 3 is the text `c3`, since it is
    no amount. Records without a start count their rows from 0.

    Args:
        records: mappings with `target`, (time,) or (dimensions, time), and `start`, a time or a pandas Period; and, if
            they have them, `item_id`, `freq`, `feat_static_cat`, `feat_static_real`, (values,), `feat_dynamic_real`,
            (covariates, time and further steps), `past_feat_dynamic_real`, (covariates, time).
        frequency: step of the calendar, of records that have no `freq` of their own.

    Raises:
        DataError: for records of another form, or that differ in what they have.
    """
    columns: dict[str, list[Any]] = {}
    offsets: set[str] = set()
    fields: set[str] | None = None
    number = -1
    for number, record in enumerate(records):
        what = f"record {number}"
        if not isinstance(record, Mapping) or "target" not in record:
            got = f"the fields {', '.join(map(str, record))}" if isinstance(record, Mapping) else type(record).__name__
            raise DataError(f"{what}: expected a mapping with the fields start and target, got {got[:200]}")
        held = {name for name, value in record.items() if value is not None}
        fields = held if fields is None else fields
        if differing := sorted(map(str, (fields ^ held) & {"start", SERIES, *_DYNAMIC, *_STATIC})):
            raise DataError(f"{what} differs from record 0 in {differing[0]}: expected the same fields in all records")
        parts, offset = _columns(record, number, frequency, what)
        offsets.add(offset)
        if columns and list(columns) != list(parts):
            alone = sorted(set(columns) ^ set(parts))
            raise DataError(f"{what} has other covariates than record 0: {', '.join(alone[:5])} is in one only")
        for name, values in parts.items():
            columns.setdefault(name, []).append(values)
    if number < 0:
        raise DataError(
            "there is no record: expected mappings with start and target. A generator can be gone through once only: "
            "give list(records)"
        )
    frame = pd.DataFrame({name: _joined(parts) for name, parts in columns.items()})
    if len(offsets) == 1 and (offset := offsets.pop()):
        frame.attrs["frequency"] = offset
    others = [name for name in frame.columns if name not in (SERIES, USUAL) and not name.startswith("target")]
    said = f"; covariates: {', '.join(others[:8])}{', ...' if len(others) > 8 else ''}" if others else ""
    targets = ", ".join(name for name in frame.columns if name.startswith("target"))
    times = f"the times {USUAL}" if USUAL in frame else "rows are counted from 0"
    return frame, [f"{number + 1} records: their names are called {SERIES}, {times}, the values {targets}{said}"]


def _columns(record: Mapping[Any, Any], number: int, frequency: str, what: str) -> tuple[dict[str, Any], str]:
    """The columns of a record, each (rows,), and the offset of its calendar."""
    target = _table(record["target"], f"{what}, target")
    dynamic = {name: _table(record[name], f"{what}, {name}") for name in _DYNAMIC if record.get(name) is not None}
    length = target.shape[1]
    rows = max([length, *(table.shape[1] for table in dynamic.values())])
    for name, table in dynamic.items():
        if table.shape[1] < length or (name.startswith("past_") and table.shape[1] != length):
            more = "" if name.startswith("past_") else " or more"
            raise DataError(f"{what}, {name}: expected {length}{more} values, as the target has, got {table.shape[1]}")
    item = record.get(SERIES)
    columns: dict[str, Any] = {SERIES: np.full(rows, str(number if item is None else item), object)}
    offset = ""
    if record.get("start") is not None:
        start = record["start"]
        start = start[()] if isinstance(start, np.ndarray) and start.ndim == 0 else start
        columns[USUAL], offset = times_after(start, rows, *_step_of(record, frequency, what))
    for name, table in {"target": target, **dynamic}.items():
        for place, values in enumerate(table):
            label = name if name == "target" and len(table) == 1 else f"{name}_{place}"
            padded = np.concatenate([values, np.full(rows - len(values), np.nan)])
            columns[label] = _categories(padded) if name.removeprefix("past_") in _CODES else padded
    for name in _STATIC:
        if record.get(name) is not None:
            for place, value in enumerate(_table(record[name], f"{what}, {name}")[0]):
                constant = np.full(rows, value)
                columns[f"{name}_{place}"] = _categories(constant) if name in _CODES else constant
    return columns, offset


def _step_of(record: Mapping[Any, Any], frequency: str, what: str) -> tuple[str, str, bool]:
    """The frequency of a record, its name, and whether the frequency is one of periods: its own, and none is given."""
    return (frequency, what, False) if frequency else (str(record.get("freq") or ""), what, True)


def _table(given: Any, what: str) -> NDArray[np.float64]:
    """Values as (covariates, time); NaN where one is None or masked."""
    try:
        values = np.asarray(given.filled(np.nan) if isinstance(given, np.ma.MaskedArray) else given, np.float64)
    except (ValueError, TypeError):
        raise DataError(f"{what}: expected numbers, one per time, got {str(given)[:60]}") from None
    if values.ndim not in (1, 2) or not values.size:
        raise DataError(f"{what}: expected numbers, (time,) or (covariates, time), got shape {values.shape}")
    return values if values.ndim == 2 else values[None]


def _categories(codes: NDArray[np.float64]) -> NDArray[Any]:
    return np.array([None if np.isnan(code) else f"c{code:g}" for code in codes], object)


def _joined(parts: list[Any]) -> Any:
    if not isinstance(parts[0], pd.DatetimeIndex):
        return np.concatenate(parts)
    if len({str(part.tz) for part in parts}) > 1:
        raise DataError("some records start at a time with a zone and others without: expected one zone for all")
    return parts[0].append(parts[1:])
