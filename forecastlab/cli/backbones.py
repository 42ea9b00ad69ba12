"""`forecastlab backbones`: what is registered."""

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from forecastlab.registry import registered_backbones


def backbones(args: Sequence[str]) -> None:
    """Prints every backbone and hybrid with one line each.

    Args:
        args: the command line after the sub-command.
    """
    parser = argparse.ArgumentParser(prog="forecastlab backbones", description="What is registered.")
    parser.add_argument("--input-size", type=int, default=72, help="width of the inputs that parameters are counted at")
    input_size = parser.parse_args(args).input_size
    table = Table(caption=f"parameters with default arguments and input_size={input_size}", box=None)
    for column in ("name", "causal", "parameters", "what it is", "source"):
        table.add_column(column, justify="right" if column == "parameters" else "left")
    for name, cls in registered_backbones().items():
        backbone = cls(input_size)  # type: ignore[call-arg]  # every backbone takes its input_size alone
        parameters = sum(parameter.numel() for parameter in backbone.parameters())
        summary = (cls.__doc__ or "").strip().splitlines()[0]
        table.add_row(name, "yes" if backbone.causal else "no", f"{parameters:,}", summary, cls.source)
    Console(width=None).print(table)
