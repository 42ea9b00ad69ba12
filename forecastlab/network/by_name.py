"""Parts of a network by the names of their classes, in Python."""

import difflib
import inspect
from functools import partial
from typing import Any

from torch.optim import Optimizer

from forecastlab.backbones.base import Backbone
from forecastlab.decoders import Decoder
from forecastlab.errors import ConfigError
from forecastlab.losses import Loss
from forecastlab.network.factory import known_classes, subclasses

_BASES: dict[str, type] = {
    "backbone": Backbone,
    "across": Backbone,
    "decoder": Decoder,
    "loss": Loss,
    "optimizer": Optimizer,
}
"""The parts that have a name of their own; a schedule needs arguments besides."""


class ByName(type):
    """Lets the parts of a network be given by name, and the backbone's arguments beside the network's own.

    `Forecaster("GRU", hidden_size=16, schema=schema)` is `Forecaster(partial(GRU, hidden_size=16), schema=schema)`. The
    class GRU may stand in the place of its name. An argument that both have, such as `dropout`, is the network's own;
    the backbone's is given as above with `functools.partial`.
    """

    @property
    def __signature__(cls) -> inspect.Signature:
        """The arguments of the class itself, which help texts show."""
        signature = inspect.signature(cls.__init__)  # type: ignore[misc]  # the class asks for its own
        return signature.replace(parameters=list(signature.parameters.values())[1:])

    def __call__(cls, *args: Any, **arguments: Any) -> Any:
        """Builds an instance.

        Raises:
            ConfigError: for a name that no class has.
        """
        own = cls.__signature__.parameters
        positions = [name for name, one in own.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
        named = dict(zip(positions, args, strict=False))
        if len(args) > len(positions) or set(named) & set(arguments):
            return super().__call__(*args, **arguments)  # Python says what is wrong
        arguments = {**named, **arguments}
        for name, base in _BASES.items():
            if isinstance(arguments.get(name), str):
                arguments[name] = _named(name, base, arguments[name])
        backbone = arguments.get("backbone")
        if isinstance(backbone, type) and (others := [name for name in arguments if name not in own]):
            arguments["backbone"] = partial(backbone, **{name: arguments.pop(name) for name in others})
        return super().__call__(**arguments)


def _named(part: str, base: type, name: str) -> type:
    """The class of a name.

    Raises:
        ConfigError: if there is none.
    """
    classes = {cls.__name__: cls for cls in known_classes(base).values()} | subclasses(base)
    if name in classes:
        return classes[name]
    if base is Backbone:
        classes = {name: cls for name, cls in classes.items() if hasattr(cls, "source")}  # not shared bases
    close = difflib.get_close_matches(name, classes, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ConfigError(f"model.{part}: there is no {part} {name!r}; {hint}Available: {', '.join(sorted(classes))}")
