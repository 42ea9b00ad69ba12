"""The inner signals of a network at its forecast origins."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from forecastlab.backbones.larnn import LARNNLayer
from forecastlab.batch import Batch
from forecastlab.data.windows import Windows
from forecastlab.explanation.attention import Attention
from forecastlab.explanation.names import SignalName, shown
from forecastlab.explanation.variables import shares, variables
from forecastlab.network.network import Network

ROWS_IN_A_BATCH = 1 << 14
"""The largest number of rows in a batch, summed over its histories."""
WEIGHTS_IN_A_BATCH = 1 << 20
"""The largest number of attention weights of a decoder in a batch, for each step of the horizon."""


@dataclass(frozen=True)
class Trace:
    """The inner signals of a network during its forecasts.

    Attributes:
        rows: one row per origin with the columns `cutoff` (its time), `ds` (the time of the next step), `y` (the truth
            then; NaN where there is none) and `forecast`, in the target's unit.
        signals: (origins, units) each, by name: the gates and states at the origins.
        peaks: (units,) each, by name: the largest magnitude over all steps.
        attention: the attention weights, by name.
        selection: the weights of variables that are selected, by name (`shares`).
    """

    rows: pd.DataFrame
    signals: dict[str, NDArray[np.float64]]
    peaks: dict[str, NDArray[np.float64]]
    attention: dict[str, Attention]
    selection: dict[str, pd.DataFrame]


def trace(model: Network, windows: Windows, times: pd.DatetimeIndex, target: int = 0) -> Trace:
    """Runs a network and keeps its signals at every origin.

    Args:
        model: the network, in evaluation.
        windows: samples of one series.
        times: the axis of their rows.
        target: number of the target whose forecasts are kept.
    """
    rows: list[NDArray[np.float64]] = []
    signals: dict[str, list[NDArray[np.float64]]] = {}
    peaks: dict[str, list[NDArray[np.float64]]] = {}
    for batch in batches(windows, model.device):
        truth = torch.where(batch.weight[:, :, 0, target] > 0, batch.target[:, :, 0, target], torch.nan)
        forecast = model(batch)[:, :, 0, target]
        rows.append(np.stack([_numpy(part).ravel() for part in (batch.index, truth, forecast)], 1))
        origins = batch.index.shape[1]
        traced = model.trace(batch, target)
        for name in shown(traced):
            signal = SignalName.of(name)
            values = _in_time(traced[name], signal)
            if signal.kind == "attention":
                heads = values if values.dim() == 4 else values.unsqueeze(2)
                signals.setdefault(name, []).append(_numpy(heads[:, -origins:].flatten(0, 1)))
            elif signal.kind == "selection":
                signals.setdefault(name, []).append(_numpy(values[:, -origins:].flatten(0, -2)))
            else:
                units = values.flatten(2)
                signals.setdefault(name, []).append(_numpy(units[:, -origins:].flatten(0, 1)))
                peaks.setdefault(name, []).append(_numpy(units.abs().amax((0, 1))))
    index, truth, forecast = np.concatenate(rows).T
    joined = {name: np.concatenate(parts) for name, parts in signals.items()}
    kinds = {name: SignalName.of(name).kind for name in joined}
    at = index.astype(np.int64)
    return Trace(
        pd.DataFrame({"cutoff": times[at], "ds": times[at + 1], "y": truth, "forecast": forecast}),
        {name: values for name, values in joined.items() if kinds[name] in ("gate", "state")},
        {name: np.max(parts, 0) for name, parts in peaks.items()},
        {
            name: _attention(model, name, values, windows, times)
            for name, values in joined.items()
            if kinds[name] == "attention"
        },
        {
            name: shares(values, variables(model, SignalName.of(name), target))
            for name, values in joined.items()
            if kinds[name] == "selection"
        },
    )


def batches(windows: Windows, device: torch.device) -> Iterator[Batch]:
    """The samples in order, in batches of at most `ROWS_IN_A_BATCH` rows."""
    for chosen in torch.arange(len(windows)).split(max(1, ROWS_IN_A_BATCH // steps_of(windows))):
        yield Batch(*(part.to(device) for part in windows[chosen.tolist()]))


def steps_of(windows: Windows) -> int:
    """The number of steps of the longest history."""
    return int((windows.ends - windows.begins).max()) + 1


def sequences_at_once(model: Network, windows: Windows) -> int:
    """The number of histories in a batch; fewer if the decoder holds weights from every origin to every step."""
    steps, origins = steps_of(windows), int((windows.ends - windows.origins).max()) + 1
    fit = ROWS_IN_A_BATCH // steps
    return max(1, min(fit, WEIGHTS_IN_A_BATCH // (steps * origins)) if model.decoder.attends else fit)


def _in_time(values: Tensor, name: SignalName) -> Tensor:
    """A signal in the order of time. A part that reads backwards gives its signals in the order in which it reads."""
    if name.reversals % 2 == 0:
        return values
    values = values.flip(1)
    return values.flip(-1) if name.kind == "attention" else values


def _attention(
    model: Network, name: str, weights: NDArray[np.float64], windows: Windows, times: pd.DatetimeIndex
) -> Attention:
    origins, heads, columns = weights.shape
    signal = SignalName.of(name)
    kind = "step" if signal.path == "decoder" else "head"
    labels = [f"{kind} {number}" for number in range(1, heads + 1)]
    if signal.layer is not None and isinstance(_layer(model, signal), LARNNLayer):
        return Attention(weights, labels, np.full(origins, columns))  # the newest cell in its queue is one step back
    if len(windows) > 1 or origins == 1:
        return Attention(weights, labels, np.full(origins, columns - 1))
    begin = int(windows.begins[0])
    return Attention(weights, labels, np.arange(columns - origins, columns), times[begin : begin + columns])


def _layer(model: Network, name: SignalName) -> torch.nn.Module | None:
    layers = getattr(model.get_submodule(name.path), "layers", None)
    return None if layers is None else layers[name.layer]


def _numpy(values: Tensor) -> NDArray[np.float64]:
    return np.asarray(values.detach().double().cpu())
