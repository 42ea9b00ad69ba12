"""`forecastlab backbones`: what is registered."""

import argparse
from collections.abc import Sequence

from forecastlab.errors import ConfigError
from forecastlab.network.registry import registered_backbones
from forecastlab.text import aligned


def backbones(args: Sequence[str]) -> None:
    """Prints every backbone and hybrid with one line each.

    Args:
        args: the command line after the sub-command.
    """
    input_size = parser().parse_args(args).input_size
    if input_size < 1:
        raise ConfigError(f"--input_size must be positive, got {input_size}")
    rows = [("name", "causal", "parameters", "what it is [source]")]
    for name, cls in registered_backbones().items():
        backbone = cls(input_size)  # type: ignore[call-arg]  # every backbone can be built from its input_size alone
        parameters = sum(parameter.numel() for parameter in backbone.parameters())
        summary = (cls.__doc__ or "").strip().splitlines()[0]
        rows.append((name, "yes" if backbone.causal else "no", f"{parameters:,}", f"{summary} [{cls.source}]"))
    print("\n".join(aligned(rows, (False, False, True, False))))
    print(f"parameters: with default arguments, input_size={input_size}")


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(prog="forecastlab backbones", description="What is registered.")
    parser.add_argument("--input_size", type=int, default=72, help="width of the inputs that parameters are counted at")
    return parser
