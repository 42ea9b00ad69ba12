"""Engines by what the command line calls them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from forecastlab.errors import ConfigError
from forecastlab.runs.engines.engine import Engine
from forecastlab.runs.engines.local import Local
from forecastlab.runs.engines.ray_tasks import Ray
from forecastlab.runs.engines.slurm_jobs import Slurm

ENGINES: Mapping[str, type[Any]] = {"local": Local, "ray": Ray, "slurm": Slurm}
HELP = (
    "where they run: local (this machine), ray or ray:ADDRESS (Ray Core), or slurm (jobs of SLURM); settings follow a "
    "colon, as in ray:10.0.0.1:6379,gpus=0.5 or slurm:partition=gpu,gpus=1,minutes=240"
)
"""What `--engine` says of itself."""


def engine_of(engine: str | Engine) -> Engine:
    """An engine by its name, an address and settings after a colon: ray:10.0.0.1:6379,gpus=0.5.

    Args:
        engine: the text; an engine is given back as it is.

    Raises:
        ConfigError: if there is no such engine, or it has no such setting.
    """
    if isinstance(engine, Engine):
        return engine
    name, _, rest = engine.partition(":")
    if name not in ENGINES:
        raise ConfigError(f"--engine: expected local, ray, ray:ADDRESS or slurm, got {engine!r}")
    kind = ENGINES[name]
    known: dict[str, type[Any]] = {field.name: type(field.default) for field in fields(kind)}
    settings: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            key, value = "address", part
        if key not in known:
            raise ConfigError(f"--engine {name} has no {key}; it takes {', '.join(known) or 'nothing'}")
        convert = known[key] if known[key] in (int, float) else str
        try:
            settings[key] = convert(value)
        except ValueError:
            raise ConfigError(f"--engine {engine}: expected a number for {key}, got {value!r}") from None
    found: Engine = kind(**settings)
    return found
