"""Reading the times of a frame's rows, of any form that leaves one reading."""

import datetime
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import (
    infer_dtype,
    is_bool_dtype,
    is_datetime64_any_dtype,
    is_integer_dtype,
    is_numeric_dtype,
    is_object_dtype,
)

from forecastlab.data.reading.clocks import CLOCKS, PARTS, clock_of, is_of_parts, join_parts
from forecastlab.data.reading.decimal_years import DECIMAL_YEARS
from forecastlab.data.reading.epochs import EPOCHS, epoch_of
from forecastlab.data.reading.forms import MixedZonesError, candidates, has_year, parse, texts_of
from forecastlab.data.reading.frequency import share_of_counts, share_of_steps
from forecastlab.data.reading.places import in_file, row_name, shown
from forecastlab.errors import ConfigError, DataError

_TYPED = ""
"""The form of columns that hold times already."""
_STEADY = 0.6
"""The share of steps that have a row from which a reading is taken for a calendar's."""
_SAMPLE = 1000
"""Values by which a reading is tried before all are read."""
_EXAMPLES = "such as 2024-01-31 or 2024-01-31 13:00"


class Read(NamedTuple):
    """The times of a frame's rows."""

    times: pd.DatetimeIndex
    """(rows,), in the frame's order, not sorted."""
    form: str
    """How they were read: given back as `time_format`, later rows are read in the same way. "" for columns of times."""
    notes: list[str]
    """What was decided, in sentences."""


class _Reading(NamedTuple):
    form: str
    times: pd.DatetimeIndex


def read_times(frame: pd.DataFrame, columns: Sequence[str] | None, time_format: str | None = None) -> Read:
    """Reads the times of a frame's rows.

    A column of times is taken as it is. Text and numbers are read by the one form that makes all of them times; if
    several do, by the one that gives a steady calendar. Several columns are a date and a time of day, or parts of
    times such as year, month, day and hour, in the order or by the names that they have.

    Args:
        frame: (rows, columns).
        columns: what holds the times; None for the index.
        time_format: a format of strptime, for the texts of the columns joined by a blank, or a form that was found
            out before; None to find it out.

    Raises:
        DataError: if a row has no time, no form reads all rows, or several forms do.
        ConfigError: if `time_format` is none.
    """
    if columns is None:
        return _read(pd.Series(frame.index, index=frame.index), "the index", time_format)
    if len(columns) == 1:
        return _read(frame[columns[0]], f"column {columns[0]}", time_format)
    what = f"columns {', '.join(map(str, columns))}"
    given = [frame[column] for column in columns]
    for column in given:
        _require_all(column, f"column {column.name}")
    if is_of_parts(given) if time_format is None else time_format.startswith(PARTS):
        times, form = join_parts(given, what, time_format)
        return Read(times, form, [])
    date_form, _, clock = (time_format or "").rpartition(" + ")
    if time_format is None or clock in CLOCKS:
        of_day, found = clock_of(given[1:], clock or None)
        read = _read(given[0], f"column {given[0].name}", date_form or None, of_day)
        return Read(read.times + of_day, f"{read.form} + {found}", read.notes)
    texts = texts_of(given[0])
    for column in given[1:]:
        texts = texts + " " + texts_of(column)
    return _read(texts, what, time_format)


def are_row_numbers(column: "pd.Series[Any]") -> bool:
    """Whether a column counts rows: whole numbers that follow each other steadily, and are no times of any form.

    Args:
        column: (rows,), numbers or texts of them; those of several series may repeat.
    """
    numbers = None if holds_lists(column) else _whole_numbers(column)
    if numbers is None:
        return False
    if len(numbers) > 1 and share_of_counts(numbers) < _STEADY:
        return False
    return not _readings(pd.Series(numbers), None)


def holds_lists(column: "pd.Series[Any]") -> bool:
    """Whether a column of objects holds lists, arrays or mappings, which are no times and cannot be told apart."""
    return is_object_dtype(column) and any(not isinstance(value, Hashable) for value in column)


