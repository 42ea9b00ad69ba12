"""`survey`: looks at a file, and finds out what its columns are, how rows follow each other and what is missing."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset

from forecastlab.data.facts import as_text, facts_of
from forecastlab.data.published import PUBLISHED
from forecastlab.data.reading.columns import USUAL, columns_of_times
from forecastlab.data.reading.counted import COUNTED
from forecastlab.data.reading.dialect import Dialect
from forecastlab.data.reading.long import Long, long_of
from forecastlab.data.reading.markers import suspicious
from forecastlab.data.reading.pattern import ROWS, closed_share
from forecastlab.data.reading.shape import turned
from forecastlab.data.reading.source import read_source
from forecastlab.data.reading.values import is_text, numbers_of
from forecastlab.data.recipe import Recipe
from forecastlab.data.season import season_of
from forecastlab.data.table import Table, calendar_between
from forecastlab.data.tables import tables_of
from forecastlab.errors import ConfigError, DataError, as_typed

_TARGETS = ("y", "target", "value", "values", "sales", "demand", "load", "count", "cnt", "ot", "close")
"""What targets are called, in the order in which they are preferred."""
_SERIES = re.compile(r"(?i)unique_id|item_id|series(_(id|name))?|id|store|item|country|region|city|sensor|meter|symbol")
"""What columns that name series are called."""
_MARKER = re.compile(r"-9{2,}(\.9+|\.0+)?|-200|9{4,}(\.9+)?")
"""Numbers that by custom mark missing values."""
_WORDS = re.compile(r"(?i)[?*.x-]+|n\.?/?a\.?|null|none|nil|missing|unknown|#n/a")
"""Texts that by custom mark missing values among numbers."""
_REPEATED = 0.5
"""Share of rows whose time occurs again from which there are several series, and not rows that are there twice."""
_POLICIES = ("first", "last", "mean", "sum")
"""What can become of rows of one time."""
_MOST_KINDS = 20
"""Values of a text that does not change within a series from which it is a name, and not a kind."""
_CLOSED = 0.25
"""Share of steps that never have a row from which rows are counted."""


class OpenQuestionError(ConfigError):
    """What the file alone does not tell.

    Attributes:
        question: what it is.
        option: name of the setting that answers it.
        choices: possible answers.

    Args:
        question: what is asked.
        option: name of the setting that answers it.
        choices: possible answers.
        in_python: whether an argument of a function answers it, and not an option of a command.
    """

    def __init__(self, question: str, option: str, choices: Sequence[str], in_python: bool = False) -> None:
        listed = ", ".join(choices[:12]) + (", ..." if len(choices) > 12 else "")
        answer = f"--{option}, such as {as_typed(choices[0])}"
        if in_python:
            answer = f"{option}={choices[0].split(', ') if ', ' in choices[0] else choices[0]!r}"
        super().__init__(f"{question}: {listed}. Answer with {answer}")
        self.question = question
        self.option = option
        self.choices = list(choices)


@dataclass(frozen=True)
class Survey:
    """What a file holds.

    Attributes:
        settings: what describes it, as `TableDataModule` takes it.
        tables: its series.
        recipe: how they were read.
        facts: what was seen: a label, and a sentence.
        season: rows in a season, 1 if there is none.
        ahead: steps behind the last target for which covariates are known.
        covariates: further numeric columns, which the forecast could read.
        horizon: steps that the file itself says are to be forecast.
    """

    settings: dict[str, Any]
    tables: list[Table]
    recipe: Recipe
    facts: list[tuple[str, str]]
    season: int
    ahead: int
    covariates: list[str] = field(default_factory=list)
    horizon: int | None = None

    def __repr__(self) -> str:
        return as_text(self.facts)


def survey(source: Any, answers: Mapping[str, Any], dataset: str | None = None) -> Survey:
    """Looks at a file, folder or frame.

    Args:
        source: as `TableDataModule` takes it for `path`.
        answers: settings of `TableDataModule` that are known already, by name.
        dataset: the name of the published series whose file the source is.

    Raises:
        OpenQuestionError: for what the file does not tell.
        DataError: for what cannot be read.
    """
    names = ("sep", "decimal", "thousands", "encoding", "header", "comment", "sheet_name")
    if dataset and answers.get("target") is None:
        answers = {**answers, "target": PUBLISHED[dataset].target}
    given = {name: answers[name] for name in names if answers.get(name) is not None}
    frame, notes = read_source(
        source,
        Dialect(**given, na_values=tuple(answers.get("na_values", ()))),
        start=answers.get("start"),
        frequency=str(answers.get("frequency") or ""),
    )
    settings: dict[str, Any] = {"dataset": dataset} if dataset else {"path": source}
    settings |= {"start": answers["start"]} if answers.get("start") is not None else {}
    settings |= given
    long, columns = _long(frame, answers)
    settings |= columns
    facts = [
        ("shape", f"{len(frame)} rows, {len(frame.columns)} columns" + ("" if long.frame is frame else ", turned"))
    ]
    facts += [("read", note) for note in [*notes, *long.notes]]
    recipe = long.recipe
    target = recipe.targets[0]
    words = [] if answers.get("na_values") else _words(long)
    recipe = replace(recipe, na_values=(*recipe.na_values, *words))
    values = numbers_of(long.frame[target], recipe.na_values, recipe.decimal, recipe.thousands)
    markers: list[str | float] = [*words, *_markers(long, values, answers)]
    if markers:
        settings["na_values"] = markers
        recipe = replace(recipe, na_values=tuple(markers))
        named = ", ".join(marker if isinstance(marker, str) else f"{marker:g}" for marker in markers)
        facts.append(("markers", f"{named} in {target}, taken for a missing value"))
    known, static = _known_and_static(long, values, settings)
    settings |= {name: names for name, names in (("known", known), ("static", static)) if names}
    recipe = replace(recipe, known=tuple(known), static=tuple(static), missing="mask")
    frequency = answers.get("frequency") or _by_rows(long)
    if frequency:
        settings["frequency"] = frequency
        recipe = replace(recipe, frequency=frequency)
    found = tables_of(replace(long_of(long.frame, recipe), notes=[]))
    facts += [("read", note) for note in found.notes]
    tables = found.tables
    settings["missing"] = answers.get("missing") or _missing(tables, found.recipe)
    season = answers.get("season_length") or season_of(tables, found.recipe)
    ahead = min(len(table.ahead) for table in tables) if known else 0
    facts += facts_of(tables, replace(found.recipe, missing=settings["missing"]), found.recipe.features, ())
    facts.append(("season", f"{season} rows" if season > 1 else "none found"))
    others = [name for name in _numeric(long) if name not in (*recipe.targets, *known, *static)]
    if others:
        facts.append(
            ("further", f"{', '.join(others[:10])}{', ...' if len(others) > 10 else ''}: not used unless named")
        )
    return Survey(settings, tables, found.recipe, facts, season, ahead, others, frame.attrs.get("horizon"))


def _long(frame: pd.DataFrame, answers: Mapping[str, Any]) -> tuple[Long, dict[str, Any]]:
    """The frame with a row per series and time, and the settings that name its columns."""
    series, weight = _several(answers.get("series_column")), _several(answers.get("weight_column"))
    targets = _given_targets(frame, answers.get("target"))
    target = targets[0] if targets else None
    base = Recipe(
        time="",
        time_format=answers.get("time_format") or "",
        na_values=tuple(answers.get("na_values", ())),
        duplicates=answers.get("duplicates") or "error",
        decimal=answers.get("decimal") or "",
        weight="".join(weight),
        thousands=answers.get("thousands") or "",
        frequency=frame.attrs.get("frequency", ""),
    )
    settings = {name: answers[name] for name in ("time_format", "na_values", "duplicates") if answers.get(name)}
    wide = turned(frame, series, weight, targets or ("y",), USUAL) if answers.get("time_column") is None else None
    if wide is not None:
        name = target or "y"
        recipe = replace(base, series=_one(series), targets=(name,), features=(name,))
        long = long_of(frame, recipe)
        settings |= {"targets": [name], "series_column": _plain(long.recipe.series)}
        return long, {key: value for key, value in settings.items() if value is not None}
    time = _several(answers.get("time_column"))
    notes: list[str] = []
    if not time:
        columns, notes = columns_of_times(frame, [*series, *targets, *weight])
        time = columns or ()
        counted = columns == ()
    else:
        counted = False
    targets = targets or (_target(frame, [*time, *series, *weight]),)
    target = targets[0]
    if not series:
        series = _series(frame.drop(columns=list(weight), errors="ignore") if weight else frame, time, target, answers)
    recipe = replace(base, time="" if counted else _one(time), series=_one(series), targets=targets, features=targets)
    long = long_of(frame, recipe)
    settings["targets"] = list(targets)
    if time and time != (USUAL,):
        settings["time_column"] = _plain(_one(time))
    if series:
        settings["series_column"] = _plain(_one(series))
    return replace(long, notes=[*notes, *long.notes]), settings


def _given_targets(frame: pd.DataFrame, answer: Any) -> tuple[str, ...]:
    """The columns that are to be predicted: a list, a column, or columns with commas between them; () for no answer."""
    if isinstance(answer, str) and "," in answer and answer not in frame.columns:
        return tuple(part.strip() for part in answer.split(","))
    return _several(answer)


def _several(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (str(value),) if isinstance(value, str | int) else tuple(map(str, value))


def _one(names: Sequence[str]) -> str | tuple[str, ...] | None:
    return None if not names else names[0] if len(names) == 1 else tuple(names)


def _plain(names: str | tuple[str, ...] | None) -> Any:
    return list(names) if isinstance(names, tuple) else names


def _is_number(column: "pd.Series[Any]") -> bool:
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return False
    if pd.api.types.is_numeric_dtype(column):
        return True
    numbers = pd.to_numeric(column.astype(object), errors="coerce")
    return bool(numbers.notna().sum() > 0.5 * len(column))


def _numeric(long: Long) -> list[str]:
    used = (*long.recipe.time_columns, *long.recipe.series_columns, long.recipe.weight)
    return [name for name in long.frame.columns if name not in used and _is_number(long.frame[name])]


def _target(frame: pd.DataFrame, used: Sequence[str]) -> str:
    """The column to predict.

    Raises:
        OpenQuestionError: if several could be it.
        DataError: if there is none.
    """
    free = [name for name in frame.columns if name not in used and _is_number(frame[name])]
    free = [name for name in free if frame[name].nunique() > 1]
    if not free:
        raise DataError(
            "no column of numbers that change, which could be predicted; there are "
            f"{', '.join(map(str, frame.columns))}"
        )
    if len(free) == 1:
        return str(free[0])
    for usual in _TARGETS:
        for name in free:
            if str(name).lower() == usual:
                return str(name)
    raise OpenQuestionError("several columns could be predicted", "target", [str(name) for name in free])


def _series(frame: pd.DataFrame, time: Sequence[str], target: str, answers: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that tell series apart; () if the times do not repeat.

    Raises:
        OpenQuestionError: if they repeat and several columns, or none, could be it.
    """
    named = [name for name in frame.columns if _SERIES.fullmatch(str(name)) and name not in (*time, target)]
    if not time:
        return tuple(named[:1])
    times = list(time)
    repeated = float(frame.duplicated(times, keep=False).mean())
    if repeated < _REPEATED:
        if repeated and answers.get("duplicates") is None:
            count = int(frame.duplicated(times).sum())
            raise OpenQuestionError(f"{count} rows have the time of another row", "duplicates", _POLICIES)
        return ()
    labels = [
        name
        for name in frame.columns
        if name not in (*times, target)
        and not pd.api.types.is_float_dtype(frame[name])
        and 2 <= frame[name].nunique() <= max(2, len(frame) // 3)
    ]
    for size in (1, 2):
        found = [names for names in combinations(labels, size) if not frame.duplicated([*times, *names]).any()]
        preferred = [names for names in found if all(_SERIES.fullmatch(str(name)) for name in names)] or found
        if len(preferred) == 1:
            return tuple(map(str, preferred[0]))
        if preferred:
            raise OpenQuestionError(
                "several columns could name the series", "series_column", [", ".join(n) for n in preferred]
            )
    raise OpenQuestionError("the times repeat, but no column tells the rows of one time apart", "duplicates", _POLICIES)


def _words(long: Long) -> list[str]:
    """Marks such as ? and n/a that stand among the numbers of a target."""
    found: list[str] = []
    for target in long.recipe.targets:
        if is_text(long.frame[target]):
            found += [text for text in map(str, long.frame[target].dropna().unique()) if _WORDS.fullmatch(text.strip())]
    return list(dict.fromkeys(found))


def _markers(long: Long, values: NDArray[np.float64], answers: Mapping[str, Any]) -> list[float]:
    """A number that by custom marks missing values and lies far from all others."""
    if answers.get("na_values"):
        return []
    found = suspicious(values)
    return [found[0]] if found is not None and _MARKER.fullmatch(f"{found[0]:g}") else []


def _known_and_static(
    long: Long, values: NDArray[np.float64], settings: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Columns that have values behind the last target of their series, and columns that never change within one."""
    used = (*long.recipe.time_columns, *long.recipe.series_columns, *long.recipe.targets, long.recipe.weight)
    frame, codes = long.frame, long.codes
    has, stamps = ~np.isnan(values), long.times.asi8
    last = np.full(len(long.names), np.iinfo(np.int64).min)
    np.maximum.at(last, codes[has], stamps[has])
    behind = stamps > last[codes]
    known, static = [], []
    for name in frame.columns:
        if name in used or str(name).startswith("Unnamed"):
            continue
        column = frame[name]
        if column.isna().any():
            continue
        per_series = int(column.groupby(codes).nunique().max())
        if len(long.names) > 1 and per_series == 1:
            if column.nunique() > 1 and (_is_number(column) or column.nunique() <= _MOST_KINDS):
                static.append(str(name))
        elif behind.any():
            known.append(str(name))
    return known, static


def _by_rows(long: Long) -> str | None:
    """Whether the steps are rows: many steps of the calendar lie at times of the week that never have one."""
    times = long.times.unique().sort_values()
    if long.recipe.time_format == COUNTED or len(times) < 100:
        return None
    usual = pd.Series(np.diff(times.asi8)).mode().iloc[0]
    step, day = pd.Timedelta(int(usual), unit=times.unit), pd.Timedelta(days=1)
    if step >= pd.Timedelta(days=7) or not step:
        return None
    try:
        named = f"{step.days}D" if step % day == pd.Timedelta(0) else to_offset(step).freqstr  # days of 23 hours too
        named = "B" if step == day and (times.day_of_week < 5).all() else named
        calendar = calendar_between(times[0], times[-1], named)
    except (ValueError, ConfigError, DataError):
        return None
    return ROWS if closed_share(times, calendar) > _CLOSED else None


def _missing(tables: Sequence[Table], recipe: Recipe) -> str:
    """How missing values can be treated: refused where there are none, filled forward where a value comes first."""
    targets = list(recipe.targets)
    observed = [table.observed[targets].to_numpy() for table in tables]
    if all(part.all() for part in observed):
        return "error"
    return "ffill" if all(part[0].all() for part in observed) else "mask"
