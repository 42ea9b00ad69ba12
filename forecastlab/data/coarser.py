"""Rows that are finer than the forecast: periods become rows (`resample`), and several series one (`aggregate`)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset

from forecastlab.data.reading.counted import COUNTED
from forecastlab.data.reading.frequency import canonical, find_frequency, share_of_steps
from forecastlab.data.reading.pattern import ROWS
from forecastlab.data.reading.places import row_name
from forecastlab.data.recipe import Recipe
from forecastlab.data.table import calendar_between
from forecastlab.errors import ConfigError, DataError

How = Literal["mean", "sum", "min", "max", "median", "first", "last"]
_STEADY = 0.3
"""Share of the steps of a calendar that have a row from which it is taken for that of the rows."""
_FEWEST = 3
"""Rows from which their step is told."""
_DAY = pd.Timedelta(days=1)


class Rows(NamedTuple):
    """Rows by series and time."""

    times: pd.DatetimeIndex
    """(rows,)"""
    codes: NDArray[np.int64]
    """(rows,), the number of each row's series."""
    names: Sequence[str]
    """Of the series."""
    numbers: NDArray[np.float64]
    """(rows, columns): those that change, and then static ones; NaN where a value is missing."""


def resample_of(given: Mapping[str, Any], frequency: str) -> tuple[dict[str, Any], list[str]]:
    """The setting `resample` in full, and a sentence if the rule had an older name.

    Args:
        given: `rule`, and `how` if it is not the mean.
        frequency: step of the rows as they are given; "" to find it out.

    Raises:
        ConfigError: for a setting that cannot be used.
    """
    _require_keys("resample", given, ("rule",), ("how",), "{rule: 1h, how: mean}")
    rule, said = canonical(str(given["rule"]))
    offset = _offset(rule)
    step = _tick(offset)
    whole = offset.n == 1 if step is None else _DAY % step == pd.Timedelta(0)
    if not whole:
        raise ConfigError(
            f"resample: periods of {rule} would begin wherever the data do; expected a part of a day such as 6h, or D, "
            "B, W, MS, QS, YS and the like"
        )
    return {
        "rule": offset.freqstr,
        "how": _require_how("resample", given.get("how", "mean")),
        "frequency": frequency,
    }, said


def aggregate_of(given: Mapping[str, Any], several: bool) -> dict[str, Any]:
    """The setting `aggregate` in full.

    Args:
        given: `by`, and `how` if it is not the sum.
        several: whether a column tells series apart.

    Raises:
        ConfigError: for a setting that cannot be used.
    """
    _require_keys("aggregate", given, ("by",), ("how",), "{by: [region], how: sum}")
    by = given["by"]
    by = [by] if isinstance(by, str | int) else by
    if not isinstance(by, list | tuple) or not all(isinstance(name, str | int) for name in by):
        raise ConfigError(f"aggregate.by: expected columns such as [region], or [] for one total, got {by!r}")
    if not several:
        raise ConfigError(
            "aggregate takes several series together: name the column that tells them apart, series_column"
        )
    return {"by": [str(name) for name in by], "how": _require_how("aggregate", given.get("how", "sum"))}


def _require_keys(key: str, given: Any, needed: Sequence[str], others: Sequence[str], example: str) -> None:
    if not isinstance(given, Mapping) or not set(needed) <= set(given) <= {*needed, *others}:
        raise ConfigError(f"{key}: expected a mapping such as {example}, got {given!r}")


def _require_how(key: str, how: Any) -> Any:
    for way in how.values() if isinstance(how, Mapping) else [how]:
        if way not in get_args(How):
            raise ConfigError(
                f"{key}.how must be one of {', '.join(get_args(How))}, or one for each column: {{sales: sum, price: "
                f"mean}}; got {way!r}"
            )
    return {str(name): way for name, way in how.items()} if isinstance(how, Mapping) else how


def _offset(rule: str) -> Any:
    try:
        offset = to_offset(rule)
        long = pd.Timestamp("2024-01-01") + offset - pd.Timestamp("2024-01-01") > pd.Timedelta(0)
    except (ValueError, TypeError, AttributeError):
        long = False
    if not long:
        raise ConfigError(f"resample.rule: expected a pandas offset such as h, D, W or MS, got {rule!r}")
    return offset


