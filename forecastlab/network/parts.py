"""Parts of a network as plain data, with errors that name the setting."""

from typing import Any

from forecastlab.errors import ConfigError
from forecastlab.network.factory import Described, build, describe


def described(name: str, part: Any) -> Described:
    """A class, a partial of one or a mapping as plain data.

    Raises:
        ConfigError: if it cannot be saved in a checkpoint.
    """
    try:
        return describe(part)
    except TypeError as error:
        raise ConfigError(f"model.{name}: {error}") from error


def built(name: str, part: Described, base: type, *sizes: Any) -> Any:
    """Builds a part of the network.

    Raises:
        ConfigError: if the class is not allowed, or refuses a value.
    """
    try:
        return build(part, base, *sizes)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"model.{name}: {error}") from error
