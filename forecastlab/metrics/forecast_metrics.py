"""`ForecastMetrics`: all figures of a test, each computed per series and target first."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from forecastlab.batch import Reference
from forecastlab.losses import pinball
from forecastlab.metrics.interval import covered, symmetric_pairs, winkler_score
from forecastlab.metrics.percentage import percentage_error, symmetric_percentage_error
from forecastlab.metrics.quantile import crps_of_quantiles, determines_crps

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Part = Literal["series", "target", "horizon", "month"]

PARTS: tuple[Part, ...] = get_args(Part)
"""By what the figures can be split."""
COLUMN: dict[Part, str] = {"series": "unique_id", "target": "target", "horizon": "step", "month": "month"}
"""Names of the parts' columns."""
UNITS = ("mse_scaled", "mase", "rmsse")
"""Figures that are in units of the training rows; their medians over the series stand beside their means."""
IN_UNIT = ("mae", "rmse", "pinball", "crps", "width", "winkler")
"""Figures in the target's own unit, which are not averaged over several targets."""
MONTHS = 12


class _Sums(NamedTuple):
    """Sums over the scored values of some cells: a series, a target, a step and a month each."""

    cell: Integers
    """(cells,): number of each, ascending."""
    columns: Floats
    """(cells, columns)"""


class _Each(NamedTuple):
    """The figures of every series and target, and perhaps of parts of these; (rows,) each."""

    series: Integers
    target: Integers
    part: Integers
    scored: Floats
    """How many values were scored."""
    figures: Mapping[str, Floats]
    has_unit: Mapping[str, NDArray[np.bool_]]

    def mean_over(self, place: Integers, parts: int = 0) -> dict[str, Floats]:
        """The means over the rows of each part, (parts,), NaN where no row has a unit.

        Args:
            place: (rows,): number of the part that a row belongs to.
            parts: how many there are; 0 for as many as occur.
        """
        parts = parts or int(place.max()) + 1

        def total(values: NDArray[Any]) -> Floats:
            return np.bincount(place, values, parts).astype(np.float64)

        def mean(values: Floats, kept: NDArray[np.bool_]) -> Floats:
            with np.errstate(invalid="ignore"):
                return total(np.where(kept, values, 0.0)) / total(kept)

        every = np.ones(len(place), np.bool_)
        means = {name: mean(values, self.has_unit.get(name, every)) for name, values in self.figures.items()}
        in_units = self.has_unit["mse_scaled"]
        # the unit of a single series cancels
        alone = (np.bincount(place, minlength=parts) == 1)[place]
        with np.errstate(divide="ignore", invalid="ignore"):
            error, reference = (mean(self.figures[name], in_units | alone) for name in ("mse_scaled", "persistence"))
            skill = 1 - error / reference
            absolute, size = total(self.figures["absolute"]), total(self.figures["size"])
            wape = 100 * np.where(absolute == 0, 0.0, absolute / size)
        ordered = {}
        for name, values in means.items():
            if name == "persistence":
                ordered["skill"] = skill
            elif name == "absolute":
                ordered["wape"] = wape
            elif name != "size":
                ordered[name] = values
        return ordered


