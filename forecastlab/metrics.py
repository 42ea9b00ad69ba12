"""What a test measures, and the torchmetrics classes that the library lacks.

All are in original units and kept as sums in double precision, so that they depend neither on batches nor on devices,
and squares of large and of small values are numbers. Percentages are in percent: a forecast that is off by half is off
by 50.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric

from forecastlab.batch import Reference
from forecastlab.losses import pinball


class _Mean(Metric):
    """The mean of one number per value."""

    is_differentiable = False
    higher_is_better: bool | None = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def _add(self, values: Tensor) -> None:
        self.total += values.sum()
        self.count += values.numel()

    def compute(self) -> Tensor:
        """The metric over all values so far."""
        return self.total / self.count


class MeanAbsoluteScaledError(_Mean):
    """MASE: the mean absolute error in units of the seasonal naive forecast's on the training rows.

    Below 1 the forecast is better than the seasonal naive one was in training. It is infinite where the training rows
    are constant, whose naive error is 0. Source: Hyndman and Koehler 2006.
    """

    def update(self, preds: Tensor, target: Tensor, seasonal_error: Tensor) -> None:
        """Adds forecasts and truth in the same unit, and the seasonal naive error for each, all of one shape."""
        self._add(_in_units((preds - target).abs(), seasonal_error))


class RootMeanSquaredScaledError(_Mean):
    """RMSSE: root of the mean squared error in units of the seasonal naive forecast's on the training rows.

    Squared errors are scaled each by its own series and averaged before the root is taken. It is infinite where the
    training rows are constant. Source: Makridakis, Spiliotis and Assimakopoulos 2022 (the M5 competition).
    """

    def update(self, preds: Tensor, target: Tensor, seasonal_squared_error: Tensor) -> None:
        """Adds forecasts and truth in the same unit, and the mean squared seasonal naive error for each."""
        self._add(_in_units((preds - target).square(), seasonal_squared_error))

    def compute(self) -> Tensor:
        return super().compute().sqrt()


class PercentageError(_Mean):
    """MAPE: mean of 100 * |forecast - truth| / |truth|, in percent.

    Infinite if a truth of 0 was missed, where the library's gives a number that depends on its guard; a truth of 0
    that was forecast exactly has no error.
    """

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds forecasts and truth of one shape."""
        self._add(100 * _share((preds - target).abs(), target.abs()))


