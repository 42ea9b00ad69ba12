"""Importance of features by integrated gradients: their share in the difference from the forecast of average inputs."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from forecastlab.batch import ELAPSED, Batch
from forecastlab.data.windows import Windows
from forecastlab.errors import ConfigError, ForecastlabError
from forecastlab.explanation.attention import Attention
from forecastlab.explanation.tracing import sequences_at_once
from forecastlab.network.network import Network


@dataclass(frozen=True)
class Attribution:
    """The shares of features in the difference between forecasts and the forecast for average inputs.

    Attributes:
        contributions: (origins, features), in the target's unit, summed over all steps of a feature, including known
            future ones. The columns are features, the index holds the table rows of the origins.
        by_lag: the magnitude of the contributions of all features by number of steps back, as a mean over origins.
        change: (origins,): the forecasts minus the forecast for average inputs, averaged over the horizon.
        gap: (origins,): the sum of an origin's contributions minus its change; 0 for exact integrals.
    """

    contributions: pd.DataFrame
    by_lag: pd.Series
    change: NDArray[np.float64]
    gap: NDArray[np.float64]

    def importance(self, groups: Mapping[str, Sequence[str]]) -> pd.DataFrame:
        """A row per group of inputs. The contributions of a group are added up first.

        The columns are means over the origins: `magnitude` of the absolute contribution, `mean` of the contribution.

        Args:
            groups: the members of each group.
        """
        sums = {name: self.contributions[list(members)].sum(axis=1) for name, members in groups.items()}
        values = pd.DataFrame(sums, index=self.contributions.index)
        return pd.DataFrame({"magnitude": values.abs().mean(), "mean": values.mean()})


def integrated_gradients(
    model: Network, windows: Windows, series: str, origins: int = 32, steps: int = 32, target: int = 0
) -> Attribution:
    """Attributes forecasts to inputs by integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365).

    Gradients are averaged along the straight line from a baseline to the inputs, and multiplied by the change of each
    input. The baseline is the centre of the network's scaling at every step; for `scaler: standard` this is the mean of
    the training rows. Of the feature `elapsed` it is the usual step: in no time nothing happens. The target's last
    value, from which an anchored forecast starts, and static covariates do not change. The result explains the
    forecast's mean over the horizon.

    Args:
        model: the network, in evaluation.
        windows: samples of one series.
        series: its name.
        origins: number of origins, evenly spaced.
        steps: number of points of the Gauss-Legendre rule.
        target: number of the target.

    Raises:
        ForecastlabError: if captum is not installed.
        ConfigError: if the network draws its forecasts, which have no gradient.
    """
    if model.draws:
        raise ConfigError(
            f"{type(model.decoder).__name__} draws its forecasts, so they have no gradients: explain a network with "
            "the decoder Seq2Seq or Linear"
        )

    def forecasts(history: Tensor, known: Tensor, *others: Tensor) -> Tensor:
        """Forecasts (batch, origins)."""
        forecast: Tensor = model(Batch(history, known, *others))
        return forecast[..., target].mean(2)

    method = _captum().IntegratedGradients(forecasts)
    batch, positions = _chosen(windows, origins, model.device)
    names = ("history", "known") if model.schema.known else ("history",)  # an empty tensor has no gradient
    baselines = _centers(model, series)
    at_once = sequences_at_once(model, windows)
    found, gaps = [], []
    for chunk in torch.arange(len(positions), device=model.device).split(at_once):
        sample = Batch(*(tensor[chunk if len(tensor) > 1 else torch.zeros_like(chunk)] for tensor in batch))
        inputs = sample[: len(names)]
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):  # cuDNN has gradients in training only
            parts, gap = method.attribute(
                inputs,
                tuple(baselines[name].expand_as(part) for name, part in zip(names, inputs, strict=True)),
                target=positions[chunk],
                additional_forward_args=sample[len(names) :],
                n_steps=steps,
                internal_batch_size=max(at_once, len(chunk)),
                return_convergence_delta=True,
            )
        found.append(parts)
        gaps.append(gap)
    history, *known = (torch.cat(part).double() for part in zip(*found, strict=True))
    contributions = history.sum(1)
    if known:
        columns = torch.tensor([model.schema.features.index(name) for name in model.schema.known])
        contributions[:, columns.to(model.device)] += known[0].sum((1, 2))
    gap = torch.cat(gaps).double()
    counts = batch.index.shape[1]
    rows = batch.index[0, positions] if counts > 1 else batch.index[:, 0]
    present = history.shape[1] - counts + positions
    magnitude = Attention(history.abs().sum(2, keepdim=True).mT.cpu().numpy(), ["all"], present.cpu().numpy())
    return Attribution(
        pd.DataFrame(contributions.cpu().numpy(), rows.cpu().numpy(), list(model.schema.features)),
        magnitude.by_lag()["all"],
        (contributions.sum(1) - gap).cpu().numpy(),
        gap.cpu().numpy(),
    )


def _chosen(windows: Windows, origins: int, device: torch.device) -> tuple[Batch, Tensor]:
    """The samples of evenly spaced origins, and the position of each origin in its sample. One sample may hold all."""
    sequence = len(windows) == 1
    count = int(windows.ends[0] - windows.origins[0]) + 1 if sequence else len(windows)
    places = torch.linspace(0, count - 1, min(origins, count)).round().long()
    batch = windows[[0] if sequence else places.tolist()]
    positions = places if sequence else torch.zeros_like(places)
    return Batch(*(part.to(device) for part in batch)), positions.to(device)


def _centers(model: Network, series: str) -> dict[str, Tensor]:
    """The centres of the scaling of a series for features and known covariates; of `elapsed` the usual step."""
    row = model.schema.series.index(series) if model.schema.series else 0
    feature, known = (cast(Tensor, getattr(model.scaling, f"{name}_center")) for name in ("feature", "known"))
    history = model.transforms.features_back(feature[row])
    if model.schema.elapsed:
        place, units = model.schema.features.index(ELAPSED), cast(Tensor, model.scaling.feature_scale)
        history = history.index_fill(0, torch.tensor([place], device=history.device), units[row, place].item())
    return {"history": history, "known": known[row]}


def _captum() -> Any:
    """The attribution methods of captum, which is an extra."""
    try:
        return importlib.import_module("captum.attr")
    except ImportError:
        raise ForecastlabError(
            "integrated gradients need captum, which is not installed: pip install 'forecastlab[explain]'"
        ) from None
