"""`Recipe`: how a frame of raw columns becomes tables; plain data, so that a checkpoint can do it to new rows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from forecastlab.data.reading.order import Duplicates
from forecastlab.data.table import Missing
from forecastlab.errors import ConfigError, DataError


@dataclass(frozen=True)
class Recipe:
    """Names the columns of a frame, one row per time and series, and what is made of them.

    Attributes:
        time: column of the times, or several that make them together; None where they are the frame's index, and ""
            where the column is to be found out.
        time_format: how times are written, as `forecastlab.data.reading.times.read_times` takes it; "" to find it out.
        series: column that tells the series apart, or several; None for a frame of one series.
        name: name of the one series of such a frame.
        targets: columns to predict.
        features: columns that are inputs, and known up to the forecast origin only.
        known: columns that are inputs, and known in advance.
        static: columns that are inputs, and do not change within a series.
        weight: column that tells how much each row counts in the loss; "" where all count the same.
        categories: values of the columns of text; each value is a column of 0 and 1, called "column=value".
        derive: columns made as signed sums of others: {"imbalance": {"load": 1, "wind": -1}}.
        na_values: texts and numbers that stand for a missing value.
        decimal: decimal mark of numbers that are text; "" to find it out.
        thousands: mark between groups of three digits of numbers that are text; "" to find it out.
        duplicates: what becomes of rows that have the same series and time: "error" refuses them, "first" and "last"
            keep one of them, "mean" and "sum" take their values together (but for static columns, and "sum" for known
            ones, of which the first is taken).
        aggregate: which series become one, `by` which columns and `how`; {} for none (`forecastlab.data.coarser`).
        resample: which rows become one, by which `rule` and `how`, and the `frequency` of the rows that are given; {}
            for none.
        frequency: step of the calendar as a pandas offset; "" where it is to be found out.
        regular: whether steps that the calendar has and the frame has not become rows with missing values. Otherwise
            the steps are the rows of all series.
        slots: the times of the week at which there are rows, in seconds from Monday 00:00, from which the times of
            steps beyond the rows follow; () where they follow from the frequency.
        transform: the transforms of targets, as `forecastlab.data.transform.transforms_of` gives them.
        missing: how missing values are treated, see `Table.from_numbers`.
        fill: what known columns are at steps that have no row, by name: a number, or "ffill" for the last value, which
            the others hold.
        zone: zone of the times, to which those of another are turned; "" for times without one, and None where it is
            to be found out.
    """

    time: str | tuple[str, ...] | None = None
    time_format: str = ""
    series: str | tuple[str, ...] | None = None
    name: str = "series"
    targets: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    weight: str = ""
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    derive: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    na_values: tuple[str | float, ...] = ()
    decimal: str = ""
    thousands: str = ""
    duplicates: Duplicates = "error"
    aggregate: Mapping[str, Any] = field(default_factory=dict)
    resample: Mapping[str, Any] = field(default_factory=dict)
    frequency: str = ""
    regular: bool = True
    slots: tuple[int, ...] = ()
    transform: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    missing: Missing = "error"
    fill: Mapping[str, float | str] = field(default_factory=dict)
    zone: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The recipe as plain lists, strings and numbers."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """The inverse of `as_dict`."""
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**plain)

    @property
    def time_columns(self) -> tuple[str, ...]:
        """The columns that hold the times; () if the index does, or they are to be found out."""
        return (self.time,) if isinstance(self.time, str) and self.time else tuple(self.time or ())

    @property
    def series_columns(self) -> tuple[str, ...]:
        """The columns that tell the series apart; () of a frame of one series."""
        return (self.series,) if isinstance(self.series, str) else tuple(self.series or ())

    @property
    def columns(self) -> list[str]:
        """Every column that becomes one of the tables, each once."""
        weight = [self.weight] if self.weight else []
        return list(dict.fromkeys([*self.features, *self.targets, *self.known, *self.static, *weight]))

    @property
    def sources(self) -> list[str]:
        """The raw columns of which these are made, each once."""
        return list(dict.fromkeys(source for name in self.columns for source in self.sources_of(name)))

    def sources_of(self, name: str) -> list[str]:
        """The raw columns of which one is made."""
        made = {f"{column}={value}": [column] for column, values in self.categories.items() for value in values}
        made |= {column: list(parts) for column, parts in self.derive.items()}
        return made.get(name, [name])

    @property
    def told_in_advance(self) -> tuple[str, ...]:
        """The raw columns whose values are read beyond the end of the data: those known there, and what names rows."""
        in_advance = replace(self, features=(), targets=(), static=()).sources
        return (*in_advance, *self.time_columns, *self.series_columns, *self.aggregate.get("by", ()))

    @cached_property
    def places(self) -> dict[str, int]:
        """Numbers of the columns of the tables, without static ones."""
        changing = [name for name in self.columns if name not in self.static]
        return {name: place for place, name in enumerate(changing)}

    @cached_property
    def labels(self) -> tuple["pd.Index[Any]", "pd.Index[Any]"]:
        """Names of the columns of the tables, and of those known in advance."""
        labels = pd.Index(list(self.places))
        return labels, labels[[self.places[name] for name in self.known]]

    def in_zone(self, times: pd.DatetimeIndex, what: str) -> pd.DatetimeIndex:
        """The same times in the recipe's zone.

        Args:
            times: (rows,).
            what: name for messages.

        Raises:
            DataError: if they have a zone and the recipe's have none, or the other way round: nobody knows how far
                apart they are.
        """
        if self.zone is None or str(times.tz) == self.zone:
            return times
        if times.tz is None and self.zone:
            raise DataError(
                f"{what} has times without a zone, such as {times[0]}; the network was trained on times in "
                f"{self.zone}: write them with their zone, such as {times[0]}+00:00"
            )
        if times.tz is None:
            return times
        if not self.zone:
            raise DataError(
                f"{what} has times in {times.tz}, such as {times[0]}; the network was trained on times without a zone: "
                "write them by the same clocks, without a zone"
            )
        return times.tz_convert(self.zone)


def require_plain(derive: Mapping[str, Mapping[str, float]]) -> None:
    """Raises ConfigError unless derived columns are signed sums of columns that are not derived."""
    for name, parts in derive.items():
        if not isinstance(parts, Mapping) or not parts:
            raise ConfigError(f"derive.{name}: expected columns and their factors, {{load: 1}}, got {parts!r}")
        for source, factor in parts.items():
            if source in derive:
                raise ConfigError(f"derive.{name}: {source} is itself derived; write its own columns instead")
            if isinstance(factor, bool) or not isinstance(factor, int | float) or not np.isfinite(factor):
                raise ConfigError(f"derive.{name}: expected a number as the factor of {source}, got {factor!r}")


def filled_by(given: Mapping[str, Any], known: Sequence[str], derive: Mapping[str, Any]) -> dict[str, float | str]:
    """The setting `fill` as plain values.

    Raises:
        ConfigError: for a column that is not known in advance, and for what is neither a number nor "ffill".
    """
    for name, value in given.items():
        if name in derive:
            raise ConfigError(f"fill: {name} is derived from other columns: it holds its last value")
        if str(name) not in known:
            raise ConfigError(
                f"fill: {name} is not known in advance; expected one of known: {', '.join(known) or 'none'}"
            )
        number = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
        if not number and value != "ffill":
            raise ConfigError(f'fill.{name}: expected a number, or "ffill" for the last value, got {value!r}')
    return {str(name): value for name, value in given.items()}


def categories_of(given: Mapping[str, Sequence[str]], covariates: Sequence[str | int]) -> dict[str, list[str]]:
    """The setting `categories` as plain values.

    Args:
        given: values by column.
        covariates: the inputs that are read from the file.

    Raises:
        ConfigError: for a column that is no input, and for values that are not texts or not all different.
    """
    names = [str(name) for name in covariates]
    for name, values in given.items():
        if str(name) not in names:
            raise ConfigError(
                f"categories: {name} is no input; expected one of {', '.join(names) or 'features, known'}"
            )
        texts = isinstance(values, list | tuple) and all(isinstance(value, str) for value in values)
        if not texts or not values or len(set(values)) < len(values):
            raise ConfigError(f"categories.{name}: expected different texts, [north, south], got {values!r}")
    return {str(name): list(values) for name, values in given.items()}


def unique_names(kind: str, names: Sequence[str]) -> None:
    """Raises ConfigError for a name that is given twice."""
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise ConfigError(f"{kind}: {twice[0]} is given twice")
