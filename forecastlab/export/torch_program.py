"""torch.export's own files, for programs with torch but without this package: in Python, or compiled for C++."""

import io
import json
from pathlib import Path

import torch

from forecastlab.adapters.torch import tree_leaves
from forecastlab.export.files import with_ending, write
from forecastlab.export.program import Exported, capture, difference, nested, quiet
from forecastlab.network.network import Network


def save_torch(model: Network, path: str | Path, step: bool = False) -> Exported:
    """Writes a network as a program of torch.export, and beside it a file that ends in .json and describes it.

    `torch.export.load(path).module()` takes the inputs by name, in original units, and gives a dictionary, as
    `forecastlab.export.functions.Forecasting` (or `Stepping`) does. The JSON file holds the schema, the axes of all
    tensors, and for `step` the state to begin with.

    Args:
        model: the network.
        path: the file, which ends in .pt2.
        step: whether the program takes one row and the state before it, and gives the state after it.

    Raises:
        ConfigError: if the network cannot be exported; it says which operation stands in the way.
        DataError: if a file cannot be written, or does not compute what the network does.
    """
    path = with_ending(path, ".pt2")
    program = capture(model, step)
    content = io.BytesIO()
    with quiet():
        torch.export.save(program.exported, content)
        content.seek(0)
        module = torch.export.load(content).module()
    worst = program.check(lambda inputs: tree_leaves(module(**nested(inputs))))
    files = [path, path.with_suffix(".json")]
    write(files[0], content.getvalue())
    write(files[1], json.dumps(program.about, indent=2).encode() + b"\n")
    return Exported(files, [*program.lines(), difference(worst)])
