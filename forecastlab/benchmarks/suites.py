"""The suites: which tasks they have, and how each is tested."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from forecastlab.benchmarks.files import path_of
from forecastlab.benchmarks.series import (
    ETT,
    Integers,
    Reader,
    SeriesSet,
    ett,
    hourly_means,
    m4,
    monash,
    monthly_means,
    numbers,
)
from forecastlab.errors import ConfigError

Figure = Literal["MASE", "WQL", "SQL", "sMAPE", "OWA", "MSE", "MAE"]


@dataclass(frozen=True)
class DataSet:
    """A published data set.

    Attributes:
        files: keys of `FILES`.
        read: makes the series out of them.
    """

    files: tuple[str, ...]
    read: Reader

    def load(self, folder: Path | None) -> SeriesSet:
        """Reads the series.

        Args:
            folder: as for `path_of`.

        Raises:
            DataError: if a file cannot be had.
        """
        return self.read([path_of(name, folder) for name in self.files])


@dataclass(frozen=True)
class AtTheEnd:
    """Windows at the end of each series, one horizon apart.

    Attributes:
        windows: how many.
    """

    windows: int


@dataclass(frozen=True)
class Sliding:
    """Every window of stride 1 whose targets are test rows.

    Attributes:
        train: rows by whose mean and standard deviation (ddof 0) each column is scaled.
        begin: the first test row.
        end: one past the last test row.
    """

    train: int
    begin: int
    end: int


@dataclass(frozen=True)
class Task:
    """A data set and what is asked of a forecast of it.

    Attributes:
        name: as the suite calls it.
        data: the series.
        horizon: steps that are forecast.
        test: where the test windows are.
        season: rows of the seasonal naive, and of the scale of MASE.
        figures: what it is scored by; the first is fev's `test_error`.
        spread: whether the seasonal naive has quantiles, those of a normal distribution, as in GIFT-Eval; if not,
            each is the point.
        development: whether defaults may be derived on it.
    """

    name: str
    data: DataSet
    horizon: int
    test: AtTheEnd | Sliding
    season: int
    figures: tuple[Figure, ...] = ("MASE", "WQL", "SQL")
    spread: bool = False
    development: bool = False

    def rows_before(self, series: SeriesSet) -> Integers:
        """(series,): the rows of each series before its first test window, which alone may train a network."""
        if isinstance(self.test, Sliding):
            return np.full(len(series.names), self.test.begin)
        return series.lengths - self.test.windows * self.horizon


@dataclass(frozen=True)
class Suite:
    """Tasks that are summed up together.

    Attributes:
        name: what the command calls it.
        tasks: by name.
        baseline: the model by whose errors others are divided.
        source: where the figures of others were published, with the commit.
    """

    name: str
    baseline: str
    source: str
    tasks: Mapping[str, Task] = field(default_factory=dict)

    def chosen(self, names: Sequence[str] | None) -> list[Task]:
        """The tasks of these names; all of them for None.

        Raises:
            ConfigError: for an unknown name.
        """
        if unknown := [name for name in names or () if name not in self.tasks]:
            raise ConfigError(f"--tasks: {self.name} has no task {unknown[0]!r}; it has {', '.join(self.tasks)}")
        return [task for name, task in self.tasks.items() if names is None or name in names]


def suite_of(name: str) -> Suite:
    """The suite of a name.

    Raises:
        ConfigError: for an unknown name.
    """
    if name not in SUITES:
        raise ConfigError(f"expected a suite, one of {', '.join(SUITES)}, got {name!r}")
    return SUITES[name]


@cache
def load(task: Task, folder: Path | None) -> SeriesSet:
    """The series of a task, read once."""
    return task.data.load(folder)


def _named(tasks: Sequence[Task]) -> dict[str, Task]:
    return {task.name: task for task in tasks}


def _of_gift() -> list[Task]:
    terms = {"short": 1, "medium": 10, "long": 15}
    windows = {"15T": (20, 15, 10), "H": (20, 4, 3), "10T": (20, 11, 8)}
    tasks = []

    def add(name: str, data: DataSet, base: int, season: int, counts: Sequence[int], development: bool = False) -> None:
        for (term, times), count in zip(terms.items(), counts, strict=False):
            tasks.append(
                Task(
                    f"{name}/{term}",
                    data,
                    base * times,
                    AtTheEnd(count),
                    season,
                    spread=True,
                    development=development,
                )
            )

    for number in ("1", "2"):
        files = (f"ettm{number}",)
        add(f"ett{number}/15T", DataSet(files, numbers("2016-07-01", "15min", ETT)), 48, 96, windows["15T"])
        add(f"ett{number}/H", DataSet(files, hourly_means(ETT)), 48, 24, windows["H"])
    add("hospital/M", DataSet(("hospital",), monash("MS")), 12, 12, (1,))
    add("saugeen/D", DataSet(("saugeenday",), monash("D")), 30, 1, (20,))
    add("saugeen/M", DataSet(("saugeenday",), monthly_means), 12, 12, (7,))
    add("us_births/D", DataSet(("us_births",), monash("D")), 30, 1, (20,), True)
    add("m4_hourly/H", DataSet(("m4_hourly",), monash("h")), 48, 24, (1,))
    add("m4_weekly/W", DataSet(("m4_weekly",), monash("")), 13, 1, (1,))
    add("jena_weather/10T", DataSet(("weather",), numbers("2020-01-01 00:10", "10min")), 48, 144, windows["10T"])
    return tasks


def _of_chronos() -> list[Task]:
    def task(name: str, data: DataSet, horizon: int, season: int, development: bool = False) -> Task:
        return Task(name, data, horizon, AtTheEnd(1), season, development=development)

    tasks = [
        task("monash_hospital", DataSet(("hospital",), monash("MS")), 12, 12),
        task("monash_fred_md", DataSet(("fred_md",), monash("MS")), 12, 12),
    ]
    for group, horizons in {"tourism": (24, 8, 4), "m1": (18, 8, 6), "m3": (18, 8, 6)}.items():
        steps = {"monthly": ("MS", 12), "quarterly": ("QS", 4), "yearly": ("YS", 1)}
        for (step, (frequency, season)), horizon in zip(steps.items(), horizons, strict=True):
            development = (group != "tourism" and step == "monthly") or step == "quarterly"
            data = DataSet((f"{group}_{step}",), monash(frequency))
            tasks.append(task(f"monash_{group}_{step}", data, horizon, season, development))
    tasks.append(task("ETTh", DataSet(("etth1", "etth2"), ett(together=False)), 24, 24))
    tasks.append(task("exchange_rate", DataSet(("exchange_rate",), numbers("1990-01-01", "B")), 30, 5))
    return tasks


def _of_m4() -> list[Task]:
    figures: tuple[Figure, ...] = ("OWA", "sMAPE", "MASE")
    return [
        Task("hourly", DataSet(("m4_hourly_train", "m4_hourly_test"), m4), 48, AtTheEnd(1), 24, figures),
        Task("weekly", DataSet(("m4_weekly_train", "m4_weekly_test"), m4), 13, AtTheEnd(1), 1, figures),
    ]


def _of_ltsf() -> list[Task]:
    month = 30 * 24
    hours, quarters = Sliding(12 * month, 16 * month, 20 * month), Sliding(48 * month, 64 * month, 80 * month)
    sets = {
        "ETTh1": (DataSet(("etth1",), ett()), hours),
        "ETTh2": (DataSet(("etth2",), ett()), hours),
        "ETTm1": (DataSet(("ettm1",), numbers("2016-07-01", "15min", ETT)), quarters),
        "ETTm2": (DataSet(("ettm2",), numbers("2016-07-01", "15min", ETT)), quarters),
        "weather": (DataSet(("weather",), numbers("2020-01-01 00:10", "10min")), _shares(52696)),
        "exchange_rate": (DataSet(("exchange_rate",), numbers("1990-01-01", "D")), _shares(7588)),
        "illness": (DataSet(("illness",), numbers("2002-01-01", "7D")), _shares(966)),
    }
    return [
        Task(f"{name}/{horizon}", data, horizon, test, 1, ("MSE", "MAE"), development=name == "illness")
        for name, (data, test) in sets.items()
        for horizon in ((24, 36, 48, 60) if name == "illness" else (96, 192, 336, 720))
    ]


def _shares(rows: int) -> Sliding:
    """70 % of the rows train, 20 % test, and what is between them validates."""
    return Sliding(int(rows * 0.7), rows - int(rows * 0.2), rows)


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            "gift-offline",
            "seasonal_naive",
            "SalesforceAIResearch/gift-eval, commit 4fd98a9",
            _named(_of_gift()),
        ),
        Suite("chronos-zs", "seasonal_naive", "autogluon/fev, commit 1bc95fd", _named(_of_chronos())),
        Suite("m4", "seasonal_naive", "Mcompetitions/M4-methods, commit 6c1067e", _named(_of_m4())),
        Suite(
            "ltsf",
            "naive",
            "lss-1138/SegRNN, commit 8e869ec; Eleanorkong/P-sLSTM, commit b557bd8; the papers of the others",
            _named(_of_ltsf()),
        ),
    )
}
"""The suites by name."""
