"""The types that every room of the package shares: `Batch`, `Schema`, `State`, `LayerStates` and `Scaling`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from forecastlab.adapters.torch import FollowsDevicesOnly

PADDED = "padded"
"""The feature that is 1 in the rows that a window lacks before the first row of its series, and else 0."""

ELAPSED = "elapsed"
"""The feature that tells how much time has passed since the row before, where the data have it."""

State: TypeAlias = Tensor | tuple["State", ...]
"""Recurrent state: a tensor or a nested tuple of tensors, each with the batch as its first dimension."""


LayerStates: TypeAlias = tuple[Tensor, ...]
"""h and c, or h alone, of the layers of a recurrent network, (batch, layers, hidden_size) each."""


class Batch(NamedTuple):
    """A batch of forecasting samples in original units, batch first; every value is finite.

    Original units are in double precision (float64): a level of 1e9 would leave single precision with steps of 64. They
    become the network's own precision when they are scaled, and not before.

    A value that does not exist is filled and its weight is 0. A *forecast origin* is the last observed step; the steps
    +1..+horizon after it are predicted. The origins of a sample are the last `origins` positions of its history.
    """

    history: Tensor
    """(batch, time, features): up to and including each origin; past values of known covariates are among them."""
    known: Tensor
    """(batch, origins, horizon, known): covariates known in advance, at the forecast steps; width 0 without any."""
    static: Tensor
    """(batch, static): width 0 without any."""
    last: Tensor
    """(batch, origins, targets): the target's own value at the origin."""
    target: Tensor
    """(batch, origins, horizon, targets)"""
    weight: Tensor
    """(batch, origins, horizon, targets): 0 where a value is not scored; else 1, or in training and its validation the
    weight of the row in units of the training targets' mean weight."""
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody needs of a batch
    """(batch, origins), integer: table row of the origin."""
    series: Tensor
    """(batch,), integer: number of the series in a panel."""


class Prediction(NamedTuple):
    """Forecasts beside the truth, in original units and in double precision."""

    series: Tensor
    """(batch,), integer: number of the series."""
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, as in Batch
    """(batch, origins), integer: table row of the origin."""
    forecast: Tensor
    """(batch, origins, horizon, targets)"""
    target: Tensor
    """(batch, origins, horizon, targets)"""
    weight: Tensor
    """(batch, origins, horizon, targets): 0 where there is no truth to score."""
    quantiles: Tensor
    """(batch, origins, horizon, targets, levels): ascending; width 0 where none are forecast."""


