"""Forecasts of test windows by trained networks, in batches."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from forecastlab.benchmarks.scores import LEVELS, Forecast, naive_forecast
from forecastlab.benchmarks.series import Floats, Integers, SeriesSet
from forecastlab.benchmarks.suites import Task
from forecastlab.benchmarks.windows import TestWindows
from forecastlab.data.panel import Panel
from forecastlab.data.recipe import Recipe
from forecastlab.data.tables import read_tables
from forecastlab.data.windows import Windows
from forecastlab.network.finite import require_finite
from forecastlab.network.network import WINDOWS_IN_A_BATCH, Network


class Forecasts:
    """The mean forecast of networks that differ in their seed only.

    Each window is forecast from the true rows before it. Where a network cannot, since a series is shorter than what it
    reads, or was not among those that trained it, the seasonal naive stands in its place, and is counted.

    Args:
        networks: trained ones, of the same config.
        task: what is forecast.
        series: its series.

    Attributes:
        fallen_back: how many windows the seasonal naive has forecast so far.
    """

    def __init__(self, networks: Sequence[Network], task: Task, series: SeriesSet) -> None:
        self.networks = networks
        self.task = task
        self.fallen_back = 0
        schema = networks[0].schema
        self.full = schema.lookback == "full"
        self.least = schema.least_history
        tables = read_tables(series.frame(series.lengths), Recipe.from_dict(schema.recipe))
        self.panel = Panel.of(tables, schema)
        found = {name: number for number, name in enumerate(self.panel.names)}
        if series.together:
            self.place = np.zeros(len(series.names), np.int64)
            self.target = np.array([schema.targets.index(name) for name in series.names])
        else:
            self.place = np.array([found.get(name, -1) for name in series.names])
            self.target = np.zeros(len(series.names), np.int64)
        unscaled = {number for network in networks for number in network.find_scalings(self.panel.names, False)}
        self.place[np.isin(self.place, list(unscaled))] = -1
        self.axis = [
            self.panel.labels.get_indexer(series.times(number, len(values)))
            for number, values in enumerate(series.values[:1] if series.together else series.values)
        ]

    def of(self, windows: TestWindows) -> Forecast:
        """The forecast of some windows.

        Args:
            windows: which.

        Raises:
            NotFiniteError: if a network forecasts what is not a number.
        """
        forecast = naive_forecast(self.task, windows)
        place, row = self.place[windows.number], self._rows(windows)
        able = (place >= 0) & (row >= 0)
        able &= row - self.panel.rows.first.numpy()[place] + 1 >= self.least
        self.fallen_back += int((~able).sum())
        if able.any():
            pairs, inverse = np.unique(np.stack([place[able], row[able]]), axis=1, return_inverse=True)
            point, quantiles = self._mean(*pairs)
            target = self.target[windows.number[able]]
            forecast.point[able] = point[inverse, :, target]
            forecast.quantiles[able] = quantiles[inverse, :, target]
        return forecast

    def _rows(self, windows: TestWindows) -> Integers:
        """(windows,): the row of each origin on the axis of the panel; -1 where there is none."""
        row = np.full(len(windows), -1)
        if len(self.axis) == 1:
            return np.asarray(self.axis[0][windows.origin - 1])
        for number in np.unique(windows.number):
            own = windows.number == number
            row[own] = self.axis[number][windows.origin[own] - 1]
        return row

    def _mean(self, place: Integers, row: Integers) -> tuple[Floats, Floats]:
        """The mean forecasts, (origins, horizon, targets), and quantiles, (origins, horizon, targets, levels)."""
        rows = self.panel.rows
        series, ends = torch.from_numpy(place), torch.from_numpy(row)
        begins = rows.first[series] if self.full else ends + 1 - int(self.panel.schema.lookback)
        windows = Windows(rows, series, begins, ends, ends)
        points, quantiles = [], []
        for chosen in torch.arange(len(windows)).split(1 if self.full else WINDOWS_IN_A_BATCH):
            forecasts = [self._predicted(network, windows, chosen.tolist()) for network in self.networks]
            points.append(np.mean([point for point, _ in forecasts], 0))
            quantiles.append(np.mean([quantile for _, quantile in forecasts], 0))
        return np.concatenate(points), np.concatenate(quantiles)

    def _predicted(self, network: Network, windows: Windows, chosen: list[int]) -> tuple[Floats, Floats]:
        batch = windows[chosen]
        with network.evaluating():
            prediction = network.predict(batch)
        require_finite(prediction, batch, network, self.panel.names, self.panel.times)
        point = prediction.forecast[:, -1].numpy()
        known = prediction.quantiles[:, -1].numpy()
        return point, _at_levels(point, known, network.levels)


def _at_levels(point: Floats, known: Floats, levels: Sequence[float]) -> Floats:
    """The quantiles of `LEVELS`; the point forecast for those that a network does not have.

    Args:
        point: (origins, horizon, targets)
        known: (origins, horizon, targets, levels)
        levels: what the network has.
    """
    taken: list[NDArray[np.float64]] = []
    for level in LEVELS:
        same = [place for place, own in enumerate(levels) if abs(own - level) < 1e-6]
        taken.append(known[..., same[0]] if same else point)
    return np.stack(taken, -1)
