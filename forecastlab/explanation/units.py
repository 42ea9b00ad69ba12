"""Hidden units that a network does not use."""

import inspect
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import nn

from forecastlab.explanation.names import SignalName


def near_zero(peak: NDArray[np.float64], threshold: float) -> int:
    """The number of units that never exceed a threshold.

    Args:
        peak: (units,): the largest magnitude of each.
        threshold: magnitudes up to it count as zero.
    """
    return int((peak <= threshold).sum())


def unused(model: nn.Module, peaks: Mapping[str, NDArray[np.float64]], threshold: float) -> list[str]:
    """Sentences about hidden units that stay near zero at every step, with the size of the network without them.

    The layers of a part share one `hidden_size`. It can shrink by the number of units that every layer leaves unused.

    Args:
        model: the Network.
        peaks: (units,) each, by name of the signal: the largest magnitude.
        threshold: magnitudes up to it count as zero.
    """
    parts: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, peak in peaks.items():
        if SignalName.of(name).is_hidden:
            parts.setdefault(SignalName.of(name).path, {})[name] = peak
    sentences = []
    for path, layers in parts.items():
        counts = {name: near_zero(peak, threshold) for name, peak in layers.items()}
        smaller = _smaller(model.get_submodule(path), layers, counts)
        for name, count in counts.items():
            units, signal = len(layers[name]), SignalName.of(name)
            place = signal.place if signal.signal == "hidden" else f"{signal.place}, {signal.label}"
            if count == 0:
                text = f"each of the {units} units exceeds {threshold:g} at some step"
            else:
                text = f"{count} of {units} units never exceed {threshold:g}"
                if count == units:
                    text += ": the layer hands nothing on"
                elif smaller:
                    text += f": try hidden_size {smaller}"
            sentences.append(f"{place}: {text}")
    return sentences


def _smaller(part: nn.Module, layers: Mapping[str, NDArray[np.float64]], counts: Mapping[str, int]) -> int | None:
    """The smaller hidden_size; None if hidden_size is not the number of units, or if no unit would remain."""
    widths = {len(peak) for peak in layers.values()}
    if "hidden_size" not in inspect.signature(type(part)).parameters or widths != {getattr(part, "output_size", None)}:
        return None
    (width,) = widths
    heads = max((getattr(module, "num_heads", 1) for module in part.modules()), default=1)
    left = -(-(width - min(counts.values())) // heads) * heads  # a multiple of the number of heads
    return left if left < width else None
