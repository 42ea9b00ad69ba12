"""How much a network that selects its variables reads each of them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecastlab.explanation.names import SignalName
from forecastlab.network.inputs import known_of
from forecastlab.network.network import Network

STEP = "number of the step"


def variables(model: Network, name: SignalName, target: int = 0) -> Sequence[str]:
    """The names of the variables that a signal "selection" or "static_selection" weighs, in order.

    Args:
        model: the network.
        name: name of the signal.
        target: number of the target that is explained, of independent channels.
    """
    if name.path == "decoder":
        return [*known_of(model.schema, model.embeddings), STEP]
    inputs = model.inputs_by_name(target)
    if name.part:  # within a hybrid, inputs may be those of another part, and none is known to be static
        return []
    return [one.name for one in inputs if one.static == (name.signal == "static_selection")]


def shares(weights: NDArray[np.float64], names: Sequence[str]) -> pd.DataFrame:
    """The weights of variables over the forecasts, the largest first.

    Args:
        weights: (forecasts, variables); each row sums to 1.
        names: of the variables; () if they are not known, and they are numbered.

    Returns:
        A row per variable with the columns `mean`, `10 %`, `50 %` and `90 %`.
    """
    low, middle, high = np.quantile(weights, (0.1, 0.5, 0.9), 0)
    index = list(names) or [f"input {number}" for number in range(1, weights.shape[1] + 1)]
    table = pd.DataFrame({"mean": weights.mean(0), "10 %": low, "50 %": middle, "90 %": high}, index)
    return table.sort_values("mean", ascending=False)
