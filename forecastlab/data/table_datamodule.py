"""A user's own series, or a published one, as walk-forward folds."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.files import read_frame
from forecastlab.data.published import PUBLISHED, published_path
from forecastlab.data.reading.times import time_of
from forecastlab.data.recipe import Recipe, require_plain, unique_names
from forecastlab.data.table import Missing, Table
from forecastlab.errors import ConfigError, DataError


class TableDataModule(ForecastDataModule):
    """A CSV or Parquet file: one series or many, a row per time (and series), columns by name.

    A wide file has a column per variable. A long one names the series of each row in `series_column`, and one network
    is trained on all of them. Text is UTF-8; its first line holds the names, separated by commas, semicolons or tabs,
    and numbers have a decimal point. Times are written as 2024-01-31, 2024-01-31 13:00 or 31.01.2024, all in one way
    and zone. Rows are ordered by time within each series. Steps of the calendar that have no row are rows of missing
    values. A series ends with its last row that has a target; rows after it tell what is known in advance.

    Published series, for `dataset`: "airline" (international passengers in thousands, monthly 1949-1960; Box and
    Jenkins 1976, series G; part of this package), "electricity" (Germany's consumption, wind and solar generation in
    GWh, daily 2006-2017; Open Power System Data, CC BY 4.0, https://open-power-system-data.org, in the form of
    https://github.com/jenfly/opsd; 217,983 bytes), "etth1" (load and oil temperature of a transformer in China, hourly
    2016-2018; Zhou et al. 2021, CC BY-ND 4.0, https://github.com/zhouhaoyi/ETDataset; 2,589,657 bytes). The last two
    are looked for in $FORECASTLAB_DATA (electricity/opsd_germany_daily.csv, ett/ETTh1.csv) and in the cache folder,
    downloaded there and checked by sha256.

    Args:
        path: the file; beside a `dataset`, one with the same columns that is read in its place.
        dataset: name of a published series.
        targets: columns to predict.
        time_column: column of the times; None for the dataset's own, or "ds".
        series_column: column that tells the series apart, such as "unique_id"; None for one series.
        features: columns that are inputs and known up to the forecast origin only; None for the targets alone.
        known: columns that are inputs and known in advance, such as a column of holidays or prices.
        static: columns of numbers that are inputs and do not change within a series.
        derive: columns made as signed sums of others: {imbalance: {Consumption: 1, Wind: -1, Solar: -1}}.
        start: time of the first row that is used; None for all.
        end: time of the last row of which targets and features are used, after which the forecasts begin; None for all.
            Of later rows only the `known` columns are read, which are known in advance.
        frequency: step of the calendar as a pandas offset (D, h, MS, ...); None to find it out.
        missing: "error" refuses missing values; "ffill" holds the last value; "interpolate" does so until the next
            value is known, and is linear between the two from then on, which needs an integer lookback; "mask" begins
            with the first target, holds the last value, or 0 before the first, and adds an input to each feature that
            tells whether it was observed. Filled targets are not scored; known columns must have a value everywhere.
        name: name of a single series, `unique_id` in predictions; None for the dataset's, or "series".
        options: see `forecastlab.data.options.DataOptions`.

    Raises:
        ConfigError: for a setting that cannot be used.
    """

    def __init__(
        self,
        path: str | None = None,
        dataset: Literal["airline", "electricity", "etth1"] | None = None,
        targets: Sequence[str] = ("y",),
        time_column: str | None = None,
        series_column: str | None = None,
        features: Sequence[str] | None = None,
        known: Sequence[str] = (),
        static: Sequence[str] = (),
        derive: Mapping[str, Mapping[str, float]] | None = None,
        start: str | None = None,
        end: str | None = None,
        frequency: str | None = None,
        missing: Missing = "error",
        name: str | None = None,
        **options: Any,
    ) -> None:
        if path is None and dataset is None:
            raise ConfigError(
                f"name the data: either path, a CSV or Parquet file, or dataset, one of {', '.join(PUBLISHED)}"
            )
        if dataset is not None and dataset not in PUBLISHED:
            raise ConfigError(f"dataset must be one of {', '.join(PUBLISHED)}, got {dataset!r}")
        if not targets:
            raise ConfigError("targets: expected at least one column to predict")
        derive = {} if derive is None else derive
        require_plain(derive)
        features = list(targets) if features is None else features
        unique_names("targets", targets)
        if leaked := [column for column in targets if column in known or column in static]:
            raise ConfigError(f"{leaked[0]} is a target: it cannot be known in advance or static")
        recipe = Recipe(
            time=time_column or ("ds" if dataset is None else PUBLISHED[dataset].time),
            series=series_column,
            name=name or dataset or "series",
            targets=tuple(targets),
            features=tuple(features),
            known=tuple(known),
            static=tuple(static),
            derive={
                column: {source: float(sign) for source, sign in parts.items()} for column, parts in derive.items()
            },
            frequency=frequency or "",
            missing=missing,
        )
        super().__init__(recipe=recipe, **options)
        self.path = path
        self.dataset = dataset if path is None else None
        self.bounds = [None if time is None else time_of(key, time) for key, time in (("start", start), ("end", end))]

    def prepare_data(self) -> None:
        """Downloads a published file if it is nowhere to be found; Lightning calls this once per node."""
        if self.dataset is not None:
            published_path(self.dataset)

    def frame(self) -> pd.DataFrame:
        """The file's columns, (rows, columns), within `start` and `end`; behind it, what is known in advance."""
        path = published_path(self.dataset) if self.dataset is not None else self.path
        assert path is not None
        frame = read_frame(path, self.recipe.series)
        if self.bounds == [None, None]:
            return frame
        times = self.recipe.times(frame)
        start, end = self.bounds
        try:
            begun, ended = times >= (start or times.min()), times > (end or times.max())
        except TypeError as error:  # times with a zone, and bounds without
            raise ConfigError(f"start, end: expected times such as {times.min()}: {error}") from None
        inside = begun & ~ended
        if not inside.any():
            raise DataError(f"no row of {path} lies within start and end; its times are {times.min()} .. {times.max()}")
        return self._known_alone(frame[begun], ended[begun])

    def _known_alone(self, frame: pd.DataFrame, ended: NDArray[np.bool_]) -> pd.DataFrame:
        """Leaves in the rows after `end` what is known in advance, of the series that have rows before it.

        Args:
            frame: (rows, columns).
            ended: (rows,), whether each row lies after `end`.
        """
        recipe = self.recipe
        kept = ~ended
        if recipe.known:
            series = np.ones(len(frame), np.bool_)
            if recipe.series in frame:
                series = frame[recipe.series].isin(frame.loc[~ended, recipe.series].unique()).to_numpy()
            kept |= series
        frame, ended = frame[kept], ended[kept]
        sources = [source for name in recipe.known for source in recipe.derive.get(name, [name])]
        hidden = [name for name in frame.columns if name not in (*sources, recipe.time, recipe.series)]
        if ended.any():
            frame = frame.copy()
            for name in hidden:
                frame[name] = frame[name].where(~ended)
        return frame

    def read(self) -> list[Table]:
        tables = self.recipe.tables(self.frame())
        for target in self.targets:
            if all(table.values[target][table.observed[target]].nunique() < 2 for table in tables):
                raise DataError(
                    f"target {target} never changes: it is {tables[0].values[target].iloc[-1]} throughout series "
                    f"{tables[0].name}{', and constant in the others' if len(tables) > 1 else ''}; there is nothing to "
                    "learn"
                )
        return tables
