"""The UCI ozone data as walk-forward folds."""

from collections.abc import Sequence
from typing import Literal

from forecastlab.data.calendar import Cycle
from forecastlab.data.datamodule import Context, ForecastDataModule, Validation
from forecastlab.data.ozone import COLUMNS, ozone_path, read_ozone
from forecastlab.data.recipe import Recipe
from forecastlab.data.sample import sample_ozone
from forecastlab.data.scaling import Scaler
from forecastlab.data.table import Table
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
        calendar: calendar cycles that are inputs and known in advance.
        horizon: number of rows predicted from each origin.
        lookback: rows in a window, or "full" for one sequence per fold in which every row is an origin (the paper's).
        fold: number of the walk-forward fold, from 1; "all" trains on every row.
        splits: number of folds.
        test_size: rows in each test range; None for rows // (splits + 1).
        gap: rows left out between training and test.
        validation: "tail" stops on the last `val_fraction` of the training targets; "test" on the test range, which is
            the paper's protocol and makes the results optimistic.
        val_fraction: share of the training targets in the tail.
        context: "carried" gives the network the true past before a validation or test range; "cold" starts it at the
            first row of the range, so that fewer of its rows are forecast.
        score_gaps: whether targets are trained on and scored that do not follow their origin on the calendar.
        scaler: what the network's inputs and target are scaled with, fitted on the rows of the fold only.
        season_length: rows in a season, for MASE.
        batch_size: samples per batch and device.
        num_workers: processes that cut batches beside the training; windows are cut so fast that 0 is usually best.
        passes: how often an epoch goes through the training samples. With `lookback: full` a pass over one series is a
            single batch; several passes make an epoch that is worth a validation and a row of the log.

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
        calendar: Sequence[Cycle] = (),
        horizon: int = 1,
        lookback: int | Literal["full"] = 30,
        fold: int | Literal["all"] = 1,
        splits: int = 5,
        test_size: int | None = None,
        gap: int = 0,
        validation: Validation = "tail",
        val_fraction: float = 0.2,
        context: Context = "carried",
        score_gaps: bool = True,
        scaler: Scaler = "standard",
        season_length: int = 1,
        batch_size: int = 32,
        num_workers: int = 0,
        passes: int = 1,
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
            calendar=calendar,
            holidays=None,
            horizon=horizon,
            lookback=lookback,
            stride=1,
            fold=fold,
            splits=splits,
            test_size=test_size,
            cutoffs=(),
            train_size=None,
            gap=gap,
            validation=validation,
            val_fraction=val_fraction,
            val_size=None,
            context=context,
            score_gaps=score_gaps,
            scaler=scaler,
            scale_by="global",
            season_length=season_length,
            batch_size=batch_size,
            num_workers=num_workers,
            passes=passes,
        )
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
        return self.recipe.tables(raw)
