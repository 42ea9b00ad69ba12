"""Forms in which times are written: what a text may mean, and reading texts by one form."""

import datetime
import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.reading.decimal_years import DECIMAL_YEARS, decimal_years
from forecastlab.data.reading.epochs import EPOCHS, since_1970

ISO = "ISO"
"""The form of 2024-01-31, 2024-01-31T13:00, 2024-01-31 13:00:00.5+01:00: of one precision or several."""
PERIODS = {
    "half-year": (r"(?P<year>[12]\d{3})[ :/-]?[HhSs](?P<part>[12])", 6),
    "quarter": (
        r"(?P<year>[12]\d{3})[ :/.-]?[Qq](?P<part>[1-4])|[Qq](?P<part_before>[1-4])[ :/.-]?(?P<year_after>[12]\d{3})"
        r"|(?P<number>[1-4])[Qq][ :/.-]?(?P<year_last>[12]\d{3})",
        3,
    ),
    "month": (r"(?P<year>[12]\d{3})[ :/-]?[Mm](?P<part>0?[1-9]|1[0-2])", 1),
}
"""Parts of a year by their numbers, such as 1959Q1, 1959-Q1 and Q1 1959: their texts, and their months."""
WEEK = "week"
_WEEK = r"(?P<year>[12]\d{3})-?W(?P<week>\d{1,2})(?:-?(?P<day>[1-7]))?"
_ISO = re.compile(
    r"[12]\d{3}-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d([.,]\d+)?)?)?)?)?( ?([Zz]|[+-]\d\d(:?\d\d)?| ?UTC| ?GMT))?"
    r"|[12]\d{7}T\d{4,6}(\.\d+)?([Zz]|[+-]\d\d(:?\d\d)?)?"
)
_OFFSET = r"(Z|z|UTC|GMT|[+-]\d\d:?\d\d|[+-]\d\d)$"
_ZONE = r"(?::\d\d|T\d\d(?:\d\d){0,2}| [AaPp][Mm]|[.,]\d+) ?" + _OFFSET
_END = 16
"""Characters at the end of a text in which `_ZONE` is found."""
_AFTER_24 = r"(?:[:.]?00){0,2}(?:[.,]0+)?(?: ?(?:Z|z|UTC|GMT|[+-][\d:]+))?$"
_SEPARATED = (
    *("%Y{s}%m{s}%d", "%d{s}%m{s}%Y", "%m{s}%d{s}%Y", "%d{s}%m{s}%y", "%m{s}%d{s}%y", "%y{s}%m{s}%d"),
    *("%Y{s}%m", "%m{s}%Y", "%y{s}%m", "%m{s}%y", "%d{s}%m", "%m{s}%d"),
    *("%d{s}{b}{s}%Y", "{b}{s}%d{s}%Y", "{b}{s}%d, %Y", "%Y{s}{b}{s}%d", "%d{s}{b}{s}%y", "{b}{s}%Y", "{b}, %Y"),
    *("%Y{s}{b}", "{b}{s}%y", "%y{s}{b}", "{b}{s}%d", "%d{s}{b}"),
)
_COMPACT = (
    *("%Y", "%Y%m", "%Y%m%d", "%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S", "%y%m%d", "%d%m%Y", "%m%d%Y"),
    *("%d{b}%Y", "%d{b}%y", "{b}%Y"),
)
_CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H.%M", "%H.%M.%S", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%I %p", "%H")
_PATTERNS = {
    "Y": r"[12]\d{3}",
    "y": r"\d\d",
    "f": r"\d{1,6}",
    "p": "[AaPp][Mm]",
    "b": r"[A-Za-z]{3}",
    "B": "[A-Za-z]{3,9}",
}
_DAY_AND_CLOCK = re.compile(r"(?P<day>\S*%[Yy]\S*) +(?P<clock>%[HI]\S*(?: ?%p)?)")
_WEEKDAY = r"(?i)(mon|tue|wed|thu|fri|sat|sun)(?P<comma>,?) "


def candidates(text: str) -> list[str]:
    """The forms that a text may have, the usual one first. Those without a year lack %Y and %y."""
    if _ISO.fullmatch(text):
        return [ISO]
    found = [name for name, (pattern, _) in PERIODS.items() if re.fullmatch(pattern, text)]
    if re.fullmatch(_WEEK, text):
        found.append(WEEK)
    return found or _formats(text)


def has_year(form: str) -> bool:
    """Whether times of a form have a year."""
    return "%" not in form or any(part in form for part in ("%Y", "%y", "%G", "%c", "%x", "%D"))


