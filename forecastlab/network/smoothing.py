"""Level and seasons of each window by exponential smoothing, whose coefficients a network learns (ES-RNN)."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from forecastlab.network.anchor import rows_there
from forecastlab.network.columns import taken
from forecastlab.network.window_norm import LEAST

Kind = Literal["none", "shared", "series"]
FIRST_LEVEL, FIRST_SEASON = 0.3, 0.1
"""The coefficients with which a training begins."""


class Smoothed(NamedTuple):
    """Windows without their level and seasons; all but `own` are in original units or have none."""

    own: Tensor
    """(batch, time, targets): the targets' past, relative to level and seasons, in the window's unit."""
    ahead: Tensor
    """(batch, 1, horizon, targets): level times seasons of the forecast steps."""
    here: Tensor
    """(batch, 1, targets): the same of the origin."""
    unit: Tensor
    """(batch, 1, targets): the mean size of the smoothing's relative errors in the window."""


class Smoothing(nn.Module):
    """Takes the level and the seasons out of a window, and gives them back to its forecast.

        l_t = a y_t / (s_t u_t) + (1 - a) l_{t-1}           level
        s_{t+m} = b y_t / (l_t u_t) + (1 - b) s_t           season of m rows, if there is one
        u_{t+n} = c y_t / (l_t s_t) + (1 - c) u_t           a second season of n rows, if there is one
        d = mean of |log(y_t / (l_{t-1} s_t u_t))|          unit of the window
        input_t = log(y_t / (l_T s_t u_t)) / d
        forecast_{T+h} = l_T s_{T+h} u_{T+h} (1 + d output_h)

    That is the multiplicative smoothing of Holt and Winters, around any network, as in the ES-RNN that won the M4
    competition (Smyl 2020, doi:10.1016/j.ijforecast.2019.03.017). a, b and c are logistic functions of parameters that
    are learned with the network's weights: one set for all series, and with "series" a deviation of each series from
    it, which begins with 0. A new series has none. The smoothing runs over the rows of each window alone, and so sees
    no row after the origin. It begins with y_1 / (s_1 u_1), and with the seasons of the window's first two whole
    seasons: values relative to a curve that grows evenly from the mean of one to that of the other. Of a single season
    it takes the values relative to their mean. The paper learns the first seasons of each series; it has no unit d, and
    takes the exponential of the output.

    No gradient passes through d. Rows that pad a window do not count, and are 0. Values must be above 0: others give
    forecasts that are not finite.

    Args:
        columns: positions of the targets among the features, in the targets' order.
        seasons: rows in each season, ascending; () smooths the level alone.
        horizon: number of forecast steps.
        series: number of series with deviations of their own; 0 for none.
        padded: position of the feature that is 1 where a row pads the window; None without such a feature.
    """

    series: nn.Parameter | None
    """(series, targets, coefficients): each series' deviation; None without any."""

    def __init__(
        self, columns: Sequence[int], seasons: Sequence[int], horizon: int, series: int = 0, padded: int | None = None
    ) -> None:
        super().__init__()
        self.columns = list(columns)
        self.seasons = list(seasons)
        self.horizon = horizon
        self.padded = padded
        first = torch.tensor([_logit(FIRST_LEVEL), *[_logit(FIRST_SEASON)] * len(self.seasons)])
        self.shared = nn.Parameter(first.repeat(len(self.columns), 1))
        self.series = nn.Parameter(torch.zeros(series, *self.shared.shape)) if series else None

    def coefficients(self, series: Tensor) -> Tensor:
        """The coefficients a, b, c of some series, in double precision.

        Args:
            series: (batch,), integer: rows of the series; -1 for new ones.

        Returns:
            (batch, targets, coefficients)
        """
        logits = self.shared.double().expand(series.shape[0], -1, -1)
        if self.series is not None:
            logits = logits + self.series.double()[series.clamp(min=0)] * (series >= 0)[:, None, None]
        return logits.sigmoid()

    def forward(self, history: Tensor, series: Tensor) -> Smoothed:
        """Smooths windows.

        Args:
            history: (batch, time, features), in original units and in double precision.
            series: (batch,), integer: rows of the series; -1 for new ones.
        """
        y, there = taken(history, self.columns), rows_there(history, self.padded)
        level_rate, *season_rates = self.coefficients(series).unbind(-1)
        seasons = self._first_seasons(y, there)
        level, products, before = y[:, 0], [], []
        for row in range(y.shape[1]):
            factors = [season[row % len(season)] for season in seasons]
            product = _product(factors, y[:, row])
            fresh = y[:, row] / product
            before.append(level)
            products.append(product)
            level = fresh if row == 0 else level_rate * fresh + (1 - level_rate) * level
            if self.padded is not None and row:  # the first row that is there begins anew
                level = level.where(there[:, row - 1] > 0, fresh)
            for number, (season, rate) in enumerate(zip(seasons, season_rates, strict=True)):
                others = _product(factors[:number] + factors[number + 1 :], y[:, row])
                changed = rate * y[:, row] / (level * others) + (1 - rate) * factors[number]
                season[row % len(season)] = changed.where(there[:, row] > 0, factors[number])
        steps = range(y.shape[1], y.shape[1] + self.horizon)
        ahead = [level * _product([season[step % len(season)] for season in seasons], level) for step in steps]
        product = torch.stack(products, 1)
        change = (y / product).log()
        unit = _mean_size(change - torch.stack(before, 1).log(), there).clamp(min=LEAST).detach()
        own = (change - level[:, None].log()) / unit * there
        return Smoothed(own, torch.stack(ahead, 1)[:, None], (level * products[-1])[:, None], unit)

    def _first_seasons(self, y: Tensor, there: Tensor) -> list[list[Tensor]]:
        """For each season its factors, (batch, targets) each, at the rows of the window's first season."""
        found = []
        begin = there.shape[1] - there.sum((1, 2)).long()
        for rows in self.seasons:
            season = _first_season(y, begin, rows)
            times = -(-y.shape[1] // rows)
            y = y / season.repeat(1, times, 1)[:, : y.shape[1]]  # a longer season is that of what is left
            found.append(list(season.unbind(1)))
        return found


def _first_season(y: Tensor, begin: Tensor, rows: int) -> Tensor:
    """The factors of a season, (batch, rows, targets), from the first two whole ones; 1 if there is none.

    Args:
        y: (batch, time, targets): windows.
        begin: (batch,), integer: the first row that does not pad each window.
        rows: rows in a season.
    """
    time, steps = y.shape[1], torch.arange(2 * rows, device=y.device)
    places = (begin[:, None] + steps).clamp(max=time - 1)[..., None].expand(-1, -1, y.shape[2])
    two = y.gather(1, places).unflatten(1, (2, rows))
    ends = begin[:, None] + rows * torch.arange(1, 3, device=y.device)
    whole = (ends <= time).to(y)[..., None, None]
    count = whole.sum(1)
    mean = two.mean(2, keepdim=True)
    growth = (mean[:, 1:] / mean[:, :1]).where(whole[:, 1:] > 0, torch.ones_like(mean[:, :1]))
    place = ((torch.arange(rows, dtype=y.dtype, device=y.device) - (rows - 1) / 2) / rows)[:, None]
    factors: Tensor = (two / (mean * growth**place) * whole).sum(1) / count.clamp(min=1)
    factors = factors.where(count > 0, torch.ones_like(factors))
    turned = (torch.arange(rows, device=y.device) - begin[:, None]) % rows  # counted from the window's first row
    return factors.gather(1, turned[..., None].expand(-1, -1, y.shape[2]))


def _product(factors: Sequence[Tensor], like: Tensor) -> Tensor:
    """The product of some tensors; 1 for none."""
    product: Tensor = math.prod(factors, start=torch.ones_like(like))
    return product


def _mean_size(errors: Tensor, there: Tensor) -> Tensor:
    """The mean magnitude of the errors of all rows but the first that is there, (batch, 1, targets)."""
    counted = there.clone()
    counted[:, 0] = 0
    counted[:, 1:] = counted[:, 1:] * there[:, :-1]
    return (errors.abs() * counted).sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp(min=1)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
