"""Times in several columns: a date and a time of day, or parts such as year, month, day and hour."""

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import infer_dtype, is_numeric_dtype, is_timedelta64_dtype

from forecastlab.data.reading.places import in_file, row_name, shown
from forecastlab.errors import ConfigError, DataError

CLOCKS = ("clock", "hhmm", "hours", "hours minutes", "hours minutes seconds")
"""Forms of times of day: text such as 13:30:00, 18.00.00 or 1:30 PM, numbers such as 1330, and hours from 0 to 24."""
PARTS = "parts: "
"""How a form begins that names the parts of times that columns hold, such as "parts: year month day"."""
_NAMES = {
    "year": ("year", "yr", "yyyy", "y"),
    "quarter": ("quarter", "qtr", "q"),
    "month": ("month", "mon", "mnth", "mo", "mm", "m"),
    "week": ("week", "wk", "isoweek", "w"),
    "day": ("day", "dy", "dd", "d", "dom", "mday", "day_of_month"),
    "day_of_year": ("day_of_year", "dayofyear", "doy", "yday"),
    "hour": ("hour", "hr", "hh", "h"),
    "minute": ("minute", "min", "mi"),
    "second": ("second", "sec", "ss", "s"),
}
_PART = {name: part for part, names in _NAMES.items() for name in names}
_ORDER = ("year", "month", "day", "hour", "minute", "second")
_LIMITS = {
    **{"year": (1000, 2999), "quarter": (1, 4), "month": (1, 12), "week": (1, 53), "day": (1, 31)},
    **{"day_of_year": (1, 366), "hour": (0, 24), "minute": (0, 59), "second": (0, 59)},
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = (
    r"(?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2}(?:[.,]\d+)?))?)? ?(?P<half>[AaPp]\.?[Mm]\.?)?"
)
_SECONDS = (3600, 60, 1)
_AS_PARTS = f"Correct it, or say which parts the columns hold: --data.time_format '{PARTS}{' '.join(_ORDER[:4])}'"
_AS_TEXT = (
    "Correct it, or say how the columns are written with a blank between them: --data.time_format '%Y-%m-%d %H-%M'"
)


def is_of_parts(given: Sequence["pd.Series[Any]"]) -> bool:
    """Whether columns hold parts of times, the first of them the year."""
    first = given[0]
    if not is_numeric_dtype(first):
        return bool(first.astype(str).str.fullmatch(r" *[12]\d{3} *").all()) and not _is_clock(given[1])
    return bool(first.between(1000, 2999).all() and (first == first.round()).all()) or _part(first) == "year"


def join_parts(given: Sequence["pd.Series[Any]"], what: str, form: str | None) -> tuple[pd.DatetimeIndex, str]:
    """Makes times of their parts.

    Args:
        given: (rows,) each, nothing missing.
        what: name for messages.
        form: the parts that the columns hold, after `PARTS`; None to tell by their names, or else by their order.

    Returns:
        The times, (rows,), and the form.

    Raises:
        DataError: if a value is no such part, or the parts do not make a time.
        ConfigError: if `form` names other parts than there can be, or another number of them.
    """
    parts = _parts(given, what) if form is None else form.removeprefix(PARTS).split()
    if len(parts) != len(given) or parts[:1] != ["year"] or not set(parts) <= set(_LIMITS):
        raise ConfigError(
            f"time_format: expected {len(given)} parts for {what}, the year first, such as 'parts: "
            f"{' '.join(_ORDER[: len(given)])}', got {form!r}"
        )
    numbers = {part: _numbers(part, column, _AS_PARTS) for part, column in zip(parts, given, strict=True)}
    year = numbers["year"] - 1970
    days = _days(year, numbers, given, what)
    times = pd.DatetimeIndex(days.astype("datetime64[us]"))
    clock = [column for part, column in zip(parts, given, strict=True) if part in ("hour", "minute", "second")]
    if clock:
        times = times + clock_of(clock, None)[0]
    return times, PARTS + " ".join(parts)


def _days(
    year: NDArray[np.int64], numbers: dict[str, NDArray[np.int64]], given: Sequence["pd.Series[Any]"], what: str
) -> NDArray[np.datetime64]:
    """The days of parts, (rows,)."""
    if "day_of_year" in numbers:
        first = year.astype("datetime64[Y]").astype("datetime64[D]")
        days, length = numbers["day_of_year"], (year + 1).astype("datetime64[Y]").astype("datetime64[D]") - first
    elif "week" in numbers:
        january4 = year.astype("datetime64[Y]").astype("datetime64[D]") + 3
        monday = january4 - (january4.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
        next4 = (year + 1).astype("datetime64[Y]").astype("datetime64[D]") + 3
        length = next4 - (next4.astype(np.int64) + 3) % 7 - monday
        first, days = monday, 7 * (numbers["week"] - 1) + numbers.get("day", np.ones_like(year))
    else:
        month = numbers.get("month", 3 * (numbers.get("quarter", np.ones_like(year)) - 1) + 1)
        months = (12 * year + month - 1).astype("datetime64[M]")
        first, length = (
            months.astype("datetime64[D]"),
            (months + 1).astype("datetime64[D]") - months.astype("datetime64[D]"),
        )
        days = numbers.get("day", np.ones_like(year))
    wrong = np.flatnonzero(days > length.astype(np.int64))
    if wrong.size:
        row = int(wrong[0])
        parts = ", ".join(f"{column.name} {column.iloc[row]}" for column in given)
        raise DataError(f"{row_name(given[0], row)}, {what}: there is no such day: {parts}. {_AS_PARTS}")
    return np.asarray(first + (days - 1))


def _part(column: "pd.Series[Any]") -> str | None:
    return _PART.get(str(column.name).strip().lower())


def _parts(given: Sequence["pd.Series[Any]"], what: str) -> list[str]:
    """The parts that columns hold, by their names or their order."""
    named = [_part(column) for column in given]
    if all(named) and len(set(named)) == len(named):
        return [str(part) for part in named]
    if len(given) == 2 and is_numeric_dtype(given[1]) and given[1].max() <= 4:
        raise DataError(
            f"{in_file(given[0])}{what} may be a year and a month, or a year and a quarter: say which, "
            "--data.time_format 'parts: year month' or 'parts: year quarter'"
        )
    if len(given) == 2 and given[1].astype(str).str.fullmatch(r" *[Qq][1-4] *").all():
        return ["year", "quarter"]
    return list(_ORDER[: len(given)])


def _numbers(part: str, column: "pd.Series[Any]", setting: str) -> NDArray[np.int64]:
    """The values of one part, (rows,), within its limits; hours may be given as 1330. `setting` is the advice."""
    codes, distinct = pd.factorize(column)
    values = pd.Series(distinct)
    if not is_numeric_dtype(values):
        texts = values.astype(str).str.strip().str.lower()
        if part == "month":
            months = {month: number for number, month in enumerate(_MONTHS, 1)}
            texts = texts.where(~texts.str[:3].isin(months), texts.str[:3].map(months).astype(object))
        values = pd.to_numeric(texts.astype(str).str.removeprefix(part[0]), errors="coerce")
    low, high = _LIMITS[part]
    if part == "hour":
        high = 2400
    fits = values.between(low, high) & (values == values.round())
    if not fits.all():
        place = int(np.flatnonzero(~fits)[0])
        row = int(np.flatnonzero(codes == place)[0])
        raise DataError(
            f"{row_name(column, row)}, column {column.name}: expected the {part.replace('_', ' ')} as a whole number "
            f"from {low} to {high}, got {shown(column.iloc[row])}. {setting}"
        )
    return np.asarray(values.to_numpy(np.int64)[codes])


def _is_clock(column: "pd.Series[Any]") -> bool:
    """Whether texts, or Python's times, are times of day with a colon or the like."""
    return not is_numeric_dtype(column) and bool(
        pd.Series(column.unique()).astype(str).str.contains(r"\d[:.]\d\d|[AaPp]\.?[Mm]").all()
    )


def clock_of(given: Sequence["pd.Series[Any]"], form: str | None) -> tuple[pd.TimedeltaIndex, str]:
    """Times of day, as what is added to the day's begin.

    Hour 24 is the next day's hour 0.

    Args:
        given: (rows,) each, nothing missing: text, numbers of the form 1330, or hours, minutes and seconds apart.
        form: one of `CLOCKS`; None to find it out.

    Returns:
        The times of day, (rows,), and the form.

    Raises:
        DataError: if a value is no time of day.
    """
    if len(given) > 3:
        raise DataError(
            f"{in_file(given[0])}expected a date and up to 3 columns of the time of day, got {len(given)}: name fewer "
            "with --data.time_column"
        )
    if len(given) > 1:
        parts = ("hour", "minute", "second")
        numbers = [_numbers(part, column, _AS_TEXT) for part, column in zip(parts, given, strict=False)]
        _require_hours(numbers[0], given[0])
        seconds = sum(number * each for number, each in zip(numbers, _SECONDS, strict=False))
        return pd.to_timedelta(np.asarray(seconds), unit="s"), CLOCKS[1 + len(given)]
    (column,) = given
    if is_timedelta64_dtype(column):
        return pd.TimedeltaIndex(column), "clock"
    codes, distinct = pd.factorize(column)
    values = pd.Series(distinct)
    if infer_dtype(values) == "time":
        values = values.map(datetime.time.isoformat)
    digits = is_numeric_dtype(values) or values.astype(str).str.fullmatch(r" *\d{1,4} *").all()
    if not digits:
        return pd.to_timedelta(_seconds(values.astype(str).str.strip(), column, codes)[codes], unit="s"), "clock"
    hours = _numbers("hour", column, _AS_TEXT)
    compact = bool((hours >= 100).any()) if form is None else form == "hhmm"
    if compact:
        wrong = np.flatnonzero(hours % 100 > 59)
        if wrong.size:
            raise _no_time_of_day(column, int(wrong[0]))
        seconds = hours // 100 * 3600 + hours % 100 * 60
    else:
        _require_hours(hours, column)
        seconds = hours * 3600
    return pd.to_timedelta(seconds, unit="s"), "hhmm" if compact else "hours"


def _require_hours(hours: NDArray[np.int64], column: "pd.Series[Any]") -> None:
    wrong = np.flatnonzero(hours > 24)
    if wrong.size:
        raise _no_time_of_day(column, int(wrong[0]))


def _seconds(texts: "pd.Series[Any]", column: "pd.Series[Any]", codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Seconds since midnight of different texts."""
    found = texts.str.extract(f"^{_CLOCK}$")
    hour = pd.to_numeric(found["hour"])
    minute, second = (
        pd.to_numeric(found[part].fillna("0").str.replace(",", ".", regex=False)) for part in ("minute", "second")
    )
    half = found["half"].str[:1].str.lower()
    wrong = hour.isna() | (hour > 24) | (minute > 59) | (second >= 60) | ((hour == 24) & (minute + second > 0))
    wrong |= half.notna() & ~hour.between(1, 12)
    if wrong.any():
        raise _no_time_of_day(column, int(np.flatnonzero(wrong.to_numpy()[codes])[0]))
    hour = hour.where(half.isna(), hour % 12 + 12 * (half == "p"))
    return np.asarray(3600 * hour + 60 * minute + second, np.float64)


def _no_time_of_day(column: "pd.Series[Any]", row: int) -> DataError:
    return DataError(
        f"{row_name(column, row)}: cannot read {shown(column.iloc[row])} in column {column.name} as a time of day; "
        f"expected one such as 13:30, 1:30 PM, 1330 or an hour from 0 to 24. {_AS_TEXT}"
    )