def _formats(text: str) -> list[str]:
    """The formats that read one text, without those that take a month before a dot."""
    start = re.match(_WEEKDAY, text)
    before = "" if start is None else f"%a{start['comma']} "
    rest = text[start.end() :] if start else text
    separators = dict.fromkeys(re.findall(r"[/. -]", rest)[:2])
    dates = [date.replace("{s}", separator) for separator in separators for date in _SEPARATED]
    dates = [date for date in (*dates, *_COMPACT) if not date.startswith(("%m.%d", "%y.%m", "%m.%y"))]
    named = [date.replace("{b}", name) for date in dates for name in (("%b", "%B") if "{b}" in date else ("",))]
    zone = re.search(_ZONE, rest)
    clocks = ["", *(joint + clock for joint in (" ", "T", ", ", "  ") for clock in _CLOCKS)]
    body = rest[: zone.start(1)].rstrip() if zone else rest
    after = "" if zone is None else rest[len(body) : zone.start(1)] + "%z"
    if not re.search(r"[T ,]\d{1,2}\b(?:[:.]\d\d|$| ?[AaPp][Mm])", body):
        clocks = [""]
    return list(
        dict.fromkeys(
            before + date + clock + after
            for date in named
            if _fits(date, body, whole=False)  # there are 2000 forms, and few dates
            for clock in clocks
            if _fits(date + clock, body)
        )
    )


def _fits(form: str, text: str, whole: bool = True) -> bool:
    digits = r"\d\d" if re.search(r"%[a-zA-Z]%", form) else r"\d{1,2}"
    parts = re.split(r"%([a-zA-Z])", form)
    pattern = "".join(_PATTERNS.get(part, digits) if place % 2 else re.escape(part) for place, part in enumerate(parts))
    return (re.fullmatch if whole else re.match)(pattern, text) is not None


def parse(form: str, given: "pd.Series[Any]") -> pd.DatetimeIndex:
    """Reads values by a form, (rows,); NaT where a value has another.

    Args:
        form: the name of a form, or a format of strptime; with " from 1949" behind it, two digits are years from
            then on.
        given: (rows,), texts or numbers.

    Raises:
        ValueError: if it is no form.
    """
    if form in EPOCHS:
        return since_1970(form, pd.to_numeric(given, errors="coerce").to_numpy())
    if form in DECIMAL_YEARS:
        return decimal_years(form, pd.to_numeric(given, errors="coerce").to_numpy(np.float64))
    texts = texts_of(given)
    if form == WEEK:
        return _weeks(texts)
    if form in PERIODS:
        return _parts_of_years(texts, *PERIODS[form])
    format_, _, start = form.partition(" from ")
    if form != ISO and "%" not in format_:
        raise ValueError(f"no form of times is called {form!r}")
    texts, next_day = _without_hour_24(texts)
    texts, zones = _with_offsets(texts) if form == ISO or "%z" in form else (texts, None)
    form = "ISO8601" if form == ISO else format_
    in_order = _in_order(texts, form)
    if in_order is not None:
        texts, form = in_order, "ISO8601"
    times = _by_day_and_clock(texts, form) if zones is None else None
    if times is None:
        times = pd.DatetimeIndex(pd.to_datetime(texts, format=form, errors="coerce", utc=zones is not None))
    if form != "ISO8601" and re.search(r"%[a-zA-Z]%", form):
        times = pd.DatetimeIndex(times.where(texts.str.len().to_numpy() == len(texts.iloc[0])))
    if zones is not None:
        times = times.tz_convert(zones)
    if start:
        times = _in_century(times, int(start))
    return times + pd.to_timedelta(next_day.astype(np.int64), unit="D") if next_day.any() else times


def _in_order(texts: "pd.Series[Any]", form: str) -> "pd.Series[Any] | None":
    """The same times as ISO texts, which are read faster; None unless all parts have their full width."""
    pieces = re.split(r"%([a-zA-Z])", form)
    parts = pieces[1::2]
    if sorted(parts) != sorted("YmdHMS"[: len(parts)]) or len(parts) < 3:
        return None
    digits = [4 if part == "Y" else 2 for part in parts]
    pattern = "".join(re.escape(text) + f"[0-9]{{{width}}}" for text, width in zip(pieces[::2], digits, strict=False))
    if not texts.str.fullmatch(pattern + re.escape(pieces[-1])).all():
        return None
    found: dict[str, pd.Series[Any]] = {}
    place = 0
    for text, part, width in zip(pieces[::2], parts, digits, strict=False):
        place += len(text)
        found[part] = texts.str[place : place + width]
        place += width
    written = found["Y"] + "-" + found["m"] + "-" + found["d"]
    for joint, part in zip("T::", "HMS", strict=True):
        written = written + joint + found.get(part, "00")
    return written


def _by_day_and_clock(texts: "pd.Series[Any]", form: str) -> pd.DatetimeIndex | None:
    """The same times, of which each different day and each different time of day is read once; None for other forms."""
    parts = _DAY_AND_CLOCK.fullmatch(form)
    if parts is None:
        return None
    times = np.full(len(texts), np.datetime64("NaT", "us"))
    widths = texts.str.find(" ").to_numpy()
    for width in np.unique(widths[widths > 0]):  # of days, which are few
        rows = widths == width
        chosen = texts if rows.all() else texts[rows]
        clocks = _each(chosen.str[width:].str.lstrip(), parts["clock"]) - np.datetime64("1900-01-01", "us")
        times[rows] = _each(chosen.str[:width], parts["day"]) + clocks
    if (unread := np.isnat(times)).any():  # perhaps for other blanks
        again = pd.DatetimeIndex(pd.to_datetime(texts[unread], format=form, errors="coerce"))
        times[unread] = again.as_unit("us").to_numpy()
    return pd.DatetimeIndex(times)