class ForecastMetrics:
    """The metrics of a test over all scored values; networks and baselines share them.

    Each is computed per series and target, and then averaged over these (a macro mean). So every series counts the
    same, whatever its length and unit. `mse_scaled`, the MSE divided by the variance of the series' training rows;
    `mae` and `rmse`, in the target's own unit; `mase` and `rmsse`, in units of the seasonal naive error on the series'
    training rows; `skill`, 1 minus the mean `mse_scaled` divided by persistence's; `mape` and `smape`, in percent.
    `wape` is pooled: 100 times the sum of all absolute errors of a target, divided by the sum of its absolute truths.
    Quantiles have `pinball`, and `crps` where they, or the network's distribution, determine it. Their central
    interval, between the outermost two symmetric levels, has `coverage`, `width` and `winkler`.

    Metrics in the target's own unit are not averaged over several targets; each target has its own, such as
    `mae/<target>`. With more than one series `mse_scaled_median`, `mase_median` and `rmsse_median` are medians over the
    series and targets.

    A series (of a target) has no unit if its training rows are constant or missing. The scaled metrics leave it out.
    `series_scored` counts the series and targets with a scored value, `series_in_units` those that also have a
    variance. Scaled metrics are infinite if no series has a unit.

    All sums are float64 on the CPU, whatever the device of the forecasts.

    Args:
        reference: the units of the scaled ones.
        levels: probability levels of the quantiles in `update`, ascending; empty without quantiles.
        targets: names of the targets; None for the numbers from 1.
        months: (rows + horizon,), integer: the month, 1 to 12, of each row of the axis; needed for `by("month")` only.
    """

    def __init__(
        self,
        reference: Reference,
        levels: Sequence[float] = (),
        targets: Sequence[str] | None = None,
        months: NDArray[Any] | None = None,
    ) -> None:
        self._units = [part.double().cpu().numpy() for part in reference]
        series, width = self._units[0].shape
        self.series = series
        self.targets = [str(number + 1) for number in range(width)] if targets is None else list(targets)
        self.levels = tuple(levels)
        self.pairs = symmetric_pairs(self.levels)
        self._months = None if months is None else torch.as_tensor(np.asarray(months, dtype=np.int64))
        self._horizon = 1
        self._names: tuple[str, ...] = ()
        self._parts: list[_Sums] = []
        self._whole: _Sums

    def update(
        self,
        forecast: Tensor,
        target: Tensor,
        weight: Tensor,
        last: Tensor,
        series: Tensor,
        quantiles: Tensor | None = None,
        *,
        index: Tensor | None = None,
        crps: Tensor | None = None,
    ) -> None:
        """Adds forecasts.

        Args:
            forecast: (batch, ..., horizon, targets), in original units.
            target: the truth, of the same shape.
            weight: of the same shape; 0 where a value is not scored.
            last: (batch, ..., targets): the target's own value at the origin.
            series: (batch,), integer: row of the reference.
            quantiles: (batch, ..., horizon, targets, levels), in original units; None without levels.
            index: (batch, ...), integer: table row of the origin, from which the month follows.
            crps: the score of the network's own distribution, of the shape of the forecast, in original units. None for
                the score of the quantiles.

        Raises:
            ValueError: if there are quantiles without levels, or levels without quantiles.
        """
        if (0 if quantiles is None else quantiles.shape[-1]) != len(self.levels):
            came = "none" if quantiles is None else f"{quantiles.shape[-1]}"
            raise ValueError(f"expected the quantiles of the levels {list(self.levels)}, got {came}")
        scored = (weight > 0).flatten().nonzero()[:, 0]

        def taken(values: Tensor) -> Tensor:
            return values.expand_as(target).flatten()[scored].detach().cpu()

        self._horizon = target.shape[-2]
        cell = taken(self._cells(target, series, index)).numpy()
        y, point, persistence = (taken(part).double() for part in (target, forecast, last.unsqueeze(-2)))
        error = point - y
        columns = {
            "count": torch.ones_like(error),
            "squared": error.square(),
            "absolute": error.abs(),
            "persistence": (persistence - y).square(),
            "size": y.abs(),
            "mape": percentage_error(point, y),
            "smape": symmetric_percentage_error(point, y),
        }
        if quantiles is not None and self.levels:
            columns |= self._of_quantiles(quantiles.flatten(0, -2)[scored].detach().cpu().double(), y)
        if crps is not None:
            columns["crps"] = taken(crps).double()
        self._names = tuple(columns)
        self._parts.append(_summed(cell, torch.stack(list(columns.values()), -1).numpy()))

    def compute(self) -> dict[str, Tensor]:
        """The figures by name, `test/...`, over all values so far and over all devices, float64."""
        self._whole = _summed(*map(np.concatenate, zip(*self._gathered(), strict=True)))
        each = self._each()
        seen = np.unique(each.target)
        whole, of_target = each.mean_over(np.zeros(len(each.series), np.int64), 1), each.mean_over(each.target)
        figures: dict[str, float] = {}
        for name, (value,) in whole.items():
            if name in UNITS and not each.has_unit[name].any():
                figures[name] = np.inf
            elif name == "wape":  # sums of different units are not added up
                figures[name] = float(of_target[name][seen].mean())
            elif name in IN_UNIT and len(self.targets) > 1:
                figures |= {f"{name}/{self.targets[number]}": of_target[name][number] for number in seen}
            elif not name.startswith("coverage-"):
                figures[name] = value
        if self.series * len(self.targets) > 1:
            figures["series_scored"] = len(each.series)
            figures["series_in_units"] = int(each.has_unit["mse_scaled"].sum())
        if self.series > 1:
            for name in UNITS:
                kept = each.figures[name][each.has_unit[name]]
                figures[f"{name}_median"] = float(np.median(kept)) if len(kept) else np.inf
        return {f"test/{name}": torch.tensor(float(value), dtype=torch.float64) for name, value in figures.items()}

    def by(self, part: Part, names: Sequence[str]) -> pd.DataFrame:
        """The figures of each series, target, step of the horizon or month of the year, separately for each target.

        Call it after `compute`.

        Args:
            part: what the rows are.
            names: the series' names.

        Returns:
            A row per target and part with the columns `target` and `unique_id`, `step` or `month`, `values` (the number
            of scored values), the figures (NaN without a unit), and the coverage of each interval, such as
            `coverage-90`.
        """
        each = self._each(None if part in ("series", "target") else part)
        further = {"series": each.series, "target": each.target, "horizon": each.part, "month": each.part}[part]
        rows, place = np.unique(np.stack([each.target, further]), axis=1, return_inverse=True)
        table = pd.DataFrame(each.mean_over(place.reshape(-1)))
        table = table.drop(columns=[name for name in ("coverage",) if name in table])
        table.insert(0, "values", np.bincount(place.reshape(-1), each.scored).astype(np.int64))
        if part == "series":
            table.insert(0, "unique_id", [names[number] for number in rows[1]])
        elif part != "target":
            table.insert(0, COLUMN[part], rows[1] + 1)
        table.insert(0, "target", [self.targets[number] for number in rows[0]])
        return table

    @property
    def scored_series(self) -> int:
        """The number of series with a scored value; known after `compute`."""
        return len(np.unique(self._each().series))

    def notes(self, names: Sequence[str]) -> list[str]:
        """Notes for the reader of the figures: which series are not scored, and which have no unit.

        Call it after `compute`.

        Args:
            names: the series' names.
        """
        each, notes = self._each(), []
        scored = set(each.series.tolist())
        if without := [name for number, name in enumerate(names) if number not in scored]:
            notes.append(
                f"the test scores {len(scored)} of {len(names)} series; not scored, for they have no target in its "
                f"range: {listed(without)}"
            )
        for figure, figures in (("mse_scaled", "test/mse_scaled and test/skill"), ("mase", "test/mase and test/rmsse")):
            lacking = np.flatnonzero(~each.has_unit[figure])
            if len(lacking) and len(each.series) > 1:
                labels = [self._label(names, each.series[number], each.target[number]) for number in lacking]
                notes.append(
                    f"{figures} are over {len(each.series) - len(lacking)} of {len(each.series)} series; left out, for "
                    f"their training rows are constant, too few or not there: {listed(labels)}"
                )
        return notes

    def _label(self, names: Sequence[str], series: int, target: int) -> str:
        several = len(self.targets) > 1
        return f"{self.targets[target]} of {names[series]}" if several else names[series]

    def _cells(self, target: Tensor, series: Tensor, index: Tensor | None) -> Tensor:
        """The number of each value's cell, of the target's shape."""
        horizon, targets = target.shape[-2:]
        device = target.device
        column = torch.arange(targets, device=device)
        step = torch.arange(horizon, device=device)[:, None]
        cell = series.view(-1, *[1] * (target.dim() - 1)) * targets + column
        month = torch.zeros_like(step)
        if self._months is not None and index is not None:
            self._months = self._months.to(device)
            month = self._months[index[..., None, None] + step + 1] - 1
        return (cell * horizon + step) * MONTHS + month

    def _of_quantiles(self, quantiles: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The scores of quantiles, (values, levels)."""
        levels = torch.tensor(self.levels, dtype=torch.float64)
        columns = {"pinball": pinball(quantiles, y, levels).mean(-1)}
        if determines_crps(self.levels):
            columns["crps"] = crps_of_quantiles(quantiles, y, levels)
        for low, high in self.pairs:
            percent = f"{round(100 * (self.levels[high] - self.levels[low]), 6):g}"
            columns[f"coverage-{percent}"] = covered(quantiles[:, low], quantiles[:, high], y)
        if self.pairs:
            lower, upper = (quantiles[:, position] for position in self.pairs[0])
            columns["width"] = upper - lower
            columns["winkler"] = winkler_score(lower, upper, y, 2 * self.levels[self.pairs[0][0]])
        return columns

    def _gathered(self) -> list[_Sums]:
        """The sums of all devices, in the order of their ranks, so that every device gets the same total."""
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return self._parts
        every: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(every, (self._names, self._horizon, self._parts))
        self._names, self._horizon = max((names, horizon) for names, horizon, _ in every)  # a device may have no values
        return [part for _, _, parts in every for part in parts]

    def _each(self, part: Part | None = None) -> "_Each":
        """The figures of every series and target, and of every step or month of these."""
        sums = self._whole
        rest, month = np.divmod(sums.cell, MONTHS)
        rest, step = np.divmod(rest, self._horizon)
        further = {"horizon": step, "month": month}.get(part or "", np.zeros_like(step))
        most = max(self._horizon, MONTHS)
        group, columns = _summed(rest * most + further, sums.columns)
        rest, further = np.divmod(group, most)
        series, target = np.divmod(rest, len(self.targets))
        totals = dict(zip(self._names, columns.T, strict=True))
        count = totals.pop("count")
        mean = {name: total / count for name, total in totals.items()}
        variance, seasonal, squared = (unit[series, target] for unit in self._units)
        has_unit = {"mse_scaled": variance > 0, "mase": seasonal > 0, "rmsse": squared > 0}

        def scaled(error: Floats, unit: Floats) -> Floats:
            return error / np.where(unit > 0, unit, 1.0)

        figures = {
            "mse_scaled": scaled(mean["squared"], variance),
            "mae": mean["absolute"],
            "rmse": np.sqrt(mean["squared"]),
            "mase": scaled(mean["absolute"], seasonal),
            "persistence": scaled(mean["persistence"], variance),
            "rmsse": np.sqrt(scaled(mean["squared"], squared)),
            "mape": mean["mape"],
            "smape": mean["smape"],
            "absolute": totals["absolute"],
            "size": totals["size"],
        }
        figures |= {name: mean[name] for name in ("pinball", "crps") if name in mean}
        coverages = [name for name in mean if name.startswith("coverage-")]
        if coverages:
            figures["coverage"] = mean[coverages[0]]
            figures |= {name: mean[name] for name in ("width", "winkler", *coverages)}
        return _Each(series, target, further, count, figures, has_unit)


def _summed(cell: Integers, columns: Floats) -> _Sums:
    """The sums of the rows of each cell."""
    cells, place = np.unique(cell, return_inverse=True)
    order = np.argsort(place, kind="stable")
    begins = np.searchsorted(place[order], np.arange(len(cells)))
    sums = np.add.reduceat(columns[order], begins, axis=0) if len(cells) else columns[:0]
    return _Sums(cells, sums)


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names; of many, the first ones and the number of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
