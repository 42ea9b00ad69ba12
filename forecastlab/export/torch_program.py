"""Export to torch.export's file format, for programs with torch but without forecastlab, in Python or C++."""

import io
import json
from pathlib import Path

import torch

from forecastlab.adapters.torch import tree_leaves
from forecastlab.export.files import with_ending, write
from forecastlab.export.program import Exported, capture, difference, nested, quiet
from forecastlab.network.network import Network


def save_torch(model: Network, path: str | Path, step: bool = False) -> Exported:
    """Writes a network as a program of torch.export, and beside it a .json file that describes it.

    `torch.export.load(path).module()` takes the inputs by name, in original units, and gives a dictionary, as
    `forecastlab.export.functions.Forecasting` (or `Stepping`) does. The JSON file holds the schema, the axes of all
    tensors, and for `step` the initial state.

    Args:
        model: the network.
        path: the file, which ends in .pt2.
        step: whether the program takes one row and the state before it, and gives the state after it.

    Raises:
        ConfigError: if the network cannot be exported; the message names the operation.
        DataError: if a file cannot be written, or if the program's results differ from the network's.
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
