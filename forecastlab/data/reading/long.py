"""`Long`: a frame with a row per series and time, whose times are read."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.reading.columns import USUAL, columns_of_times
from forecastlab.data.reading.counted import COUNTED, count_within, times_of
from forecastlab.data.reading.places import in_file, row_name, shown
from forecastlab.data.reading.shape import turned
from forecastlab.data.reading.times import are_row_numbers, holds_lists, read_times
from forecastlab.data.reading.values import is_text
from forecastlab.data.recipe import Recipe
from forecastlab.errors import DataError, did_you_mean

_MOST_CATEGORIES = 100


@dataclass(frozen=True, eq=False)
class Long:
    """A frame with a row per series and time.

    Attributes:
        frame: (rows, columns), raw.
        times: (rows,), in the frame's order.
        codes: (rows,), the number of each row's series, in the order in which they first appear.
        names: the series' names.
        recipe: with what was found out about the frame, so that further rows are read in the same way.
        notes: what was decided or done, in sentences.
    """

    frame: pd.DataFrame
    times: pd.DatetimeIndex
    codes: NDArray[np.int64]
    names: Sequence[str]
    recipe: Recipe
    notes: list[str]

    def where(self, chosen: NDArray[np.bool_], hidden: Sequence[str], behind: NDArray[np.bool_]) -> "Long":
        """Some rows alone.

        Args:
            chosen: (rows,), which are kept.
            hidden: columns whose values are taken out of some of them.
            behind: (rows,), of which.
        """
        frame, behind = self.frame[chosen], behind[chosen]
        if behind.any():
            frame = frame.copy()
            for name in hidden:
                frame[name] = frame[name].where(~behind)
        return replace(self, frame=frame, times=self.times[chosen], codes=self.codes[chosen])


def long_of(frame: pd.DataFrame, recipe: Recipe) -> Long:
    """Finds the shape, the series and the times of a frame, and the values of its columns of text.

    Args:
        frame: raw columns; further ones and their order do not matter.
        recipe: what is known of it.

    Raises:
        DataError: for a column that is not there, two of one name, and times or names that cannot be read.
    """
    if not len(frame):
        raise DataError("expected at least one row of data, got none")
    duplicates = frame.columns[frame.columns.duplicated()]
    if len(duplicates):
        raise DataError(f"the names of columns must differ; duplicates: {', '.join(map(str, duplicates))}")
    notes: list[str] = []
    time = recipe.time_columns or (USUAL,)
    if recipe.time is not None and len(time) == 1:
        constant = [*recipe.static, recipe.weight] if recipe.weight else recipe.static
        found = turned(frame, recipe.series_columns, constant, recipe.targets, time[0])
        if found is not None:
            frame, series, said = found
            recipe = replace(recipe, time=time[0], series=_as_given(series) if series else None)
            notes += said
    if recipe.time == "":
        columns, said = columns_of_times(frame, [*recipe.sources, *recipe.columns, *recipe.series_columns])
        recipe = replace(recipe, time=None if not columns else _as_given(columns))
        if columns == ():
            recipe = replace(recipe, time_format=COUNTED)
            said = [
                "the data have no column of times: rows are counted in their order, from 0 (name a column of times "
                "with --data.time_column)"
            ]
        notes += said
    require_columns(frame, recipe)
    if recipe.zone is None:  # not of a network that is trained already, whose columns are settled
        recipe = _with_categories(frame, recipe, notes)
    codes, names = series_of(frame, recipe)
    times, form = _times_of(frame, recipe, codes, notes)
    return Long(frame, times, codes, names, replace(recipe, time_format=form), notes)


def require_columns(frame: pd.DataFrame, recipe: Recipe) -> None:
    """Raises DataError for a column that a recipe names and a frame has not."""
    by = recipe.aggregate.get("by", ())
    needed = dict.fromkeys([*recipe.time_columns, *recipe.series_columns, *recipe.sources, *by])
    if unknown := [name for name in needed if name not in frame.columns]:
        columns = ", ".join(map(str, frame.columns[:20])) + (" ..." if len(frame.columns) > 20 else "")
        meant = did_you_mean(unknown[0], frame.columns)
        hint = "; forecasts need no weights: --data.weight_column null" if unknown == [recipe.weight] else ""
        raise DataError(f"unknown column {', '.join(unknown)}; the data have {columns}{meant}{hint}")


def _as_given(columns: tuple[str, ...]) -> str | tuple[str, ...]:
    return columns[0] if len(columns) == 1 else columns


def series_of(frame: pd.DataFrame, recipe: Recipe) -> tuple[NDArray[np.int64], list[str]]:
    """The number of each row's series, in the order in which they first appear, and the names.

    Args:
        frame: (rows, columns), raw.
        recipe: what they are.

    Raises:
        DataError: for a row that names no series.
    """
    columns = recipe.series_columns
    if not columns:
        return np.zeros(len(frame), np.int64), [recipe.name]
    parts = frame[list(columns)]
    missing = parts.isna().all(axis=1).to_numpy()
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise DataError(
            f"{row_name(frame, row)}: no name of a series in {', '.join(columns)}, where every row needs one. Write "
            "it, leave the row out, or name another column: --data.series_column"
        )
    if len(columns) == 1:
        given = parts[columns[0]]
        kind = given.dtype.categories.dtype if isinstance(given.dtype, pd.CategoricalDtype) else given.dtype
        if not (pd.api.types.is_integer_dtype(kind) or isinstance(kind, pd.StringDtype)):
            given = given.astype(str)  # 1 and 1.0 are equal, but two names
        codes, names = pd.factorize(given)
        return np.asarray(codes, np.int64), [str(name) for name in names]
    groups = parts.groupby(list(columns), dropna=False, sort=False)
    labels = np.asarray(groups.ngroup(), np.int64)
    _, rows = np.unique(labels, return_index=True)
    heads = parts.iloc[rows]
    return labels, ["/".join(str(value) for value in head if not pd.isna(value)) for head in heads.to_numpy(object)]


def _times_of(
    frame: pd.DataFrame, recipe: Recipe, codes: NDArray[np.int64], notes: list[str]
) -> tuple[pd.DatetimeIndex, str]:
    """The times of the rows, and how they are written."""
    columns = recipe.time_columns or None
    what = "the index" if columns is None else f"column {', '.join(columns)}"
    if recipe.time_format == COUNTED and columns is None:
        return times_of(_counted_index(frame.index, codes)), COUNTED
    for name in columns or ():
        if holds_lists(frame[name]):
            raise DataError(
                f"{in_file(frame)}column {name} holds lists or mappings such as {shown(frame[name].iloc[0])}; expected "
                "times. Name the column of the times: --data.time_column"
            )
    if columns is None or len(columns) == 1:
        given = frame.index.to_series() if columns is None else frame[columns[0]]
        if recipe.time_format == COUNTED or (_may_count(recipe) and are_row_numbers(given)):
            return times_of(_whole(given, what)), COUNTED
    read = read_times(frame, columns, recipe.time_format or None)
    notes += read.notes
    times = read.times.rename(frame.index.name if columns is None else ", ".join(columns))
    return recipe.in_zone(times, what), read.form


def _may_count(recipe: Recipe) -> bool:
    """Whether a column may turn out to count rows: not if a form is known, nor of a network that read times."""
    return bool(recipe.time_columns) and not recipe.time_format and recipe.zone is None


def _counted_index(index: "pd.Index[Any]", codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of rows that have no column of times: the index of one series that counts, else counts from 0."""
    if not codes.any() and pd.api.types.is_integer_dtype(index.dtype) and index.is_monotonic_increasing:
        return index.to_numpy(np.int64)
    return count_within(codes)