class SymmetricPercentageError(_Mean):
    """sMAPE: mean of 200 * |forecast - truth| / (|forecast| + |truth|), in percent, from 0 to 200.

    A truth of 0 that was forecast exactly has no error. Source: Makridakis and Hibon 2000 (the M3 competition).
    """

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds forecasts and truth of one shape."""
        self._add(200 * _share((preds - target).abs(), preds.abs() + target.abs()))


class WeightedPercentageError(Metric):
    """WAPE: 100 * sum of |forecast - truth| / sum of |truth|, in percent.

    Infinite if every truth is 0 and one was missed, 0 if none was.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    error: Tensor
    size: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("error", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("size", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds forecasts and truth of one shape."""
        self.error += (preds - target).abs().sum()
        self.size += target.abs().sum()

    def compute(self) -> Tensor:
        """The metric over all values so far."""
        return 100 * _share(self.error, self.size)


class Skill(Metric):
    """Skill against a reference forecast: 1 - MSE / MSE of the reference.

    1 is perfect, 0 no better than the reference, negative worse; -inf where the reference alone is perfect.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    error: Tensor
    reference_error: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("error", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("reference_error", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor, reference: Tensor) -> None:
        """Adds forecasts, truth and the reference's forecasts, all of one shape."""
        self.error += (preds - target).square().sum()
        self.reference_error += (reference - target).square().sum()

    def compute(self) -> Tensor:
        """The metric over all values so far."""
        return 1 - self.error / self.reference_error


class IntervalCoverage(_Mean):
    """Share of the truths that lie in their intervals, bounds included, from 0 to 1; best is what was promised."""

    higher_is_better = None

    def update(self, lower: Tensor, upper: Tensor, target: Tensor) -> None:
        """Adds bounds and truth, all of one shape."""
        self._add(((lower <= target) & (target <= upper)).to(target))


class IntervalWidth(_Mean):
    """Mean width of the intervals, in the target's unit."""

    def update(self, lower: Tensor, upper: Tensor) -> None:
        """Adds bounds of one shape."""
        self._add(upper - lower)


class WinklerScore(_Mean):
    """Mean interval score: the width, plus 2 / alpha times the distance of a truth that the interval missed.

    In the target's unit; it is least for the true quantiles alpha / 2 and 1 - alpha / 2. Sources: Winkler 1972;
    Gneiting and Raftery 2007.

    Args:
        alpha: share of the truths that lie outside by intention: 0.1 for an interval of 90 %.

    Raises:
        ValueError: if it is not between 0 and 1.
    """

    def __init__(self, alpha: float) -> None:
        super().__init__()
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, got {alpha!r}")
        self.alpha = alpha

    def update(self, lower: Tensor, upper: Tensor, target: Tensor) -> None:
        """Adds bounds and truth, all of one shape."""
        missed = (lower - target).clamp(min=0) + (target - upper).clamp(min=0)
        self._add(upper - lower + 2 / self.alpha * missed)


class PinballLoss(_Mean):
    """Mean pinball loss over values and levels, in the target's unit; half the mean absolute error at level 0.5.

    Args:
        levels: probability levels of the quantiles.
    """

    levels: Tensor

    def __init__(self, levels: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("levels", torch.tensor(tuple(levels), dtype=torch.float64), persistent=False)

    def update(self, quantiles: Tensor, target: Tensor) -> None:
        """Adds quantiles, (..., levels), and truth, (...)."""
        self._add(pinball(quantiles, target, self.levels).mean(-1))


class QuantileCRPS(PinballLoss):
    """Continuous ranked probability score, approximated from quantiles: twice their mean pinball loss.

    The score is 2 ∫ pinball dτ over all levels τ from 0 to 1, and this is the integral's mean over the levels at hand,
    each with the same weight. It becomes exact for many evenly spaced ones; with few it only compares forecasts of the
    same levels. In the target's unit; for a point forecast it is the mean absolute error.
    """

    def compute(self) -> Tensor:
        return 2 * super().compute()


def central_interval(levels: Sequence[float]) -> tuple[int, int] | None:
    """Positions of the outermost two levels that lie symmetrically around 0.5, such as 0.05 and 0.95.

    Args:
        levels: probability levels, ascending.

    Returns:
        None if there are no such two.
    """
    for lower, low in enumerate(levels):
        for upper in range(len(levels) - 1, lower, -1):
            if math.isclose(low, 1 - levels[upper], abs_tol=1e-6):
                return lower, upper
    return None


class ForecastMetrics(nn.Module):
    """The metrics of a test over all scored values; networks and baselines share them.

    Every value counts the same, whatever its series, step and target. `test/mse_scaled`, the MSE divided by the
    variance of the series' training rows; `test/mae` and `test/rmse`, in the target's own unit; `test/mase` and
    `test/rmsse`, in units of the seasonal naive error on the series' training rows; `test/skill`, against persistence;
    `test/mape`, `test/smape` and `test/wape`, in percent. What divides by the training rows is infinite where they are
    constant.

    Of quantiles `test/pinball` and `test/crps`; of their central interval, the outermost two that are symmetric,
    `test/coverage`, `test/width` and `test/winkler`.

    Args:
        reference: the units of the scaled ones.
        levels: probability levels of the quantiles that `update` gets, ascending; none without quantiles.
    """

    def __init__(self, reference: Reference, levels: Sequence[float] = ()) -> None:
        super().__init__()
        # a plain attribute, which follows the forecasts to their device
        self._units = torch.stack(
            [reference.variance.sqrt(), reference.seasonal_error, reference.seasonal_squared_error]
        )
        self.levels = tuple(levels)
        self.interval = central_interval(self.levels)
        self.mse_scaled = MeanSquaredError()
        self.mae = MeanAbsoluteError()
        self.rmse = MeanSquaredError(squared=False)
        self.mase = MeanAbsoluteScaledError()
        self.skill = Skill()
        self.rmsse = RootMeanSquaredScaledError()
        self.mape = PercentageError()
        self.smape = SymmetricPercentageError()
        self.wape = WeightedPercentageError()
        if self.levels:
            self.pinball = PinballLoss(self.levels)
            self.crps = QuantileCRPS(self.levels)
        if self.interval:
            self.coverage = IntervalCoverage()
            self.width = IntervalWidth()
            self.winkler = WinklerScore(2 * self.levels[self.interval[0]])
        for metric in (self.mse_scaled, self.mae, self.rmse):
            metric.set_dtype(torch.float64)  # torchmetrics' own keep single precision, whatever the values are in

    def update(
        self,
        forecast: Tensor,
        target: Tensor,
        weight: Tensor,
        last: Tensor,
        series: Tensor,
        quantiles: Tensor | None = None,
    ) -> None:
        """Adds forecasts.

        Args:
            forecast: (batch, ..., horizon, targets), in original units.
            target: the truth, of the same shape.
            weight: of the same shape; 0 where a value is not scored.
            last: (batch, ..., targets): the target's own value at the origin.
            series: (batch,), integer: row of the reference.
            quantiles: (batch, ..., horizon, targets, levels), in original units; None without levels.

        Raises:
            ValueError: if there are quantiles without levels, or levels without quantiles.
        """
        if (0 if quantiles is None else quantiles.shape[-1]) != len(self.levels):
            came = "none" if quantiles is None else f"{quantiles.shape[-1]}"
            raise ValueError(f"expected the quantiles of the levels {list(self.levels)}, got {came}")
        scored = (weight > 0).flatten().nonzero()[:, 0]
        self._units = self._units.to(target)
        units = self._units[:, series].view(3, len(series), *[1] * (target.dim() - 2), target.shape[-1])
        deviation, seasonal_error, seasonal_squared_error, persistence = (
            unit.expand_as(target).flatten()[scored] for unit in (*units, last.unsqueeze(-2))
        )
        forecast, target = forecast.flatten()[scored], target.flatten()[scored]
        error = _in_units(forecast - target, deviation)  # dividing the two first would cost digits
        self.mse_scaled.update(error, torch.zeros_like(error))
        self.mae.update(forecast, target)
        self.rmse.update(forecast, target)
        self.mase.update(forecast, target, seasonal_error)
        self.skill.update(forecast, target, persistence)
        self.rmsse.update(forecast, target, seasonal_squared_error)
        self.mape.update(forecast, target)
        self.smape.update(forecast, target)
        self.wape.update(forecast, target)
        if quantiles is None or not self.levels:
            return
        quantiles = quantiles.flatten(0, -2)[scored]
        self.pinball.update(quantiles, target)
        self.crps.update(quantiles, target)
        if self.interval:
            lower, upper = (quantiles[:, position] for position in self.interval)
            self.coverage.update(lower, upper, target)
            self.width.update(lower, upper)
            self.winkler.update(lower, upper, target)

    def compute(self) -> dict[str, Tensor]:
        """The metrics by name over all values so far, and over all devices."""
        return {f"test/{name}": metric.compute() for name, metric in self.named_children()}  # type: ignore[operator]  # all are metrics


def _in_units(error: Tensor, unit: Tensor) -> Tensor:
    """Errors in units; infinite, not indeterminate, where the unit is 0."""
    return (error / unit).masked_fill(unit == 0, torch.inf)


def _share(error: Tensor, size: Tensor) -> Tensor:
    """Errors divided by sizes; no error is no share, also of nothing."""
    return (error / size).masked_fill(error == 0, 0)