def _whole_numbers(column: "pd.Series[Any]") -> Any:
    """The different values of a column in order, if all are whole numbers; otherwise None."""
    if is_bool_dtype(column) or column.isna().any() or not len(column):
        return None
    if not is_numeric_dtype(column):
        texts = pd.Series(column.unique())
        if infer_dtype(texts) not in ("string", "integer") or not texts.astype(str).str.fullmatch(r"-?\d{1,18}").all():
            return None
        column = texts.astype(np.int64)
    values = np.unique(column.to_numpy())
    if values.dtype.kind == "f":
        if not (np.abs(values) < 2.0**53).all() or not (values == np.round(values)).all():
            return None
        values = values.astype(np.int64)
    return values if values.dtype.kind in "iu" else None


def _read(given: "pd.Series[Any]", what: str, time_format: str | None, of_day: pd.TimedeltaIndex | None = None) -> Read:
    """Reads one column, of dates if their times of day are given, (rows,)."""
    _require_all(given, what)
    typed = _typed(given, what)
    if typed is not None:
        return Read(typed, _TYPED, [])
    if is_bool_dtype(given):
        raise DataError(
            f"{in_file(given)}{what} holds truth values such as {given.iloc[0]}; expected times {_EXAMPLES}. Name the "
            "column of the times: --data.time_column"
        )
    codes, distinct = pd.factorize(given)
    values = pd.Series(distinct)
    if not is_numeric_dtype(values):
        values = _texts(values, given, what)
    notes: list[str] = []
    try:
        if time_format:
            reading = _Reading(time_format, parse(time_format, values))
        else:
            reading = _found_out(values, given, what, notes, codes, of_day)
    except MixedZonesError as error:
        raise DataError(
            f"{in_file(given)}{what} has times with a zone, such as {error.with_zone!r}, and without one, such as "
            f"{error.without!r}: write all in UTC, or all without a zone"
        ) from None
    except ValueError as error:
        raise ConfigError(
            f"time_format: expected a format such as %d/%m/%Y %H:%M, got {time_format!r}: {error}"
        ) from None
    missing = reading.times.isna()
    if missing.any():
        row = int(np.flatnonzero(missing[codes])[0])
        raise DataError(
            f"{row_name(given, row)}: cannot read {shown(given.iloc[row])} in {what} as a time of the form "
            f"{reading.form}; expected one form throughout. Give the form of all rows: --data.time_format "
            "%Y-%m-%d or the like"
        )
    return Read(reading.times.take(codes).rename(None), reading.form, notes)


def _require_all(given: "pd.Series[Any]", what: str) -> None:
    if given.isna().any():
        raise DataError(
            f"{row_name(given, int(np.flatnonzero(given.isna())[0]))}: no time in {what}, where every row needs one. "
            "Write it, leave the row out, or name another column of times: --data.time_column"
        )


def _typed(given: "pd.Series[Any]", what: str) -> pd.DatetimeIndex | None:
    """The times of a column that holds times, periods or Python's dates; otherwise None."""
    if is_datetime64_any_dtype(given):
        return pd.DatetimeIndex(given).rename(None)
    if isinstance(given.dtype, pd.PeriodDtype):
        return pd.PeriodIndex(given).to_timestamp(how="start").rename(None)
    kind = infer_dtype(given) if given.dtype == object else ""
    if kind == "period":
        return pd.PeriodIndex(given).to_timestamp(how="start").rename(None)
    if kind not in ("date", "datetime", "datetime64"):
        return None
    try:
        aware = [getattr(value, "tzinfo", None) is not None for value in given]
        if any(aware) and not all(aware):
            raise DataError(
                f"{in_file(given)}{what} has times with and without a zone: write all in UTC, or all without a zone"
            )
        zones = {str(value.tzinfo) for value in given} if all(aware) else set()
        return pd.DatetimeIndex(pd.to_datetime(given, utc=len(zones) > 1)).rename(None)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"{in_file(given)}{what} holds dates that cannot be read as times, such as {given.iloc[0]}: {error}"
        ) from None


