"""Where forecasts start from: they are predicted as changes from an anchor."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from forecastlab.batch import Batch
from forecastlab.network.columns import taken

Kind = Literal["none", "last", "mean", "seasonal"]


def rows_there(history: Tensor, padded: int | None) -> Tensor:
    """Which rows of windows do not pad them: 1 or 0, (batch, time, 1).

    Args:
        history: (batch, time, inputs).
        padded: position of the input that is 1 where a row pads the window; None without such an input.
    """
    return torch.ones_like(history[..., :1]) if padded is None else 1 - history[..., padded, None]


class Anchor:
    """The value that a forecast is a change from, in original units and in double precision.

        last       the target's last value
        mean       the mean of the target's past in the window
        seasonal   the target's value one season before the step, of the newest season that is known (seasonal naive)

    Args:
        kind: one of the above.
        columns: positions of the targets among the inputs, in the targets' order; "last" needs none.
        season: rows in a season.
        padded: position of the input that is 1 where a row pads the window; None without such an input.
    """

    def __init__(self, kind: Kind, columns: Sequence[int], season: int = 1, padded: int | None = None) -> None:
        self.kind = kind
        self.columns = list(columns)
        self.season = season
        self.padded = padded

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The anchors of the steps, and that of the origins themselves, of which decoders read the change.

        Args:
            batch: windows of one origin each, unless the kind is "last".

        Returns:
            What broadcasts to (batch, origins, horizon, targets), and to (batch, origins, targets).
        """
        if self.kind == "last":
            return batch.last[:, :, None], batch.last
        own = taken(batch.history, self.columns)
        if self.kind == "mean":
            there = rows_there(batch.history, self.padded)
            mean = (own * there).sum(1, keepdim=True) / there.sum(1, keepdim=True)
            return mean[:, None], mean
        time = own.shape[1]
        season = min(self.season, time)
        steps = torch.arange(batch.target.shape[2], device=own.device) % season
        return own[:, time - season + steps][:, None], own[:, max(time - season - 1, 0), None]