def _tick(offset: Any) -> pd.Timedelta | None:
    """The length of an offset that is shorter than a day; None of the others, which are days or made of them."""
    return pd.Timedelta(offset.nanos) if offset.rule_code in ("h", "min", "s", "ms", "us", "ns") else None


def aggregated(rows: Rows, groups: pd.DataFrame, recipe: Recipe, notes: list[str]) -> Rows:
    """Takes the series of each group together, step by step.

    A step has a value if every series of the group that has begun by then has one, so that no total lacks a part.

    Args:
        rows: the rows.
        groups: (rows, columns): what names the group of each row.
        recipe: what the columns are; `aggregate` says by what, and how.
        notes: takes sentences.

    Raises:
        DataError: for a row without a group, or static covariates that differ within one.
    """
    members, names = _groups(groups, recipe)
    order = np.lexsort((rows.times.asi8, members))
    times, codes, numbers = rows.times[order], rows.codes[order], rows.numbers[order]
    members, stamps = members[order], rows.times.asi8[order]
    first = _changes(members, stamps)
    ids = np.cumsum(first) - 1
    hows = _hows("aggregate", recipe)
    together = _combined(numbers, ids, hows)
    _require_one_static(numbers, ids, members[first], names, recipe)
    partial = np.zeros(len(together), np.bool_)
    there = ~np.isnan(numbers)
    have = np.add.reduceat(there.astype(np.int64), np.flatnonzero(first), axis=0)
    for place, name in enumerate(recipe.places):
        if name in recipe.known or name == recipe.weight:
            continue
        begun = (
            pd.Series(stamps[there[:, place]])
            .groupby([members[there[:, place]], codes[there[:, place]]], sort=True)
            .min()
        )
        expected = np.zeros(len(together), np.int64)
        for group, beginnings in begun.groupby(level=0):
            own = members[first] == group
            expected[own] = np.searchsorted(np.sort(beginnings.to_numpy()), stamps[first][own], side="right")
        lacking = have[:, place] < expected
        partial |= lacking & (have[:, place] > 0)
        together[lacking, place] = np.nan
    if partial.any():
        notes.append(
            f"at {int(partial.sum())} of {len(together)} steps some series of a group have no value: what the group "
            "has there is missing (a series counts from its first value on)"
        )
    said = recipe.aggregate["how"] if isinstance(recipe.aggregate["how"], str) else "as each column is to be"
    by = ", ".join(recipe.aggregate["by"]) or "all of them"
    notes.append(
        f"{len(rows.names)} series were taken together by {by} ({said}): {len(rows.times)} rows became "
        f"{len(together)}, of {len(names)} series"
    )
    return Rows(times[first], members[first], names, together)


def _groups(groups: pd.DataFrame, recipe: Recipe) -> tuple[NDArray[np.int64], list[str]]:
    """The number of each row's group, and the names."""
    if not len(groups.columns):
        return np.zeros(len(groups), np.int64), [recipe.name]
    if groups.isna().any(axis=None):
        row = int(np.flatnonzero(groups.isna().any(axis=1))[0])
        raise DataError(
            f"{row_name(groups, row)}: no value in {', '.join(groups.columns)}, which names its group. Write it, "
            "or name other columns: --data.aggregate.by"
        )
    labels = ["/".join(map(str, values)) for values in groups.drop_duplicates().to_numpy(object)]
    texts = groups.astype(str).agg("/".join, axis=1) if len(groups.columns) > 1 else groups.iloc[:, 0].astype(str)
    return np.asarray(pd.Index(dict.fromkeys(labels)).get_indexer(pd.Index(texts)), np.int64), list(
        dict.fromkeys(labels)
    )


def _require_one_static(
    numbers: NDArray[np.float64],
    ids: NDArray[np.int64],
    groups: NDArray[np.int64],
    names: Sequence[str],
    recipe: Recipe,
) -> None:
    for place, name in enumerate(recipe.static, len(recipe.places)):
        spread = pd.Series(numbers[:, place]).groupby(ids)
        differing = np.flatnonzero((spread.max() != spread.min()).to_numpy() & spread.count().gt(0).to_numpy())
        if differing.size:
            raise DataError(
                f"static covariate {name} differs within {names[groups[differing[0]]]}, whose series are taken "
                "together: leave it out, or take the series together by it too"
            )