def _whole(given: "pd.Series[Any]", what: str) -> NDArray[np.int64]:
    """Raises DataError unless all are whole numbers."""
    numbers = pd.to_numeric(given, errors="coerce").to_numpy(np.float64)
    wrong = np.flatnonzero(~(np.abs(numbers) < 2**53) | (numbers % 1 != 0))
    if wrong.size:
        row = int(wrong[0])
        raise DataError(
            f"{row_name(given, row)}: expected a whole number in {what}, since rows are counted by it, got "
            f"{shown(given.iloc[row])}. If it holds times, say how they are written: --data.time_format %Y-%m-%d"
        )
    return cast(NDArray[np.int64], numbers.astype(np.int64))


def _with_categories(frame: pd.DataFrame, recipe: Recipe, notes: list[str]) -> Recipe:
    """Has a column of 0 and 1 for each value of a covariate that is text."""
    covariates = [name for name in (*recipe.features, *recipe.known, *recipe.static) if name not in recipe.targets]
    derived = {source for parts in recipe.derive.values() for source in parts}
    made: dict[str, list[str]] = {}
    for name in dict.fromkeys(covariates):
        if name in recipe.categories:
            made[name] = list(recipe.categories[name])
            continue
        if name in recipe.derive or name in derived or name not in frame.columns or not is_text(frame[name]):
            continue
        values = frame[name].dropna().astype(str)
        values = values[~values.isin([str(marker) for marker in recipe.na_values])]
        distinct = sorted(values.unique())
        if not distinct or pd.to_numeric(values, errors="coerce").notna().mean() > 0.5:
            continue  # numbers, of which one is perhaps none: that is said when they are read
        if all(re.fullmatch(r"[-+.,\d\s]+", value) for value in distinct):
            continue
        if len(distinct) > _MOST_CATEGORIES:
            raise DataError(
                f"column {name} holds text of {len(distinct)} different values, such as {distinct[0]!r}; a covariate "
                f"of text may have {_MOST_CATEGORIES}: leave it out, or put the values into groups"
            )
        made[name] = distinct
        notes.append(
            f"column {name} holds text: its {len(distinct)} values ({', '.join(distinct[:5])}"
            f"{', ...' if len(distinct) > 5 else ''}) are inputs of 0 and 1"
        )
    if not made:
        return recipe

    def expanded(names: Sequence[str]) -> tuple[str, ...]:
        parts = ([f"{name}={value}" for value in made[name]] if name in made else [name] for name in names)
        return tuple(itertools.chain.from_iterable(parts))

    return replace(
        recipe,
        features=expanded(recipe.features),
        known=expanded(recipe.known),
        static=expanded(recipe.static),
        categories={**recipe.categories, **made},
    )
