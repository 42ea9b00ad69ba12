"""Attention weights at the forecast origins."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Attention:
    """The weights of one attention at the forecast origins.

    Attributes:
        weights: (origins, heads, columns). Each row sums to 1. A column is a step of the past.
        heads: names of the heads. A decoder that forecasts step by step has a head for each step.
        present: (origins,), integer: the column of the origin: column c lies `present` - c steps back. If an attention
            sees only steps before the present, this is one more than the last column.
        steps: (columns,): the time of each column, if all origins look at the same steps; None if the columns move with
            the origin.
    """

    weights: NDArray[np.float64]
    heads: Sequence[str]
    present: NDArray[np.int64]
    steps: pd.DatetimeIndex | None = None

    def by_lag(self) -> pd.DataFrame:
        """(lags, heads): the mean weight at each distance from the origin, over the origins that have such a step."""
        _, heads, columns = self.weights.shape
        lag = self.present[:, None] - np.arange(columns)
        seen = lag >= 0
        counts = np.bincount(lag[seen])
        sums = [np.bincount(lag[seen], self.weights[:, head][seen], len(counts)) for head in range(heads)]
        lags = np.flatnonzero(counts)
        means = np.stack(sums, 1)[lags] / counts[lags, None]
        return pd.DataFrame(means, pd.Index(lags, name="lag"), list(self.heads))

    def last(self) -> pd.DataFrame:
        """(lags, heads): the weights of the last origin."""
        alone = Attention(self.weights[-1:], self.heads, self.present[-1:])
        return alone.by_lag()

    def reach(self) -> pd.DataFrame:
        """How far back each head looks, as a mean over the origins.

        The index holds the heads. The columns are: `mean lag`; `half within`, the number of last steps that together
        have half of the weight; `steps`, the number of all steps; and `even`, the number of steps whose equal weights
        would have the same entropy.
        """
        columns = np.arange(self.weights.shape[2])
        lag = self.present[:, None] - columns
        seen = lag >= 0
        weights = np.where(seen[:, None], self.weights, 0.0)
        newest_first = np.take_along_axis(weights, np.argsort(np.where(seen, lag, len(columns) + 1), 1)[:, None], 2)
        half = 1 + np.argmax(newest_first.cumsum(2) >= 0.5 - 1e-9, 2)
        entropy = -(weights * np.log(np.where(weights > 0, weights, 1.0))).sum(2)
        table = {
            "mean lag": (weights * lag[:, None]).sum(2).mean(0),
            "half within": half.mean(0),
            "even": np.exp(entropy).mean(0),
            "steps": np.full(len(self.heads), seen.sum(1).mean()),
        }
        return pd.DataFrame(table, list(self.heads))

    def table(self, cutoff: pd.DatetimeIndex) -> pd.DataFrame:
        """One row per origin and head: `cutoff`, `head` and a column per time or lag. Steps that are not seen have 0.

        Args:
            cutoff: (origins,): the times of the origins.
        """
        origins, heads, columns = self.weights.shape
        names = (self.present[0] - np.arange(columns)).astype(str) if self.steps is None else self.steps.astype(str)
        index = {"cutoff": np.repeat(cutoff, heads), "head": list(self.heads) * origins}
        values = pd.DataFrame(self.weights.reshape(origins * heads, columns), columns=list(names))
        return pd.concat([pd.DataFrame(index), values], axis=1)