def resampled(rows: Rows, recipe: Recipe, notes: list[str]) -> tuple[Rows, Recipe]:
    """Takes the rows of each period together; the recipe has their step, and that of the rows which were given.

    The first and the last period of a series count if they are complete, so that no forecast is made from, or scored
    on, a part of one. A sum within the series is missing if a part of it is; other values are of the rows that are
    there. Whether a period is complete is known if the rows lie on a calendar.

    Args:
        rows: the rows.
        recipe: what the columns are; `resample` says by what rule, and how.
        notes: takes sentences.

    Raises:
        DataError: if the rows are counted, or are coarser than the periods.
    """
    rule = recipe.resample["rule"]
    if recipe.time_format == COUNTED:
        raise ConfigError(f"resample: {rule} is a period of time, but the rows of these data are counted")
    _, places, inverse = np.unique(rows.times.asi8, return_index=True, return_inverse=True)
    all_times = rows.times[places]
    labels = _periods(all_times, rule)
    stamps = labels.asi8[inverse]
    first = _changes(rows.codes, stamps)
    ids = np.cumsum(first) - 1
    hows = _hows("resample", recipe)
    together = _combined(rows.numbers, ids, hows)
    codes, times = rows.codes[first], labels[inverse][first]
    have = np.add.reduceat((~np.isnan(rows.numbers)).astype(np.int64), np.flatnonzero(first), axis=0)
    step = _step(rows, recipe)
    expected = _expected(all_times, times, rule, step)
    short = have < expected[:, None]
    starts = np.flatnonzero(np.append(True, np.diff(codes) != 0))
    stops = np.append(starts[1:], len(codes))
    targets = [recipe.places[name] for name in recipe.targets]
    dropped = np.zeros(len(codes), np.bool_)
    cut, lacking = 0, np.zeros(len(codes), np.bool_)
    unknown = expected < 0
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        dropped[start] = bool((short[start, targets] | unknown[start]).all())
        for place, name in enumerate(recipe.places):
            held = np.flatnonzero(have[start:stop, place])
            if held.size and (last := start + int(held[-1])) >= start:
                incomplete = short[last, place] or (unknown[last] and name not in recipe.known)
                if incomplete:
                    cut += place == targets[0] and not dropped[last]
                    together[last, place] = np.nan
    for place, name in enumerate(recipe.places):
        if name in recipe.known:
            continue
        inside = short[:, place] & ~unknown & ~np.isnan(together[:, place]) & ~dropped
        lacking |= inside
        if hows[place] == "sum":
            together[inside, place] = np.nan
    _say(rows, recipe, int((~dropped).sum()), int(dropped.sum()), cut, int(lacking.sum()), bool(unknown.any()), notes)
    kept = ~dropped
    if not kept.any():
        raise DataError(
            f"resample: no period of {rule} is complete; the rows reach from {all_times[0]} to {all_times[-1]}"
        )
    recipe = replace(recipe, frequency=rule, resample={**recipe.resample, "frequency": step})
    return Rows(times[kept], codes[kept], rows.names, together[kept]), recipe


def _say(
    rows: Rows, recipe: Recipe, left: int, begun: int, cut: int, lacking: int, unknown: bool, notes: list[str]
) -> None:
    how = recipe.resample["how"]
    notes.append(
        f"{len(rows.times)} rows became {left}, one for each {recipe.resample['rule']} "
        f"({how if isinstance(how, str) else 'as each column is to be'})"
    )
    if begun or cut:
        why = "may be incomplete, since the rows lie on no calendar" if unknown else "is incomplete"
        notes.append(
            f"the first period of {begun} series and the last of {cut} {why}: they are left out, so that none is "
            "trained on, forecast from or scored"
        )
    if lacking:
        sums = "sum" in (how.values() if isinstance(how, Mapping) else [how])
        become = (
            "their sums are missing, other values are of the rows that are there"
            if sums
            else ("they stand for the rows that are there")
        )
        notes.append(f"{lacking} periods within the series lack values: {become}")