def _texts(values: "pd.Series[Any]", given: "pd.Series[Any]", what: str) -> "pd.Series[Any]":
    """Different values as text, or as numbers if all of them are whole ones."""
    kind = infer_dtype(values)
    if kind in ("integer", "floating", "mixed-integer-float"):
        return pd.to_numeric(values)
    if kind not in ("string", "categorical"):
        row = next((row for row, value in enumerate(given) if not isinstance(value, str)), 0)
        raise DataError(
            f"{row_name(given, row)}: cannot read {shown(given.iloc[row])} in {what} as a time; expected text "
            f"of one form throughout, {_EXAMPLES}. Another column of times is named with --data.time_column"
        )
    return values.astype(str).str.strip()


def _readings(values: "pd.Series[Any]", forms: Sequence[str] | None) -> list[_Reading]:
    """The forms that read all of some different values, within the years 1000..2999; equal times count once."""
    sample = values.iloc[:_SAMPLE]
    found: list[_Reading] = []
    for form in _candidates(values) if forms is None else forms:
        form = _with_century(form)
        if len(values) > _SAMPLE and parse(form, sample).isna().any():
            continue
        times = parse(form, values)
        if times.isna().any() or times.year.min() < 1000 or times.year.max() > 2999:
            continue
        if (form in EPOCHS or form in DECIMAL_YEARS) and (share_of_steps(times) < _STEADY or not times.is_unique):
            continue
        if not any(times.equals(other.times) for other in found):
            found.append(_Reading(form, times))
        if form in DECIMAL_YEARS:
            break
    return found


def _candidates(values: "pd.Series[Any]") -> list[str]:
    """The forms that the first of some values may have."""
    if not is_numeric_dtype(values):
        forms = candidates(str(values.iloc[0]))
        if not values.str.fullmatch(r"\d{1,19}(\.\d+)?").all():
            return forms
        values = pd.to_numeric(values)
    else:
        numbers = values.to_numpy()
        if not np.isfinite(numbers).all() or numbers.min() < 0:
            return []
        forms = candidates(str(texts_of(values).iloc[0])) if (values.round() == values).all() else []
    numbers = values.to_numpy()
    epoch = epoch_of(numbers)
    if epoch is not None:
        return [*forms, epoch]
    return forms if is_integer_dtype(values) or (np.round(numbers) == numbers).all() else list(DECIMAL_YEARS)


def _with_century(form: str) -> str:
    """A form whose years of two digits are those of the last hundred years, and the next one."""
    return f"{form} from {datetime.date.today().year - 98}" if "%y" in form and " from " not in form else form


def _found_out(
    values: "pd.Series[Any]",
    given: "pd.Series[Any]",
    what: str,
    notes: list[str],
    codes: NDArray[np.int64],
    of_day: pd.TimedeltaIndex | None,
) -> _Reading:
    """The one form that reads all of some different values."""
    forms = _candidates(values)
    readings = _readings(values, forms)
    if not any(has_year(reading.form) for reading in readings):
        raise _unreadable(values, forms, given, what, dateless=bool(readings))
    if len(readings) > 1:
        chosen = _steady(readings, codes, of_day)
        if chosen is None or not has_year(chosen.form):
            raise _ambiguous(values, readings, f"{in_file(given)}{what}")
        place = int(np.flatnonzero(chosen.times != next(r for r in readings if r is not chosen).times)[0])
        notes.append(
            f"{what}: {values.iloc[place]} is read as {_shown(chosen.times[place])} (--data.time_format "
            f"{chosen.form!r}), since only so do the rows follow each other steadily"
        )
    else:
        chosen = readings[0]
    notes += _said(chosen, values, len(given), what)
    return chosen


def _steady(
    readings: Sequence[_Reading], codes: NDArray[np.int64], of_day: pd.TimedeltaIndex | None
) -> _Reading | None:
    """Of several readings the one that alone gives a steady calendar."""
    times = (reading.times if of_day is None else reading.times.take(codes) + of_day for reading in readings)
    shares = np.array([share_of_steps(of_reading) for of_reading in times])
    best = int(shares.argmax())
    others = np.delete(shares, best)
    return readings[best] if shares[best] >= _STEADY and others.max() <= shares[best] / 2 else None


