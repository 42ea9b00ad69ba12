"""Errors for forecasts that are not finite, with their origin."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch

from forecastlab.batch import Batch, Prediction
from forecastlab.errors import DataError
from forecastlab.network.composition import Composition

LARGE_INPUT = 1e3
"""A scaled input of this size or more is named in the error. Values of the training are a few units large."""


def require_finite(
    prediction: Prediction,
    batch: Batch,
    network: Composition,
    names: Sequence[str] | None = None,
    times: pd.DatetimeIndex | None = None,
    scored_only: bool = False,
) -> None:
    """Checks that forecasts are finite.

    Args:
        prediction: the forecasts.
        batch: the samples of the forecasts.
        network: the network that made them.
        names: the series' names; None if they are not known.
        times: (rows + horizon,): the axis; None if it is not known.
        scored_only: whether forecasts of weight 0 do not count.

    Raises:
        DataError: if a forecast is infinite or not a number. The message names its series, its origin and the largest
            input.
    """
    finite = prediction.forecast.isfinite() & prediction.quantiles.isfinite().all(-1)
    if scored_only:
        finite = finite | (prediction.weight == 0)
    if bool(finite.all()):
        return
    sample, origin, step, target = (int(number) for number in (~finite).nonzero()[0])
    row = int(prediction.index[sample, origin])
    series = int(prediction.series[sample])
    of = f"number {series}" if names is None else names[series]
    since = f"row {row}" if times is None else f"{times[row]}"
    last = batch.history.shape[1] - prediction.index.shape[1] + origin
    raise DataError(
        f"the forecast of series {of} from {since} is not finite: step {step + 1} of "
        f"{network.schema.targets[target]} is "
        f"{prediction.forecast[sample, origin, step, target].item()}.\n{largest_input(network, batch, sample, last)}"
    )


def largest_input(network: Composition, batch: Batch, sample: int | None = None, last: int | None = None) -> str:
    """A sentence that names the input that differs most from the training rows, and says what to do.

    Args:
        network: the network.
        batch: the samples.
        sample: the number of the sample to look at; None for all.
        last: the last position of the history to look at; None for all.
    """
    with torch.no_grad():
        scaled = network.scaled(batch).inputs
    chosen = slice(None) if sample is None else slice(sample, sample + 1)
    scaled = scaled[chosen, : None if last is None else last + 1].abs().nan_to_num(nan=torch.inf, posinf=torch.inf)
    if not scaled.numel():
        return "Look at the rows before it."
    number = int(scaled.argmax())
    position = [int(part) for part in torch.unravel_index(torch.tensor(number), scaled.shape)]
    size = float(scaled[tuple(position)])
    columns = (*network.schema.features, *network.schema.static)
    name = columns[position[2]]
    if size < LARGE_INPUT:
        return "No input is far from the training's: use another checkpoint of the run, or train anew."
    value: Any = (
        batch.history[chosen][position[0], position[1], position[2]]
        if position[2] < len(network.schema.features)
        else batch.static[chosen][position[0], position[2] - len(network.schema.features)]
    )
    return (
        f"The largest input is {name}: {value.item():.6g}, which is {size:.3g} when it is scaled, where the training's "
        "values are a few units large. Look at this value; leave the column out of the features; or train with another "
        "data.scaler, such as standard"
    )