def _each(texts: "pd.Series[Any]", form: str) -> "NDArray[np.datetime64]":
    """The times of texts, (rows,), of which each different one is read once."""
    codes, distinct = pd.factorize(texts)
    times = pd.DatetimeIndex(pd.to_datetime(pd.Series(distinct), format=form, errors="coerce"))
    return times.as_unit("us").to_numpy()[codes]


def texts_of(given: "pd.Series[Any]") -> "pd.Series[Any]":
    """Values as texts; whole numbers without a decimal point."""
    if pd.api.types.is_float_dtype(given):
        whole = given.round() == given
        return given.where(whole, -1).astype(np.int64).astype(str).where(whole, "")
    return given.astype(str).str.strip()


def _without_hour_24(texts: "pd.Series[Any]") -> tuple["pd.Series[Any]", NDArray[np.bool_]]:
    """The same texts with hour 0 in place of hour 24, and which of them are of the day before."""
    hour = texts.str.contains(f"[T ]24{_AFTER_24}", regex=True).to_numpy(np.bool_)
    return (texts.str.replace(f"([T ])24({_AFTER_24})", r"\g<1>00\g<2>", regex=True) if hour.any() else texts), hour


def _with_offsets(texts: "pd.Series[Any]") -> tuple["pd.Series[Any]", datetime.tzinfo | str | None]:
    """The same texts with their zones as offsets; and the one offset of all, UTC for several, None if one has none.

    Raises:
        MixedZonesError: if some have a zone and some have none.
    """
    if not texts.str.contains("[:T][0-9].*(?:[Zz]|UTC|GMT|[+-][0-9]{2}:?[0-9]{0,2})$", regex=True).any():
        return texts, None
    codes, ends = pd.factorize(texts.str[-_END:])  # the ends repeat
    offsets = pd.Series(ends).str.extract(_ZONE)[0]
    there = offsets.notna()
    if not there.any():
        return texts, None
    if not there.all():
        has_zone = there.to_numpy()[codes]
        raise MixedZonesError(str(texts[has_zone].iloc[0]), str(texts[~has_zone].iloc[0]))
    texts = texts.str.replace(r" ?(UTC|GMT)$", "+00:00", regex=True)
    distinct = {_offset(str(offset)) for offset in offsets.unique()}
    if len(distinct) > 1:
        return texts, "UTC"
    (minutes,) = distinct
    return texts, ("UTC" if minutes == 0 else datetime.timezone(datetime.timedelta(minutes=minutes)))


def _offset(text: str) -> int:
    """An offset from UTC in minutes."""
    if text[0] not in "+-":
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    return (60 * int(digits[:2]) + int(digits[2:])) * (-1 if text[0] == "-" else 1)


class MixedZonesError(ValueError):
    """Some times have a zone and some have none: one of each kind."""

    def __init__(self, with_zone: str, without: str) -> None:
        super().__init__(with_zone, without)
        self.with_zone, self.without = with_zone, without


def _parts_of_years(texts: "pd.Series[Any]", pattern: str, months: int) -> pd.DatetimeIndex:
    found = texts.str.extract(f"^(?:{pattern})$")
    years = found[[name for name in found if str(name).startswith("year")]].bfill(axis=1).iloc[:, 0]
    parts = found[[name for name in found if str(name).startswith(("part", "number"))]].bfill(axis=1).iloc[:, 0]
    month = 12 * (pd.to_numeric(years) - 1970) + months * (pd.to_numeric(parts) - 1)
    return _months_since_1970(month.to_numpy(np.float64))


def _months_since_1970(months: NDArray[np.float64]) -> pd.DatetimeIndex:
    there = ~np.isnan(months)
    times = np.where(there, months, 0).astype(np.int64).astype("datetime64[M]").astype("datetime64[us]")
    return pd.DatetimeIndex(pd.DatetimeIndex(times).where(there))


def _weeks(texts: "pd.Series[Any]") -> pd.DatetimeIndex:
    """Days of ISO weeks, the Monday where none is written."""
    found = texts.str.extract(f"^(?:{_WEEK})$")
    there = found["year"].notna()
    full = found["year"] + "-" + found["week"].str.zfill(2) + "-" + found["day"].fillna("1")
    return pd.DatetimeIndex(pd.to_datetime(full.where(there), format="%G-%V-%u", errors="coerce"))


def _in_century(times: pd.DatetimeIndex, start: int) -> pd.DatetimeIndex:
    """Times of years in two digits, moved by centuries into the hundred years from one on."""
    shift = start + (times.year - start) % 100 - times.year
    for years in set(shift.dropna().unique()) - {0}:
        chosen = np.asarray(shift == years)
        moved = times + pd.DateOffset(years=int(years))
        times = pd.DatetimeIndex(times.where(~chosen, moved.where(moved.day == times.day)))
    return times
