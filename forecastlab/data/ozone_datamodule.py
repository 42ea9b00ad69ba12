"""The UCI ozone data as walk-forward folds."""

from collections.abc import Sequence
from typing import Any, Literal

from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.ozone import COLUMNS, ozone_path, read_ozone
from forecastlab.data.recipe import Recipe
from forecastlab.data.sample import sample_ozone
from forecastlab.data.table import Table
from forecastlab.data.tables import read_tables
from forecastlab.errors import ConfigError, DataError

MEASUREMENTS = COLUMNS[1:-1]


class OzoneDataModule(ForecastDataModule):
    """Daily weather in Houston 1998-2004, UCI "Ozone Level Detection" (eight-hour set): tomorrow's highest temperature.

    The inputs are the day's 72 measurements, the target is `T_PK` (degrees Celsius) of the next row. Rows are not days:
    the file leaves days out. Missing values are filled forward, never backward. Source: doi 10.24432/C5NG6W, CC BY 4.0
    (Zhang and Fan 2008); the file is looked for at `path`, in $FORECASTLAB_DATA/ozone/eighthr.data and in the cache
    folder, and downloaded there from the UCI archive (818,329 bytes, checked by sha256).

    Args:
        path: the file; None to look for it or download it.
        source: "uci" for the real file, "sample" for a synthetic one of the same form that needs no file.
        rows: number of rows used, from the first; None for all. The paper uses 1500.
        reindex: whether missing calendar days become rows, filled forward and not scored.
        features: measurements that are inputs; None for all 72, without the class label.
        target: measurement to predict.
        fold: number of the walk-forward fold, from 1; "last" is the one that trains on most rows; "all" trains on every
            row.
        score_gaps: whether targets are trained on and scored that do not follow their origin on the calendar.
        options: see `forecastlab.data.options.DataOptions`. The paper has lookback "full" and validation "test".

    Raises:
        ConfigError: for a setting that cannot be used.
    """

    def __init__(
        self,
        path: str | None = None,
        source: Literal["uci", "sample"] = "uci",
        rows: int | None = 1500,
        reindex: bool = False,
        features: Sequence[str] | None = None,
        target: str = "T_PK",
        fold: int | Literal["last", "all"] = 1,
        score_gaps: bool = True,
        **options: Any,
    ) -> None:
        features = MEASUREMENTS if features is None else features
        for key, names in (("features", features), ("target", [target])):
            unknown = [name for name in names if name not in COLUMNS[1:]]
            if unknown or not names:
                raise ConfigError(
                    f"{key}: unknown column {unknown[0] if unknown else '(none given)'}; the file has "
                    "WSR0..WSR23, WSR_PK, WSR_AV, T0..T23, T_PK, T_AV, (T|RH|U|V|HT)(85|70|50), KI, TT, SLP, SLP_, "
                    "Precp and class"
                )
        super().__init__(
            recipe=Recipe(
                name="ozone",
                targets=(target,),
                features=tuple(features),
                frequency="D",
                regular=reindex,
                missing="ffill",
            ),
            fold=fold,
            **options,
        )
        self.score_gaps = score_gaps
        if source not in ("uci", "sample"):
            raise ConfigError(f"source must be one of uci, sample, got {source!r}")
        if rows is not None and rows < 1:
            raise ConfigError(f"rows must be a positive number, or null for all rows of the file, got {rows}")
        self.path = path
        self.source = source
        self.row_limit = rows

    def prepare_data(self) -> None:
        """Downloads the file if it is nowhere to be found; Lightning calls this once per node."""
        if self.source == "uci":
            ozone_path(self.path)

    def read(self) -> list[Table]:
        if self.source == "sample":
            raw = sample_ozone(1500 if self.row_limit is None else self.row_limit)
        else:
            raw = read_ozone(ozone_path(self.path))
            if self.row_limit is not None and len(raw) < self.row_limit:
                raise DataError(
                    f"the file has {len(raw)} rows, but rows is {self.row_limit}: set --data.rows to {len(raw)} or "
                    "less, or to null for all"
                )
            raw = raw.iloc[: self.row_limit]
        return read_tables(raw, self.recipe)
