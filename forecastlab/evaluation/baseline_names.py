"""Baselines by name, with their settings, as command lines and configs give them."""

import inspect
import re
from collections.abc import Sequence
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from forecastlab.baselines import (
    ARIMA,
    AutoARIMA,
    AutoETS,
    Baseline,
    Climatology,
    DLinear,
    ElasticNet,
    GradientBoosting,
    Lasso,
    LeastAbsolute,
    NLinear,
    Persistence,
    ResidualRegression,
    Ridge,
    SeasonalNaive,
    Theta,
)
from forecastlab.errors import ConfigError
from forecastlab.experiment.messages import in_words_of_users

BASELINES: dict[str, type[Baseline]] = {
    "persistence": Persistence,
    "seasonal_naive": SeasonalNaive,
    "climatology": Climatology,
    "ridge": Ridge,
    "lasso": Lasso,
    "elastic_net": ElasticNet,
    "lad": LeastAbsolute,
    "nlinear": NLinear,
    "dlinear": DLinear,
    "gradient_boosting": GradientBoosting,
    "auto_ets": AutoETS,
    "theta": Theta,
    "arima": ARIMA,
    "auto_arima": AutoARIMA,
    "arima_residuals": ResidualRegression,
}

_FORM = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*", re.DOTALL)


def usual(season_length: int, panel: bool = False) -> list[str]:
    """The baselines that are scored unless others are named.

    Args:
        season_length: rows in a season; the seasonal naive is among them if it is above 1.
        panel: whether there may be several series, which a pooled ridge fits together.
    """
    seasonal = ["seasonal_naive"] if season_length > 1 else []
    pooled = ["ridge(pooled=true)"] if panel else []
    return ["persistence", *seasonal, "climatology", "ridge", *pooled, "lasso"]


def split(text: str) -> list[str]:
    """Parts of a list with commas between them, but for those in brackets: ridge(lags=28,alphas=[1,2]),lasso."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def build(specification: str) -> Baseline:
    """A baseline from its name, or its name and settings: ridge, ridge(lags=28), arima(order=[1,0,0]).

    Args:
        specification: a key of `BASELINES`; in brackets behind it, arguments of the class as name=value, with values as
            in YAML.

    Raises:
        ConfigError: for an unknown name or setting, or a value that is not possible.
    """
    form = _FORM.fullmatch(specification)
    if form is None or form[1] not in BASELINES:
        name = specification if form is None else form[1]
        raise ConfigError(f"--baselines: unknown baseline {name!r}; there are {', '.join(BASELINES)}")
    cls = BASELINES[form[1]]
    values = dict(_setting(specification, cls, part) for part in split(form[2] or ""))
    if not values:
        return cls()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, "baseline", skip=set(_arguments(cls)) - set(values))
    with in_words_of_users(parser, f"--baselines {specification}: "):
        given = parser.instantiate(parser.parse_object({"baseline": values})).baseline
    built: Baseline = given
    return built


def build_all(specifications: Sequence[str]) -> list[Baseline]:
    """Several baselines, each as `build` makes it.

    Raises:
        ConfigError: as `build`, or if one is named twice.
    """
    names = [specification.replace(" ", "") for specification in specifications]
    if double := [name for number, name in enumerate(names) if name in names[:number]]:
        raise ConfigError(f"--baselines: {double[0]} is named twice")
    return [build(specification) for specification in specifications]


def _arguments(cls: type[Baseline]) -> list[str]:
    return [name for name in inspect.signature(cls.__init__).parameters if name not in ("self", "args", "kwargs")]


def _setting(specification: str, cls: type[Baseline], part: str) -> tuple[str, Any]:
    """Name and value of "name=value"."""
    name, equals, value = (word.strip() for word in part.partition("="))
    known = _arguments(cls)
    if not equals or name not in known:
        settings = f"its settings are {', '.join(known)}" if known else "it has no settings"
        raise ConfigError(
            f"--baselines {specification}: expected settings such as name=value, got {part!r}; {settings}"
        )
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"--baselines {specification}: cannot read the value of {name}, {value!r}") from None
