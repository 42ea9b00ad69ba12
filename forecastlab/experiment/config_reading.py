"""Reads a config as it is written; what it means is the parser's to say."""

import os
from pathlib import Path
from typing import Any

import yaml

from forecastlab.errors import ConfigError, DataError
from forecastlab.limits import TEXT, read_yaml, require_file

SECTIONS = ("model", "trainer", "early_stopping", "checkpoints")
"""The parts of a config that have settings below them, or in a file of their own."""


def read_config(path: str) -> dict[str, Any]:
    """The content of a YAML file of keys and values.

    Raises:
        ConfigError: if it is anything else.
    """
    try:
        if os.path.exists(path):
            require_file(path, TEXT)
        content = read_yaml(Path(path).read_text(encoding="utf-8"), f"the config {path}")
    except DataError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"the config {path} is not valid YAML{where}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no text, or no such date
        raise ConfigError(f"the config {path} is not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"the config {path} holds no keys and values")
    for key in SECTIONS:
        value = content.get(key, {})
        if not isinstance(value, dict) and not (isinstance(value, str) and Path(value).suffix in (".yaml", ".yml")):
            raise ConfigError(f"the config {path}: expected settings below {key}, got {value!r}")
    return content