@dataclass(frozen=True)
class Schema:
    """Names and sizes that a model needs of its data; columns are matched by name ever after.

    Attributes:
        features: columns of `Batch.history`, in order.
        targets: columns of `Batch.target`, in order.
        known: columns of `Batch.known`, in order; each is among `features` too.
        static: columns of `Batch.static`, in order.
        horizon: number of steps predicted from each origin.
        season_length: number of rows in a season; 1 for none.
        lookback: number of rows in a window, or "full" for one sequence in which every step is an origin.
        min_history: number of rows that a window must have at least; the others are padded before them. None for all.
        elapsed: whether the feature `elapsed` tells how much time has passed since the row before: in hours where steps
            are counted by rows, else in steps of the calendar; 0 in the first row of a series.
        calendar: those of `known` that follow from the time alone: cycles.
        holidays: the country whose holidays are among `known`; None for none.
        time_zone: the zone by whose clocks they are reckoned; None for that of the times.
        step: the step of the calendar as a pandas offset, where it is longer than a day and they are of all its days;
            "" where they are of each row's own.
        series: names of the series, in the order of their scalings; () where one scaling serves all.
        panel: names of the series, in the order of their intervals' margins; () of a single series.
        recipe: how raw columns become these, as `forecastlab.data.recipe.Recipe.as_dict` gives it.
    """

    features: tuple[str, ...]
    targets: tuple[str, ...]
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    horizon: int = 1
    season_length: int = 1
    lookback: int | str = "full"
    min_history: int | None = None
    elapsed: bool = False
    calendar: tuple[str, ...] = ()
    holidays: str | None = None
    time_zone: str | None = None
    step: str = ""
    series: tuple[str, ...] = ()
    panel: tuple[str, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def least_history(self) -> int:
        """Number of rows up to and including an origin without which there is no forecast from it."""
        if self.lookback == "full":
            return 1
        return int(self.lookback) if self.min_history is None else self.min_history

    def as_dict(self) -> dict[str, Any]:
        """The schema as plain lists, strings and numbers, which configs and checkpoints can hold."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Schema":
        """The inverse of `as_dict`."""
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**plain)


class Reference(NamedTuple):
    """Units of scaled metrics, from a fold's training rows (its validation tail included), in the target's own unit.

    Row `Batch.series` of each belongs to a sample; a single series has one row.
    """

    variance: Tensor
    """(series, targets): variance (ddof 0); `test/mse_scaled` is the MSE divided by it."""
    seasonal_error: Tensor
    """(series, targets): mean absolute error of the seasonal naive forecast; MASE is the MAE divided by it."""
    seasonal_squared_error: Tensor
    """(series, targets): its mean squared error; RMSSE is the root of the MSE divided by it."""


class Scaling(FollowsDevicesOnly):
    """Fitted affine scaling of features, known and static covariates and targets: scaled = (value - centre) / scale.

    It holds plain buffers, so that it is saved with the weights and a checkpoint alone forecasts in original units.
    An unfitted one is the identity. Each series may have a scaling of its own; static covariates have one for all.

    The buffers are in double precision, and so is all that is computed with them. They stay so when the network around
    them changes its precision, and when older weights are loaded that hold them in single precision.

    Args:
        features: number of features.
        known: number of known covariates.
        targets: number of targets.
        static: number of static covariates.
        series: number of scalings; 1 serves every series.
    """

    def __init__(self, features: int, known: int, targets: int, static: int = 0, series: int = 1) -> None:
        super().__init__()
        self.series = series
        for name, rows, width in (
            ("feature", series, features),
            ("known", series, known),
            ("target", series, targets),
            ("static", 1, static),
        ):
            self.register_buffer(f"{name}_center", torch.zeros(rows, width, dtype=torch.float64))
            self.register_buffer(f"{name}_scale", torch.ones(rows, width, dtype=torch.float64))
        self.register_load_state_dict_pre_hook(_in_double_precision)  # type: ignore[no-untyped-call]  # torch's

    def scale(self, name: Literal["feature", "known", "target", "static"], values: Tensor, series: Tensor) -> Tensor:
        """(batch, ..., width) in original units -> the same shape, scaled, in double precision.

        Args:
            name: what the values are.
            values: (batch, ..., width)
            series: (batch,), integer: the number of the scaling, which a single one ignores.
        """
        if not values.shape[-1]:
            return values
        change = values - self._of(f"{name}_center", values, series)
        return change.div_(self._of(f"{name}_scale", values, series))

    def target_units(self, values: Tensor, series: Tensor) -> tuple[Tensor, Tensor]:
        """Centre and scale of targets, which broadcast to `values`, (batch, ..., targets)."""
        return self._of("target_center", values, series), self._of("target_scale", values, series)

    def _of(self, name: str, values: Tensor, series: Tensor) -> Tensor:
        buffer: Tensor = getattr(self, name)
        if buffer.shape[0] == 1:
            return buffer[0]
        rows = buffer[series]
        return rows.view(rows.shape[0], *[1] * (values.dim() - 2), rows.shape[1])


def _in_double_precision(scaling: nn.Module, state: dict[str, Any], prefix: str, *others: Any) -> None:
    """Turns the buffers of a state_dict that is about to be loaded into double precision."""
    for name, _ in scaling.named_buffers():
        if isinstance(state.get(prefix + name), Tensor):
            state[prefix + name] = state[prefix + name].double()