def _step(rows: Rows, recipe: Recipe) -> str:
    """The step of the rows that are given: "rows" if what has no row is not missing, and "" if they have none."""
    given: str = recipe.resample["frequency"]
    longest = rows.times[rows.codes == np.bincount(rows.codes).argmax()]
    if given or len(longest) < _FEWEST or share_of_steps(longest) < _STEADY:
        return given
    try:
        return find_frequency(longest)
    except DataError:
        return ""


def _expected(times: pd.DatetimeIndex, periods: pd.DatetimeIndex, rule: str, step: str) -> NDArray[np.int64]:
    """How many rows each period has if it is complete, (periods,); -1 where that is unknown.

    Args:
        times: (times,), those of all rows, increasing.
        periods: (periods,), names of periods.
        rule: how long they are.
        step: that of the rows, as `_step` has it.

    Raises:
        DataError: if the periods are finer than the rows.
    """
    if step in ("", ROWS):
        return np.full(len(periods), -1)
    begin, offset = pd.Timestamp("2024-01-01"), to_offset(step)
    fine, coarse = begin + offset - begin, begin + to_offset(rule) - begin
    if fine > coarse:
        raise DataError(f"resample: the rows are {step} apart, and periods of {rule} are finer: expected coarser ones")
    around = int(coarse / fine) + 2
    calendar = calendar_between(times[0] - around * offset, times[-1] + around * offset, step)
    labels, counts = np.unique(_periods(calendar, rule).as_unit(periods.unit).asi8, return_counts=True)
    places = np.clip(np.searchsorted(labels, periods.asi8), 0, len(labels) - 1)
    return np.where(labels[places] == periods.asi8, counts[places], 1).astype(np.int64)


def _periods(times: pd.DatetimeIndex, rule: str) -> pd.DatetimeIndex:
    """The period of each time, (rows,), by the name that pandas gives it; times increase."""
    step = _tick(to_offset(rule))
    if step is not None:
        return times.floor(step) if times.tz is None else times.tz_convert("UTC").floor(step).tz_convert(times.tz)
    counts = pd.Series(1, times).resample(rule).count()
    return cast(pd.DatetimeIndex, counts.index.repeat(counts.to_numpy())).as_unit(times.unit)


def _changes(codes: NDArray[np.int64], stamps: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each row is of another series or time than the one before, (rows,)."""
    first = np.ones(len(codes), np.bool_)
    first[1:] = (np.diff(codes) != 0) | (np.diff(stamps) != 0)
    return first


def _hows(key: str, recipe: Recipe) -> list[str]:
    """How each column is taken together: sums of what is known in advance, or is 0 and 1, would be no such thing.

    The weights of rows are not summed either, and need no way of their own.

    Raises:
        ConfigError: if the setting names ways for columns, and lacks one.
    """
    how = getattr(recipe, key)["how"]
    made = {f"{name}={value}": name for name, values in recipe.categories.items() for value in values}
    if recipe.weight:
        made[recipe.weight] = recipe.weight
    if isinstance(how, str):
        mild = "mean" if how == "sum" else how
        ways = [mild if name in recipe.known or name in made else how for name in recipe.places]
    else:
        if missing := [name for name in recipe.places if name not in how and name not in made]:
            raise ConfigError(f"{key}.how names ways for columns, but none for {missing[0]}: name one for each")
        ways = [how.get(made.get(name, name), "mean") for name in recipe.places]
    return [*ways, *["first"] * len(recipe.static)]


def _combined(numbers: NDArray[np.float64], ids: NDArray[np.int64], hows: Sequence[str]) -> NDArray[np.float64]:
    """One row for each number of a group, (groups, columns); NaN where it has no value."""
    together = np.empty((int(ids[-1]) + 1, numbers.shape[1]))
    for how in dict.fromkeys(hows):
        places = [place for place, way in enumerate(hows) if way == how]
        grouped = pd.DataFrame(numbers[:, places]).groupby(ids)
        together[:, places] = (grouped.sum(min_count=1) if how == "sum" else grouped.agg(how)).to_numpy()
    return together
