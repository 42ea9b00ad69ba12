"""`Scores`: the figures of a task, summed up over its windows as GIFT-Eval, fev and the M4 competition define them."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from forecastlab.benchmarks.naive import naive2
from forecastlab.benchmarks.series import Floats, SeriesSet
from forecastlab.benchmarks.suites import AtTheEnd, Sliding, Task
from forecastlab.benchmarks.windows import TestWindows

LEVELS = tuple(round(0.1 * number, 1) for number in range(1, 10))
"""The levels of WQL and SQL."""
_DEVIATIONS = np.array([NormalDist().inv_cdf(level) for level in LEVELS])


@dataclass(frozen=True, eq=False)
class Forecast:
    """What is forecast in some windows, in original units.

    Attributes:
        point: (windows, horizon)
        quantiles: (windows, horizon, levels), of `LEVELS`.
    """

    point: Floats
    quantiles: Floats


def naive_forecast(task: Task, windows: TestWindows) -> Forecast:
    """The seasonal naive of a task.

    Args:
        task: its season, and whether there are quantiles.
        windows: what is forecast.
    """
    point, deviation = windows.seasonal_naive(task.season)
    return Forecast(point, point[..., None] + (deviation[..., None] if task.spread else 0.0) * _DEVIATIONS)


class Scores:
    """The figures of a task.

    A missing truth is not scored, nor is an error by a scale that is 0 or unknown in MASE and SQL. All others count the
    same, but WQL, which divides the sum of all quantile losses by that of all truths.

    Args:
        task: what is scored.
        series: its series.
    """

    def __init__(self, task: Task, series: SeriesSet) -> None:
        self.task = task
        self.series = series
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, windows: TestWindows, forecast: Forecast) -> None:
        """Adds the errors of some windows.

        Args:
            windows: what was forecast.
            forecast: how.
        """
        truth = windows.truth()
        error = truth - forecast.point
        if isinstance(self.task.test, Sliding):
            deviation = np.array([values[: self.task.test.train].std() for values in self.series.values])
            scaled = error / deviation[windows.number, None]
            self._add("MSE", scaled**2)
            self._add("MAE", np.abs(scaled))
            return
        scale = windows.seasonal_error(self.task.season)[:, None]
        loss = 2 * np.abs(
            (truth[..., None] - forecast.quantiles) * ((truth[..., None] <= forecast.quantiles) - np.array(LEVELS))
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            self._add("MASE", np.abs(error) / scale)
            self._add("SQL", loss.mean(-1) / scale)
            self._add("sMAPE", 200 * np.abs(error) / (np.abs(truth) + np.abs(forecast.point)))
        self._add("loss", loss.mean(-1))
        self._add("truth", np.abs(truth))

    def figures(self) -> dict[str, float]:
        """The figures of the task by name, in its order."""
        means = {name: total / max(self._counts[name], 1) for name, total in self._sums.items()}
        if "loss" in means:
            means["WQL"] = self._sums["loss"] / self._sums["truth"]
        if "OWA" in self.task.figures:
            reference = naive2_scores(self.task, self.series)
            means["OWA"] = (means["sMAPE"] / reference["sMAPE"] + means["MASE"] / reference["MASE"]) / 2
        return {name: means[name] for name in self.task.figures}

    def _add(self, name: str, values: Floats) -> None:
        finite = np.isfinite(values)
        self._sums[name] = self._sums.get(name, 0.0) + float(np.where(finite, values, 0).sum())
        self._counts[name] = self._counts.get(name, 0) + int(finite.sum())


def naive_scores(task: Task, series: SeriesSet) -> dict[str, float]:
    """The figures of the seasonal naive of a task.

    Args:
        task: what is scored.
        series: its series.
    """
    scores = Scores(task, series)
    for part in TestWindows.of(task, series).parts():
        scores.add(part, naive_forecast(task, part))
    return scores.figures()


def naive2_scores(task: Task, series: SeriesSet) -> dict[str, float]:
    """The sMAPE and MASE of the M4 competition's Naive2, by which OWA divides.

    Args:
        task: one of the competition.
        series: its series.
    """
    assert isinstance(task.test, AtTheEnd)
    windows = TestWindows.of(task, series)
    pasts = [series.values[number][:origin] for number, origin in zip(windows.number, windows.origin, strict=True)]
    point = np.stack([naive2(past, task.season, task.horizon) for past in pasts])
    truth, scale = windows.truth(), windows.seasonal_error(task.season)[:, None]
    error = np.abs(truth - point)
    return {
        "sMAPE": float((200 * error / (np.abs(truth) + np.abs(point))).mean()),
        "MASE": float((error / scale).mean()),
    }