def _said(reading: _Reading, values: "pd.Series[Any]", rows: int, what: str) -> list[str]:
    """What is worth a sentence about how times were read."""
    form, times = reading
    first, last = times.min(), times.max()
    if form in EPOCHS:
        return [f"{what}: {rows} numbers are read as {EPOCHS[form]} since 1970 in UTC, from {first} to {last}"]
    if form in DECIMAL_YEARS:
        return [
            f"{what}: years with a fraction are read as the first of the {form[13:]} that they lie in, in {rows} rows"
        ]
    if "%y" in form:
        return [f"{what}: years of two digits are read as {first.year} to {last.year}"]
    if times.tz is not None and str(times.tz) == "UTC":
        texts = values.astype(str)
        offsets = texts.str.extract(r"([+-]\d\d:?\d\d|[+-]\d\d)$")[0].nunique()
        if offsets > 1:
            return [f"{what}: times of {offsets} offsets, such as {texts.iloc[0]}, are read as UTC, in {rows} rows"]
    return []


def _shown(time: pd.Timestamp) -> str:
    return f"{time.day:02d} {time:%B} {time.year}"


def _ambiguous(values: "pd.Series[Any]", readings: Sequence[_Reading], what: str) -> DataError:
    """That several forms read all rows."""
    one, other = readings[:2]
    place = int(np.flatnonzero(one.times != other.times)[0])
    shown = [_shown(r.times[place]) if has_year(r.form) else f"{r.times[place]:%d %B} of no year" for r in (one, other)]
    settings = " or ".join(f'--data.time_format "{r.form}"' for r in readings if has_year(r.form))
    return DataError(
        f"{what} may mean {shown[0]} or {shown[1]} by {values.iloc[place]!r}, and all rows can be read both ways.\n"
        f"Say how they are written: {settings}"
    )


def _unreadable(
    values: "pd.Series[Any]", forms: Sequence[str], given: "pd.Series[Any]", what: str, dateless: bool
) -> DataError:
    """Why values cannot be read as times of one form."""
    first = given.iloc[0]
    setting = "Say how they are written: --data.time_format %d/%m/%Y or the like"
    if not is_numeric_dtype(values) and values.str.fullmatch(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?( ?[AaPp][Mm])?").all():
        return DataError(
            f"{in_file(given)}{what} has times of day without a date, such as {first!r}. Name the column of the "
            "dates too: --data.time_column '[date, time]'"
        )
    if dateless:
        return DataError(
            f"{in_file(given)}{what} has dates without a year, such as {first!r}: write the year too, {_EXAMPLES}, or "
            "name the column of the year too: --data.time_column '[year, date]', with a --data.time_format"
        )
    if is_numeric_dtype(values):
        return DataError(
            f"{in_file(given)}{what} holds numbers such as {first}; expected times {_EXAMPLES}, or numbers that are "
            "all years, yyyymm, yyyymmdd, or seconds since 1970 at a steady step. If they are such all the same, say "
            "which: --data.time_format %Y%m%d, or epoch-s, epoch-ms"
        )
    best: _Reading | None = None
    for form in forms:
        reading = _Reading(form, parse(_with_century(form), values))
        if best is None or np.sum(reading.times.isna()) < np.sum(best.times.isna()):
            best = reading
    place = 0 if best is None or not best.times.isna().any() else int(np.flatnonzero(best.times.isna())[0])
    row = int(np.flatnonzero(pd.factorize(given)[0] == place)[0])
    like = f"; row 1 has {first!r}" if place else ""
    return DataError(
        f"{row_name(given, row)}: cannot read {shown(given.iloc[row])} in {what} as a time{like}. Expected one form "
        f"throughout, {_EXAMPLES}. {setting}"
    )


def time_of(key: str, value: str) -> pd.Timestamp:
    """A setting as a time.

    Raises:
        ConfigError: if it is none.
    """
    try:
        time = pd.Timestamp(value)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{key}: expected a time such as 2017-01-01, got {value!r}: {error}") from None
    if pd.isna(time):
        raise ConfigError(f"{key}: expected a time such as 2017-01-01, got {value!r}")
    return time
