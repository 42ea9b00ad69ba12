"""Recipes: functions that make a config out of what is seen in rows."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from forecastlab.data.survey import Survey
from forecastlab.errors import ConfigError
from forecastlab.experiment.proposal import proposed
from forecastlab.network.factory import allowed_imports

Recipe: TypeAlias = Callable[[Survey, Mapping[str, Any]], dict[str, Any]]
"""Takes what was seen and what is known besides; gives keys and values for `Config.of`."""

RECIPES: dict[str, Recipe] = {"auto": proposed}
"""The recipes of this package: `auto` is what `forecastlab init` writes."""


def recipe_of(name: str) -> Recipe:
    """The recipe of a name, or a function by its dotted path in a package of `--allow_import`.

    Raises:
        ConfigError: if there is none such, or its package is not allowed.
    """
    if name in RECIPES:
        return RECIPES[name]
    module, _, function = name.rpartition(".")
    package = name.partition(".")[0]
    if not module or package not in allowed_imports():
        hint = f"; to use a function of yours, give --allow_import {package}" if module else ""
        raise ConfigError(f"expected a recipe, {', '.join(RECIPES)} or package.module.function, got {name!r}{hint}")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"--recipe: {name} cannot be imported: {error}") from None
    if not callable(found):
        raise ConfigError(f"--recipe: expected a function of what was seen and of the answers, got {name}")
    recipe: Recipe = found
    return recipe
