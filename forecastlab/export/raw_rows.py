"""How the inputs of an exported network are made from the columns of its data, as plain data for its consumers."""

from typing import Any

from forecastlab.batch import Schema
from forecastlab.data.calendar import CYCLES
from forecastlab.data.recipe import Recipe


def described_rows(schema: Schema) -> dict[str, Any]:
    """What a consumer needs to make the inputs of rows whose columns are those of the training's data.

    Args:
        schema: names and sizes of the network's data.

    Returns:
        `time`: the columns of the times. `series`: the columns that tell series apart. `new_series`: whether the
        network takes series that its training had not. `min_history`: the rows that a window has at least, before which
        it is padded; None if it has `lookback` rows. `elapsed`: the unit of the input "elapsed", the time since the row
        before, which is 0 in the first row of a series: "hour", or the step of the calendar as a pandas offset; None
        without such an input. `missing`: what becomes of a missing value. `categories`: the values of each column of
        text, whose inputs are called "column=value". `derive`: the factors of the columns of which others are the sum.
        `calendar`: the period of each cycle that follows from a row's own time; cycles by the clocks of another zone,
        or of steps longer than a day, are left out.
    """
    recipe = Recipe.from_dict(schema.recipe)
    own_time = not schema.step and schema.time_zone is None
    return {
        "time": list(recipe.time_columns),
        "series": list(recipe.series_columns),
        "new_series": not schema.series,
        "min_history": schema.min_history,
        "elapsed": ("hour" if recipe.slots else recipe.frequency) if schema.elapsed else None,
        "missing": recipe.missing,
        "categories": {name: list(values) for name, values in recipe.categories.items()},
        "derive": {name: dict(parts) for name, parts in recipe.derive.items()},
        "calendar": {name: period for name, period in CYCLES.items() if own_time and name in schema.calendar},
    }
