"""What a stream keeps of the rows that it has taken in."""

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from forecastlab.batch import Batch, State
from forecastlab.network.composition import Composition
from forecastlab.network.intervals import SplitConformal

Array = NDArray[np.float64]


@dataclass
class Kept:
    """What a stream keeps of its rows; all else follows from its network.

    A part is replaced and never changed in place, but for `recent`, so that a shallow copy keeps what was.

    Attributes:
        series: the name of the series; None before the first row.
        time: when the last row was observed; None before the first.
        held: (columns,): the last value of each; NaN before the first. None before the first row that counts.
        seen: (columns,): the time and the value of each one's last observation.
        past: the rows of the window: time, inputs (features,) in original units, targets (targets,).
        in_advance: raw values of what was known in advance of the last row, which hold at steps that are left out.
        static: the static covariates.
        state: of the backbone, with one sequence for each channel; None before the first row.
        encoded: (channels, time, width), the encoded rows: the last one, or all where the decoder attends to them.
        recent: the errors of the last forecasts; None without an `interval_window`.
    """

    series: str | None = None
    time: pd.Timestamp | None = None
    held: Array | None = None
    seen: list[tuple[pd.Timestamp, float] | None] = field(default_factory=list)
    past: list[tuple[pd.Timestamp, Array, Array]] = field(default_factory=list)
    in_advance: dict[str, Any] = field(default_factory=dict)
    static: dict[str, float] = field(default_factory=dict)
    state: State | None = None
    encoded: Tensor | None = None
    recent: "Recent | None" = None


class Recent:
    """The errors of a stream's last forecasts, and the margins of its intervals.

    Args:
        network: a network with an `interval_window`.
    """

    def __init__(self, network: Composition) -> None:
        self._network = network
        intervals = cast(SplitConformal, network.intervals)
        self._intervals = intervals
        coverages, horizon, targets = intervals.margin.shape
        self.errors = torch.zeros(0, horizon, targets, coverages, dtype=network.dtype, device=network.device)
        self.weight = torch.zeros(0, horizon, targets, device=network.device)
        self.forecasts: list[tuple[Tensor, Batch] | None] = []
        """The decoder's outputs at the last origins, one for each step, and their batches."""

    def observe(self, values: Array, observed: NDArray[np.bool_]) -> None:
        """Takes in the targets of the next row, (targets,). They are the truth of one step of each forecast."""
        waiting = [(steps, made) for steps, made in enumerate(reversed(self.forecasts), 1) if made is not None]
        if not waiting:
            return
        batch = Batch(*map(torch.cat, zip(*(batch for _, (_, batch) in waiting), strict=True)))
        truth = torch.as_tensor(values, device=batch.target.device)
        raw = torch.cat([raw for _, (raw, _) in waiting])
        scaled = self._network.scaled(batch._replace(target=truth.expand_as(batch.target)))
        errors = self._network.errors(raw, scaled)
        steps = torch.tensor([steps for steps, _ in waiting])
        self.errors, self.weight = self.errors.clone(), self.weight.clone()
        self.errors[-steps, steps - 1] = errors[torch.arange(len(steps)), 0, steps - 1]
        self.weight[-steps, steps - 1] = torch.as_tensor(observed, dtype=torch.float32, device=self.weight.device)

    def add(self) -> None:
        """Adds the row as an origin without a forecast."""
        kept, horizon = self._network.calibration_origins, self.errors.shape[1]
        self.errors, self.weight = (
            torch.cat([part[-kept:], part.new_zeros(1, *part.shape[1:])]) for part in (self.errors, self.weight)
        )
        self.forecasts = [*self.forecasts, None][-horizon:]

    def margin(self, raw: Tensor, batch: Batch) -> Tensor:
        """The margins at the last origin, (1, 1, coverages, horizon, targets). Stores the forecast there."""
        lookback = self._network.schema.lookback
        kept = 1 if lookback == "full" else int(lookback)  # anchors may read the whole window
        self.forecasts = [*self.forecasts[:-1], (raw, batch._replace(history=batch.history[:, -kept:]))]
        margin = self._network.margins(batch.series)[0]
        return self._intervals.recent(self.errors, self.weight, margin, last=1)[None]
