"""A user's own series, or a published one, as walk-forward folds."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd

from forecastlab.batch import Schema
from forecastlab.data.bounds import Bounds, bound, nothing_within
from forecastlab.data.coarser import aggregate_of, resample_of
from forecastlab.data.datamodule import ForecastDataModule, Storage
from forecastlab.data.mapped import MappedPanel, mapped_panel
from forecastlab.data.panel import Panel
from forecastlab.data.published import PUBLISHED, published_path
from forecastlab.data.reading.counted import COUNTED, frequency_of
from forecastlab.data.reading.dialect import Dialect
from forecastlab.data.reading.frequency import canonical
from forecastlab.data.reading.long import Long, long_of
from forecastlab.data.reading.order import Duplicates
from forecastlab.data.reading.pattern import ROWS
from forecastlab.data.reading.places import PLACES
from forecastlab.data.reading.source import read_source
from forecastlab.data.recipe import Recipe, categories_of, filled_by, require_plain, unique_names
from forecastlab.data.table import Missing, Table
from forecastlab.data.tables import tables_of
from forecastlab.data.transform import transforms_of
from forecastlab.errors import ConfigError, DataError, ReadingNote

if TYPE_CHECKING:
    Source = Any
else:
    Source = str | list[str]  # what a config can name; in Python a frame may stand in its place

Column = str | int
"""A column by its name; those of a file without names are numbered from 0."""


class TableDataModule(ForecastDataModule):
    """A person's own file or frame: one series or many, columns by name.

    Files are text (CSV and its dialects), Excel, Parquet, Feather, Arrow or Monash's .tsf, also compressed, or a folder
    of them. In Python a pandas, polars or pyarrow frame may stand in the place of a path, an array of NumPy, or records
    of GluonTS or Hugging Face `datasets`; a checkpoint remembers the columns, and not the rows. There is a row per time
    (and series), or a row per series and a column per time. How the file is written is found out where it can be read
    in one way only; what was decided, or done to rows, is said. Of a folder that is partitioned, such as
    store=7/year=2024/part-0.parquet, the names of the folders hold columns.

    Rows are sorted by time. Steps of the calendar that have no row are rows of missing values; what is `known` in
    advance holds its last value there. A series ends with its last row that has a target; rows after it tell what is
    known in advance. `notes` holds what was decided about the data, or done to their rows, when they were read.

    Published series, for `dataset`: "airline" (international passengers in thousands, monthly 1949-1960; Box and
    Jenkins 1976, series G; part of this package), "electricity" (Germany's consumption, wind and solar generation in
    GWh, daily 2006-2017; Open Power System Data, CC BY 4.0, https://open-power-system-data.org, in the form of
    https://github.com/jenfly/opsd; 217,983 bytes), "etth1" (load and oil temperature of a transformer in China, hourly
    2016-2018; Zhou et al. 2021, CC BY-ND 4.0, https://github.com/zhouhaoyi/ETDataset; 2,589,657 bytes), "ozone" (the
    file of `OzoneDataModule`, whose columns have no names and are numbered: 51 is the highest temperature; "?" is a
    missing value). The last three are looked for in $FORECASTLAB_DATA (electricity/opsd_germany_daily.csv,
    ett/ETTh1.csv, ozone/eighthr.data) and in the cache folder, downloaded there and checked by sha256.

    Args:
        path: the file, a folder or pattern of files, several files, or a frame; beside a `dataset`, one with the same
            columns that is read in its place. The values of an array, (rows,), are called "y"; the columns of another,
            (rows, columns), are numbered from 0. Records have the columns "item_id", "ds" and "target", and those of
            their covariates (`forecastlab.data.reading.records.from_records`).
        dataset: name of a published series.
        targets: columns to predict.
        time_column: column of the times, or several that make them together, such as [date, time] or [year, month,
            day]; None for the dataset's own, "ds", or the one column that holds times. Data without one are rows in
            order.
        time_format: how times are written, such as "%d/%m/%Y"; "number" for whole numbers that count rows; None to find
            it out.
        series_column: column that tells the series apart, such as "unique_id", or several; None for one series.
        features: columns that are inputs and known up to the forecast origin only; None for the targets alone.
        known: columns that are inputs and known in advance, such as a column of holidays or prices.
        static: columns that are inputs and do not change within a series. Here and above, a column of text becomes an
            input of 0 and 1 for each of its values.
        weight_column: column that tells how much each row counts as a target in the losses of training and validation,
            0 or more. A row of weight 2 counts as two rows, and one of weight 0 neither trains nor validates. Only the
            ratios of weights matter. Scores, scalers and baselines do not know weights. None where all count the same.
        categories: the values of columns of text, {region: [north, south]}, where other values have no input; None
            finds them in the rows. A checkpoint tells those of its training to new data.
        derive: columns made as signed sums of others: {imbalance: {Consumption: 1, Wind: -1, Solar: -1}}.
        start: time of the first row that is used; None for all. The first row of an array has this time, and the others
            follow by `frequency`; without it its rows are counted.
        end: time of the last row of which targets and features are used, after which the forecasts begin; None for all.
            Of later rows only the `known` columns are read, which are known in advance.
        frequency: step of the calendar as a pandas offset (D, h, MS, ...); "rows" for steps that are the rows
            themselves, such as the hours of an exchange; None to find it out.
        duplicates: what becomes of rows that have the same time and series: "error" refuses them, "first" and "last"
            keep one, "mean" and "sum" take their values together ("sum" but for known columns, whose first value is
            kept).
        aggregate: takes series together, by columns and in a way: {by: [region], how: sum}, or {by: []} for one total;
            `series_column` tells the series apart that are given. A step has a value if every series of a group that
            has begun has one.
        resample: takes the rows of periods together: {rule: D, how: mean}. Ways, here and above, are mean, sum, min,
            max, median, first and last, or one for each column, {sales: sum, price: mean}; with "sum", what is known
            in advance becomes the mean. A first or last period that is incomplete is left out, and a sum that lacks a
            part is missing. `frequency` is then that of the rows that are given; "rows" says that what has no row is
            not missing.
        na_values: texts and numbers that stand for a missing value, such as [-999.99, "?"].
        transform: what targets are turned into before they are scaled, as inputs too: "log1p" and "sqrt" for counts and
            other values from 0 on, "log" for values above 0, {logit: [low, high]} for values between bounds; or one for
            each target, {sales: log1p, share: {logit: [0, 100]}}. Forecasts, intervals and scores are in original
            units. The forecast is the inverse of the forecast of the transformed values: with MSE it is close to a
            median and not a mean.
        missing: "error" refuses missing values; "ffill" holds the last value; "interpolate" does so until the next
            value is known, and is linear between the two from then on, which needs an integer lookback; "mask" begins
            with the first target, holds the last value, or 0 before the first, and adds an input to each feature that
            tells whether it was observed. Filled targets are not scored; known columns must have a value everywhere.
        fill: what known columns are at steps of the calendar that have no row, {promotion: 0, price: ffill}: a number,
            or their last value, which those hold that are not named.
        name: name of a single series, `unique_id` in predictions; None for the dataset's, or "series".
        sep: mark between the cells of a text file; None to find it out.
        decimal: decimal mark of a text file's numbers; None to find it out.
        thousands: mark between groups of three digits; None to find it out.
        encoding: of a text file, such as latin-1; None for UTF-8, or what a mark at the beginning tells.
        header: whether the first row of a file holds names; None to find it out. Columns without names are numbered.
        comment: mark that begins lines that are not read.
        sheet_name: name or number of a sheet of an Excel file.
        storage: where the rows are held. "mapped" is for panels that are larger than the memory: Parquet files, in any
            order of their rows, are laid out once in the cache folder, by series, and mapped into memory from there by
            all processes and later commands. The numbers are those of "memory". It needs a column of times, and columns
            of numbers, or of text with `categories`; it has no `aggregate`, `resample` and `frequency: rows`.
        options: see `forecastlab.data.options.DataOptions`.

    Raises:
        ConfigError: for a setting that cannot be used.
    """

    def __init__(
        self,
        path: Source | None = None,
        dataset: Literal["airline", "electricity", "etth1", "ozone"] | None = None,
        targets: Sequence[Column] = ("y",),
        time_column: Column | Sequence[Column] | None = None,
        time_format: str | None = None,
        series_column: Column | Sequence[Column] | None = None,
        features: Sequence[Column] | None = None,
        known: Sequence[Column] = (),
        static: Sequence[Column] = (),
        weight_column: Column | None = None,
        categories: Mapping[str, Sequence[str]] | None = None,
        derive: Mapping[str, Mapping[str, float]] | None = None,
        start: str | int | None = None,
        end: str | int | None = None,
        frequency: str | None = None,
        duplicates: Duplicates = "error",
        aggregate: Mapping[str, Any] | None = None,
        resample: Mapping[str, Any] | None = None,
        na_values: Sequence[float | str] = (),
        transform: Literal["none", "log1p", "log", "sqrt"] | dict[str, Any] = "none",
        missing: Missing = "error",
        fill: Mapping[str, float | str] | None = None,
        name: str | None = None,
        sep: str | None = None,
        decimal: Literal[".", ","] | None = None,
        thousands: str | None = None,
        encoding: str | None = None,
        header: bool | None = None,
        comment: str | None = None,
        sheet_name: str | int = 0,
        storage: Storage = "memory",
        **options: Any,
    ) -> None:
        if path is None and dataset is None:
            raise ConfigError(
                "name the data: either path, a file, folder or frame, or dataset, one of " + ", ".join(PUBLISHED)
            )
        if dataset is not None and dataset not in PUBLISHED:
            raise ConfigError(f"dataset must be one of {', '.join(PUBLISHED)}, got {dataset!r}")
        if not targets:
            raise ConfigError("targets: expected at least one column to predict")
        if duplicates not in (known_ways := ("error", "first", "last", "mean", "sum")):
            raise ConfigError(f"duplicates must be one of {', '.join(known_ways)}, got {duplicates!r}")
        derive = {} if derive is None else derive
        require_plain(derive)
        targets = _names(targets)
        unique_names("targets", targets)
        known, static = _names(known), _names(static)
        if leaked := [column for column in targets if column in known or column in static]:
            raise ConfigError(f"{leaked[0]} is a target: it cannot be known in advance or static")
        time: str | tuple[str, ...] = "" if dataset is None else PUBLISHED[dataset].time
        if time_column is not None:
            time = _one_or_several(time_column)
        counted = frequency is not None and frequency.isdigit()
        self.notes: list[str] = []
        if frequency is not None and not counted and frequency != ROWS:
            frequency, self.notes = canonical(frequency)
        series = None if series_column is None else _one_or_several(series_column)
        coarser: dict[str, Any] = {}
        if aggregate:
            coarser["aggregate"] = aggregate_of(aggregate, series is not None)
        if resample:
            coarser["resample"], said = resample_of(resample, frequency or "")
            self.notes = [*self.notes, *said]
            frequency = coarser["resample"]["rule"]
        recipe = Recipe(
            time=time,
            time_format=time_format or (COUNTED if counted else ""),
            series=series,
            name=name or dataset or "series",
            targets=targets,
            features=targets if features is None else _names(features),
            known=known,
            static=static,
            weight="" if weight_column is None else str(weight_column),
            categories=categories_of(
                categories or {}, [name for name in (*(features or ()), *known, *static) if name not in derive]
            ),
            derive={
                column: {source: float(sign) for source, sign in parts.items()} for column, parts in derive.items()
            },
            na_values=tuple(na_values),
            decimal=decimal or "",
            thousands=thousands or "",
            duplicates=duplicates,
            frequency=frequency_of(int(frequency)) if frequency and counted else frequency or "",
            transform=transforms_of(transform, targets),
            missing=missing,
            fill=filled_by(fill or {}, known, derive),
            **coarser,
        )
        if storage not in (places := get_args(Storage)):
            raise ConfigError(f"storage must be one of {', '.join(places)}, got {storage!r}")
        if storage == "mapped":
            _require_single_rows(recipe, dataset)
        super().__init__(recipe=recipe, **options)
        self.storage = storage
        self.path = list(path) if isinstance(path, Iterator) else path  # it is read more than once
        self.dataset = dataset if path is None else None
        self.dialect = Dialect(
            sep=sep,
            decimal=decimal,
            thousands=thousands,
            encoding=encoding,
            header=header,
            comment=comment,
            na_values=tuple(na_values),
            sheet_name=sheet_name,
        )
        self.bounds = Bounds(start, end)

    def prepare_data(self) -> None:
        """Downloads a published file if it is nowhere to be found; Lightning calls this once per node."""
        if self.dataset is not None:
            published_path(self.dataset)

    def frame(self) -> pd.DataFrame:
        """The raw columns, (rows, columns), within `start` and `end`; behind it, what is known in advance."""
        frame = self._long().frame if self.bounds else self._source()[0]
        frame.attrs.pop(PLACES, None)  # for which pandas would have no form in a file
        return frame

    def read(self) -> Sequence[Table]:
        tables: Sequence[Table]
        if self.storage == "mapped":
            tables, notes = self._mapped.panel.tables, self._mapped.notes
        else:
            tables, self.recipe, notes = tables_of(self._long())
        self.notes += notes
        for note in self.notes:
            warnings.warn(note, ReadingNote, stacklevel=2)
        for target in self.targets:
            if all(table.values[target][table.observed[target]].nunique() < 2 for table in tables):
                table = tables[0]
                raise DataError(
                    f"target {target} never changes: it is {table.values[target].iloc[-1]} throughout series "
                    f"{table.name}{', and constant in the others' if len(tables) > 1 else ''}; there is nothing to "
                    "learn"
                )
        return tables

    @cached_property
    def panel(self) -> Panel:
        """The series on one axis."""
        return self._mapped.panel if self.storage == "mapped" and self.tables else super().panel

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the series, the same for the same data wherever they come from."""
        return self._mapped.fingerprint if self.storage == "mapped" else super().fingerprint

    @cached_property
    def _mapped(self) -> MappedPanel:
        """The panel in files."""

        def schema_of(tables: Sequence[Table], recipe: Recipe) -> Schema:
            self.recipe = recipe
            return self._schema_of(tables)

        laid_by = {name: getattr(self, name) for name in ("horizon", "calendar", "holidays", "time_zone")}
        return mapped_panel(self.path, self.recipe, self.bounds, schema_of, laid_by)

    def _source(self) -> tuple[pd.DataFrame, list[str]]:
        source = published_path(self.dataset) if self.dataset is not None else self.path
        given = self.recipe.resample["frequency"] if self.recipe.resample else self.recipe.frequency
        start = self.bounds.start
        dated = start is not None and not str(start).isdigit()
        return read_source(
            source,
            self.dialect,
            (*self.recipe.series_columns, *self.recipe.aggregate.get("by", ())),
            start=bound("start", start) if dated else None,
            frequency="" if self.recipe.time_format == COUNTED or given == ROWS else given,
        )

    def _long(self) -> Long:
        """The rows within `start` and `end`; behind it, what is known in advance."""
        frame, notes = self._source()
        frequency = self.recipe.frequency or frame.attrs.get("frequency", "")  # which a .tsf file tells
        long = long_of(frame, replace(self.recipe, frequency=frequency))
        long.notes[:0] = notes
        if not self.bounds:
            return long
        kept, behind = self.bounds.kept(long.times, long.codes, long.recipe)
        if not (kept & ~behind).any():
            raise nothing_within(long.times.min(), long.times.max(), long.recipe)
        told = long.recipe.told_in_advance
        return long.where(kept, [name for name in long.frame.columns if name not in told], behind)


def _require_single_rows(recipe: Recipe, dataset: str | None) -> None:
    """Raises ConfigError for settings that need all rows at once."""
    if dataset is not None:
        raise ConfigError(f"storage: mapped reads Parquet files, and dataset: {dataset} is small: leave storage out")
    for name, given in (("aggregate", recipe.aggregate), ("resample", recipe.resample)):
        if given:
            raise ConfigError(
                f"{name} takes rows together, which storage: mapped does not do: write the coarser rows to Parquet, or "
                "set storage: memory"
            )
    if recipe.frequency == ROWS:
        raise ConfigError("frequency: rows needs the times of all rows at once: set storage: memory")


def _names(columns: Sequence[Column]) -> tuple[str, ...]:
    return tuple(str(column) for column in columns)


def _one_or_several(columns: Column | Sequence[Column]) -> str | tuple[str, ...]:
    if isinstance(columns, str | int):
        return str(columns)
    return str(columns[0]) if len(columns) == 1 else _names(columns)
