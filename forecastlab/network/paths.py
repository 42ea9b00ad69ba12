"""Sample paths of forecasts: draws of all steps together."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from forecastlab.batch import Batch
from forecastlab.data.panel import Panel
from forecastlab.errors import ConfigError, DataError
from forecastlab.losses import Likelihood
from forecastlab.network.copula import LEAST, Copula
from forecastlab.network.draws import seeded
from forecastlab.network.finite import require_finite
from forecastlab.network.quantile_function import QuantileFunction

if TYPE_CHECKING:
    from forecastlab.network.network import Network

VALUES_AT_ONCE = 1_000_000
"""About the largest number of values that are drawn and written together."""
MOST_PATHS = 100_000
"""The largest number of paths of a series, which are in memory together."""
ORIGINS = 500
"""About the number of past forecasts from which the dependence of the steps is estimated."""


class Paths:
    """Paths beyond the end of each series of a panel.

    If the decoder reads its earlier steps and the loss is a likelihood, each step is drawn given those before it
    (`ancestral_paths`). Else each step is drawn from its own distribution, that of the likelihood or one through the
    quantiles that are forecast (`QuantileFunction`), and a Gaussian copula joins them (`Copula`). It is estimated from
    the last forecasts of the series whose truth is known. Series are drawn independently of each other, and so are
    targets that a copula joins.

    Args:
        network: a trained network.
        panel: the series.
        unscaled: numbers of series without a scaling, which are left out.
        number: number of paths of each series.
        seed: of the random numbers; the same seed gives the same paths of the same rows.

    Attributes:
        method: how the paths are drawn, in words.

    Raises:
        ConfigError: for a number below 1 or above 100,000, or a network that forecasts no distribution.
        DataError: if too few forecasts have a known truth.
    """

    def __init__(
        self, network: "Network", panel: Panel, unscaled: Collection[int] = (), number: int = 200, seed: int = 0
    ) -> None:
        if not 1 <= number <= MOST_PATHS:
            raise ConfigError(f"paths must be 1 to {MOST_PATHS} for each series, got {number}")
        if not isinstance(network.loss, Likelihood) and len(network.levels) < 2:
            raise ConfigError(
                f"paths are drawn from a distribution, and the network forecasts none: train it with model.intervals, "
                f"or with a loss that has quantiles or a likelihood, not {type(network.loss).__name__} alone"
            )
        self._network, self._panel, self._unscaled = network, panel, unscaled
        self._number, self._seed = number, seed
        self._copula = None
        self._function = QuantileFunction(network.levels) if len(network.levels) > 1 else None
        if network.decoder.feeds_back and isinstance(network.loss, Likelihood):
            self.method = "each step is drawn given the steps before it"
            return
        with seeded(seed, network.device), network.evaluating():  # the ranks of counts are drawn between their bounds
            known = self._known()
        try:
            self._copula = Copula(known)
        except ValueError as error:
            raise DataError(f"paths: {error}: give more rows before the forecast") from None
        of = "the likelihood's" if isinstance(network.loss, Likelihood) else "one through the quantiles of"
        self.method = (
            f"each step is drawn from its own distribution, {of} forecast, and a Gaussian copula of the last "
            f"{len(known[0])} known errors joins the steps"
        )
        if apart := self._copula.apart:
            self.method += (
                f"; {apart} of {self._copula.pairs} pairs of steps are drawn independently, since the rows have gaps: "
                f"fewer than {LEAST} errors are known of both"
            )

    def tables(self) -> Iterator[pd.DataFrame]:
        """The paths, some series at a time: `unique_id, target, ds, cutoff, sample, value`, in original units.

        They are ordered by series, target, sample (1, 2, ...) and step.

        Raises:
            DataError: if a forecast is not a number.
        """
        network, panel = self._network, self._panel
        windows = panel.at_the_end(0, self._unscaled)
        each = panel.schema.horizon * len(panel.schema.targets) * self._number
        generator = torch.Generator().manual_seed(self._seed)
        for batch in network.batches(windows, max(1, min(256, VALUES_AT_ONCE // each))):
            seed = int(torch.randint(2**62, (), generator=generator))
            with seeded(seed, network.device), network.evaluating():
                require_finite(network.predict(batch), batch, network, panel.names, panel.times)
                yield self._table(batch, self._drawn(batch)[:, -1].cpu())

    def _drawn(self, batch: Batch) -> Tensor:
        """Paths in original units, (batch, origins, horizon, targets, paths)."""
        network = self._network
        scaled = network.scaled(batch)
        if self._copula is None:
            paths = network.paths(scaled, *network.encoded(scaled), self._number)
        elif isinstance(network.loss, Likelihood):
            raw = network.run(scaled).raw.unsqueeze(-2)
            many = raw.expand(*raw.shape[:-2], self._number, raw.shape[-1])
            paths = self._copula.order(network.loss.sample(many))
        else:
            assert self._function is not None
            quantiles = network.predict(batch).quantiles
            scores = torch.randn(*quantiles.shape[:-1], self._number, dtype=torch.float64, device=quantiles.device)
            return self._copula.order(self._function.at(quantiles, scores))
        back = network.transforms.back
        return back((paths * scaled.scale.unsqueeze(-1) + scaled.offset.unsqueeze(-1)).mT).mT

    def _known(self) -> list[Tensor]:
        """Of each target, (forecasts, horizon): what ranks the truth within its forecast; NaN where it is not known."""
        network, panel = self._network, self._panel
        left = [number for number in range(len(panel.names)) if number not in self._unscaled]
        chosen = left[:: -(-len(left) // ORIGINS)] if left else left
        without = {*range(len(panel.names))} - set(chosen)
        before = panel.schema.horizon + -(-ORIGINS // max(1, len(chosen)))
        parts: list[list[Tensor]] = [[] for _ in panel.schema.targets]
        for batch in network.batches(panel.at_the_end(before, without)):
            values, weight = self._values(batch).flatten(0, 1), batch.weight.flatten(0, 1)
            for target, part in enumerate(parts):
                there = weight[..., target] > 0
                part.append(values[..., target].where(there, torch.nan)[there.any(1)])
        return [torch.cat(part) for part in parts]

    def _values(self, batch: Batch) -> Tensor:
        """What ranks the truth within its forecast, (batch, origins, horizon, targets), in double precision."""
        network = self._network
        if not isinstance(network.loss, Likelihood):
            assert self._function is not None
            return self._function.score(network.predict(batch).quantiles, batch.target)
        scaled = network.scaled(batch)
        raw, target = network.run(scaled).raw.double(), scaled.target.double()
        upper = network.loss.cdf(raw, target)
        if not network.loss.whole:
            return upper
        lower = network.loss.cdf(raw, target - 1)  # a count stands for all ranks between these two
        return lower + torch.rand_like(upper) * (upper - lower)

    def _table(self, batch: Batch, paths: Tensor) -> pd.DataFrame:
        """The rows of a batch, of paths (batch, horizon, targets, paths)."""
        panel = self._panel
        horizon, targets = paths.shape[1:3]
        index, series = batch.index[:, -1].cpu().numpy(), batch.series.cpu().numpy()
        rows = len(series)
        steps: Any = index[:, None] + np.arange(1, horizon + 1)
        shape = (rows, targets, self._number, horizon)

        def spread(values: Any, axes: tuple[int, ...]) -> Any:
            """Values along some of the axes of the shape, for each row of the table."""
            full = [shape[axis] if axis in axes else 1 for axis in range(4)]
            return np.broadcast_to(np.asarray(values).reshape(full), shape).ravel()

        return pd.DataFrame(
            {
                "unique_id": np.array(panel.names, dtype=object)[spread(series, (0,))],
                "target": np.array(panel.schema.targets, dtype=object)[spread(np.arange(targets), (1,))],
                "ds": panel.labels[spread(steps, (0, 3))],
                "cutoff": panel.labels[spread(index, (0,))],
                "sample": spread(np.arange(1, self._number + 1), (2,)),
                "value": paths.permute(0, 2, 3, 1).numpy().ravel(),
            }
        )
