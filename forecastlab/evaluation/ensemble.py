"""Several networks as one forecaster: the mean of their forecasts, and how far they are apart."""

from collections.abc import Collection, Iterator, Sequence
from typing import Literal, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from forecastlab.batch import Batch, Prediction
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.panel import Panel
from forecastlab.errors import ConfigError
from forecastlab.metrics import ForecastMetrics
from forecastlab.network.finite import require_finite
from forecastlab.network.network import Network
from forecastlab.network.paths import Paths


class Ensemble(NamedTuple):
    """What the members forecast for the same rows."""

    members: list[Prediction]
    """Of each member: (samples, 1, ...), one origin per sample, in the same order."""
    last: Tensor
    """(samples, 1, targets): the targets' own values at the origins."""

    def mean(self) -> Prediction:
        """The mean forecast; each quantile is the mean of the members' (Vincent 1912), so that none cross."""
        forecast = torch.stack([member.forecast for member in self.members]).mean(0)
        quantiles = torch.stack([member.quantiles for member in self.members]).mean(0)
        return self.members[0]._replace(forecast=forecast, quantiles=quantiles)

    def spread(self) -> Tensor:
        """The standard deviation (ddof 1) of the members' forecasts, (samples, 1, horizon, targets)."""
        return torch.stack([member.forecast for member in self.members]).std(0)

    def metrics(self, data: ForecastDataModule, levels: Sequence[float]) -> list[ForecastMetrics]:
        """The test metrics of each member, and of the mean forecast at last."""
        return [_metrics(found, self.last, data, levels) for found in (*self.members, self.mean())]


class PooledPaths:
    """Sample paths of several networks in equal shares: draws from the mixture of their distributions (linear pool).

    So the paths are as far apart as the members' distributions together, and where members disagree, wider than the
    quantiles of `Ensemble.mean`, which are means of the members' quantiles.

    Args:
        networks: trained networks that forecast the same.
        panel: the series.
        unscaled: numbers of series without a scaling, which are left out.
        number: number of paths of each series, at least one of each network. The first networks draw one more if it is
            no multiple.
        seed: of the random numbers of the first network; the second has the next, and so on.

    Attributes:
        method: how the paths are drawn, in words.

    Raises:
        ConfigError: for fewer paths than networks, and as `Paths`.
        DataError: as `Paths`.
    """

    def __init__(
        self, networks: Sequence[Network], panel: Panel, unscaled: Collection[int], number: int, seed: int
    ) -> None:
        if number < len(networks):
            raise ConfigError(
                f"paths: each of {len(networks)} checkpoints draws one or more: expected --paths {len(networks)} or "
                f"more, got {number}"
            )
        share, more = divmod(number, len(networks))
        self._numbers = [share + (place < more) for place in range(len(networks))]
        self._parts = [
            Paths(network, panel, unscaled, own, seed + place)
            for place, (network, own) in enumerate(zip(networks, self._numbers, strict=True))
        ]
        ways = dict.fromkeys(part.method for part in self._parts)
        self.method = f"{len(networks)} checkpoints draw in equal shares; {'; or '.join(ways)}"

    def tables(self) -> Iterator[pd.DataFrame]:
        """The paths, as `Paths.tables`: those of one network after another, whose samples go on counting."""
        before = 0
        for part, number in zip(self._parts, self._numbers, strict=True):
            for table in part.tables():
                yield table.assign(sample=table["sample"] + before)
            before += number


@torch.no_grad()
def forecast_together(
    models: Sequence[Network], data: ForecastDataModule, stage: Literal["test", "predict"]
) -> Ensemble:
    """The forecasts of several networks for the same rows, on the CPU.

    Args:
        models: trained networks of one schema.
        data: set up for the stage.
        stage: "test" for the origins of the test range, "predict" for the last of each series.

    Raises:
        ConfigError: if a network has no scaling for a series to be tested, or for any, or if it is not trained.
        DataError: if a forecast is not a number.
    """
    for model in models:
        model.require_trained()
        unscaled = model.find_scalings(data.panel.names, all_of_them=stage == "test")
        data.unscaled = {**data.unscaled, **unscaled}
    batches: list[Batch] = list(data.test_dataloader() if stage == "test" else data.predict_dataloader())
    members = []
    for model in models:
        if model.calibration_origins:
            model.recalibrate(data.origins(stage, model.calibration_origins))
        parts = []
        for batch in batches:
            found = model.predict(batch)
            require_finite(found, batch, model, data.panel.names, data.times, scored_only=stage == "test")
            parts.append(_by_origin(found))
        members.append(Prediction(*(torch.cat(part) for part in zip(*parts, strict=True))))
    return Ensemble(members, torch.cat([batch.last.flatten(0, 1).unsqueeze(1) for batch in batches]))


def _by_origin(found: Prediction) -> Prediction:
    """Every origin as a sample of its own: batches may differ in their number of origins."""
    series = found.series.repeat_interleave(found.index.shape[1])
    return Prediction(series, *(part.flatten(0, 1).unsqueeze(1) for part in found[1:]))


def _metrics(found: Prediction, last: Tensor, data: ForecastDataModule, levels: Sequence[float]) -> ForecastMetrics:
    metrics = ForecastMetrics(data.reference, levels, data.targets, data.times.month.to_numpy())
    quantiles = found.quantiles if len(levels) else None
    metrics.update(found.forecast, found.target, found.weight, last, found.series, quantiles, index=found.index)
    return metrics
