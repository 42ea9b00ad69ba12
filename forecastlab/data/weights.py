"""Weights of rows: how much each counts in the loss."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from forecastlab.data.recipe import Recipe
from forecastlab.errors import DataError


def require_weights(recipe: Recipe, numbers: NDArray[np.float64], name_of: Callable[[int], str]) -> bool:
    """Checks the weights of rows.

    Args:
        recipe: what the columns are; without a column of weights nothing is done.
        numbers: (rows, columns), finite, or NaN where a value is missing.
        name_of: how a row of this number is called in a message.

    Returns:
        Whether any row with a target has a weight above 0; weights that are all 0 would train nothing.

    Raises:
        DataError: for a negative weight, or a row with a target and no weight.
    """
    if not recipe.weight:
        return False
    weights = numbers[:, recipe.places[recipe.weight]]
    targets = ~np.isnan(numbers[:, [recipe.places[name] for name in recipe.targets]]).all(axis=1)
    missing = np.isnan(weights)
    for wrong, what in ((missing & targets, "no weight"), (weights < 0, "a negative weight")):
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            got = "" if missing[row] else f", {weights[row]:g},"
            raise DataError(
                f"weight_column: {name_of(row)} has {what}{got} in {recipe.weight} ({int(wrong.sum())} such rows): "
                "each row with a target needs a weight of 0 or more; 0 leaves it out of the training"
            )
    return bool(weights[targets].any())
