"""`DataOptions`: the options that all data modules share, each with its meaning, its default and its check."""

import inspect
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import pandas as pd

from forecastlab.batch import ELAPSED, PADDED
from forecastlab.data.calendar import Cycle, calendar_covariates, require_zone
from forecastlab.data.folds import require_protocol
from forecastlab.data.reading.pattern import ROWS
from forecastlab.data.reading.times import time_of
from forecastlab.data.recipe import Recipe, unique_names
from forecastlab.data.scaling import Scaler
from forecastlab.errors import ConfigError

Validation = Literal["tail", "test"]
Context = Literal["carried", "cold"]
ScaleBy = Literal["global", "series"]
FoldBy = Literal["calendar", "series"]
Sampled = Literal["evenly", "by_length"]


class DataOptions:
    """What a data module is told about inputs, windows, folds, scaling and batches.

    A data module passes what it does not decide itself on to this class (`**options`), so each option stands here only.

    Args:
        recipe: how raw columns become tables; its frequency may be left open for `read` to find out.
        fold: number of the walk-forward fold, from 1; "last" is the one that trains on most rows; "all" trains on every
            row, for a model to be deployed.
        calendar: calendar cycles that are inputs and known in advance, as sine and cosine.
        holidays: country whose public holidays are an input that is known in advance, such as "DE": the share of its
            states that have one. Of steps longer than a day, they and the calendar's cycles are means over all of its
            days: a month's or a quarter's own ones, and of weeks the days from the one that the row lies on, or up to
            it if that is a Friday, Saturday or Sunday.
        time_zone: zone by whose clocks the calendar and the holidays are reckoned, such as Europe/Berlin, of times that
            are written in another, such as UTC; None for that of the times.
        elapsed: whether a further feature, `elapsed`, tells how much time has passed since the row before, and 0 in the
            first row of a series. Whatever the `scaler`, a network reads it in units of the usual step, the median of
            the rows that fit the scaler. S5 takes it as the lengths of its steps; to other backbones it is an input
            like all others. It is for data whose steps are the rows that are there: `frequency: rows`, or the ozone
            data, which leave days out.
        horizon: number of steps predicted from each origin.
        lookback: rows in a window, or "full" for one sequence per fold and series in which every step is an origin.
        min_history: rows that a window must have at least. The rows that it lacks are padded before the first row of
            its series: they repeat that row, and the further feature `padded` is 1 there. None for all of `lookback`.
        stride: rows from one training window to the next; evaluation uses every origin.
        splits: number of folds.
        test_size: rows in each test range; None for rows // (splits + 1), or up to the next cutoff.
        cutoffs: times of the first test row of each fold, instead of `splits`; where there is no row, the next.
        fold_by: "calendar" cuts all series at the same times. "series" counts each series' rows back from its own last
            target, so that every series that is long enough is scored. Training rows of one series may then be later
            than test rows of another, so use it where series share no events.
        train_size: rows that train, a window that slides; None for all rows before the test range.
        gap: rows left out between training and test.
        validation: "tail" stops on the last `val_fraction` of the training targets; "test" on the test range, which
            makes the results optimistic.
        val_fraction: share of the training targets in the tail, which has at least `horizon` rows if as many are left.
        val_size: rows in the tail; None for `val_fraction`.
        context: "carried" gives the network the true past before a validation or test range; "cold" starts it at the
            first row of the range, so that fewer of its rows are forecast.
        scaler: what the network's inputs and target are scaled with, fitted on the rows of the fold only; what "mask"
            filled does not count.
        scale_by: "global" scales all series together, "series" each by itself; a network of the latter kind forecasts
            no series that it was not trained on.
        season_length: rows in a season, for MASE and RMSSE.
        batch_size: samples per batch and device.
        num_workers: processes that cut batches beside the training; windows are cut so fast that 0 is usually best.
        passes: how often an epoch goes through the training samples. With `lookback: full` a pass over one series is a
            single batch; several passes make an epoch that is worth a validation and a row of the log.
        windows_per_epoch: the most training windows in an epoch, or sequences with `lookback: full`; each epoch draws
            others, the same for the same seed. None for all. It is for panels that have far more of them than a network
            needs between two validations.
        window_sampling: how they are drawn. "by_length": all windows are as likely, so that a long series gives more
            than a short one. "evenly": each series gives as many as another, or all that it has.

    Raises:
        ConfigError: for a setting that cannot be used.
    """

    score_gaps = True
    """Whether targets are trained on and scored that do not follow their origin on the calendar."""

    def __init__(
        self,
        *,
        recipe: Recipe,
        fold: int | Literal["last", "all"] = "last",
        calendar: Sequence[Cycle] = (),
        holidays: str | None = None,
        time_zone: str | None = None,
        elapsed: bool = False,
        horizon: int = 1,
        lookback: int | Literal["full"] = 30,
        min_history: int | None = None,
        stride: int = 1,
        splits: int = 5,
        test_size: int | None = None,
        cutoffs: Sequence[str] = (),
        fold_by: FoldBy = "calendar",
        train_size: int | None = None,
        gap: int = 0,
        validation: Validation = "tail",
        val_fraction: float = 0.2,
        val_size: int | None = None,
        context: Context = "carried",
        scaler: Scaler = "standard",
        scale_by: ScaleBy = "global",
        season_length: int = 1,
        batch_size: int = 32,
        num_workers: int = 0,
        passes: int = 1,
        windows_per_epoch: int | None = None,
        window_sampling: Sampled = "by_length",
    ) -> None:
        super().__init__()
        for name, size, least in (
            ("horizon", horizon, 1),
            ("stride", stride, 1),
            ("season_length", season_length, 1),
            ("batch_size", batch_size, 1),
            ("num_workers", num_workers, 0),
            ("passes", passes, 1),
            ("windows_per_epoch", 1 if windows_per_epoch is None else windows_per_epoch, 1),
        ):
            if not isinstance(size, int) or size < least:
                raise ConfigError(f"{name} must be a whole number, {least} or more, got {size!r}")
        for name, values, choices in (
            ("context", [context], get_args(Context)),
            ("scaler", [scaler], get_args(Scaler)),
            ("scale_by", [scale_by], get_args(ScaleBy)),
            ("fold_by", [fold_by], get_args(FoldBy)),
            ("window_sampling", [window_sampling], get_args(Sampled)),
            ("calendar", calendar, get_args(Cycle)),
        ):
            for value in values:
                if value not in choices:
                    raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        require_zone(time_zone)
        require_protocol(splits, test_size, gap, validation, val_fraction, train_size, val_size)
        if lookback != "full" and (not isinstance(lookback, int) or lookback < 1):
            raise ConfigError(f'lookback must be a positive number of rows or "full", got {lookback!r}')
        _require_min_history(min_history, lookback, context)
        if elapsed and recipe.regular and recipe.frequency != ROWS:
            raise ConfigError(
                "elapsed would be 1 in every row, since steps of the calendar that have no row are rows too: set "
                "frequency: rows, whose steps are the rows that are there, or leave elapsed out"
            )
        starts = [time_of("cutoffs", cutoff) for cutoff in cutoffs]
        if any(not earlier < later for earlier, later in pairwise(starts)):
            raise ConfigError(f"cutoffs must increase, got {', '.join(map(str, cutoffs))}")
        if cutoffs and fold_by == "series":
            raise ConfigError(
                "cutoffs are times, but fold_by: series counts the rows of each series from its own end: set splits "
                "and test_size instead, or fold_by: calendar"
            )
        if windows_per_epoch is not None and passes > 1:
            raise ConfigError(
                f"windows_per_epoch: {windows_per_epoch} bounds an epoch, and passes: {passes} repeats it: set one of "
                "them"
            )
        if windows_per_epoch is None and window_sampling != "by_length":
            raise ConfigError(
                f"window_sampling: {window_sampling} draws windows, but every epoch takes all of them: set "
                "windows_per_epoch too"
            )
        if lookback == "full" and stride != 1:
            raise ConfigError("stride is the distance of windows, but lookback: full makes one sequence of a fold")
        if lookback == "full" and recipe.missing == "interpolate":
            raise ConfigError(
                "missing: interpolate fills a gap by what comes after it, and with lookback: full every step in the "
                "gap is an origin that must not see that: set an integer lookback, or missing: ffill or mask"
            )
        self.recipe = recipe
        self.calendar = list(calendar)
        self.holidays = holidays
        self.time_zone = time_zone
        self.elapsed = elapsed
        self.horizon = horizon
        self.lookback = lookback
        self.min_history = min_history
        own = "inputs, those of calendar, holidays, elapsed, missing: mask and min_history included"
        unique_names(own, self._inputs() + recipe.static)
        self.stride = stride
        self.splits = len(cutoffs) or splits
        self.fold: int | Literal["all"] = self.splits if fold == "last" else fold
        self.test_size = test_size
        self.cutoffs = list(cutoffs)
        self.fold_by = fold_by
        self.train_size = train_size
        self.gap = gap
        self.validation = validation
        self.val_fraction = val_fraction
        self.val_size = val_size
        self.context = context
        self.scaler = scaler
        self.scale_by = scale_by
        self.season_length = season_length
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.passes = passes
        self.windows_per_epoch = windows_per_epoch
        self.window_sampling = window_sampling

    def __init_subclass__(cls) -> None:
        """Tells `inspect.signature`, and so `help` and messages, which options a class takes by way of `**options`."""
        super().__init_subclass__()
        own = dict(inspect.signature(cls.__init__).parameters)
        if own.pop("options", None) is not None:
            shared = inspect.signature(DataOptions).parameters
            own.update({name: each for name, each in shared.items() if name not in ("recipe", *own)})
            del own["self"]
            cls.__signature__ = inspect.Signature(list(own.values()))  # type: ignore[attr-defined]

    @property
    def features(self) -> list[str]:
        """Columns that are inputs and known up to the origin only."""
        return list(self.recipe.features)

    @property
    def targets(self) -> list[str]:
        """Columns to predict."""
        return list(self.recipe.targets)

    @property
    def first_target(self) -> int:
        """Number of training rows before the first training target."""
        return 1 if self.lookback == "full" else self.min_history or self.lookback

    def _known(self) -> tuple[str, ...]:
        """Names of what is known in advance: columns, and what follows from the times."""
        return (*self.recipe.known, *calendar_covariates(pd.DatetimeIndex([]), self.calendar, self.holidays).columns)

    def _inputs(self) -> tuple[str, ...]:
        """Names of the columns of `Batch.history`."""
        observed = [f"{name}_observed" for name in self.features] if self.recipe.missing == "mask" else []
        elapsed = [ELAPSED] if self.elapsed else []
        padded = [] if self.min_history is None else [PADDED]
        return (*self.features, *observed, *self._known(), *elapsed, *padded)


def _require_min_history(min_history: int | None, lookback: int | Literal["full"], context: Context) -> None:
    """Raises ConfigError for a number of rows that windows cannot be padded to."""
    if min_history is None:
        return
    if lookback == "full":
        raise ConfigError("min_history pads windows, but lookback: full makes one sequence of a fold: leave it out")
    if not isinstance(min_history, int) or not 1 <= min_history <= lookback:
        raise ConfigError(f"min_history must be a number of rows, 1 .. {lookback} (the lookback), got {min_history!r}")
    if context == "cold":
        raise ConfigError("min_history pads before the first row of a series, but context: cold begins at each range")
