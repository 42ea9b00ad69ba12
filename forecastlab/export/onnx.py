"""Export to ONNX, which runs without torch: in ONNX Runtime, on servers, in browsers, on phones."""

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from forecastlab.errors import ConfigError, ForecastlabError
from forecastlab.export.files import with_ending, write
from forecastlab.export.obstacles import first_line, obstacle
from forecastlab.export.program import Exported, Program, capture, difference, quiet
from forecastlab.network.network import Network

KEY = "forecastlab"
"""The entry of a file's metadata that describes the file as JSON."""


def save_onnx(model: Network, path: str | Path, step: bool = False) -> Exported:
    """Writes a network as an ONNX file.

    The file's inputs and outputs are those of `forecastlab.export.functions.Forecasting` (or `Stepping`), by name and
    in original units. Inputs that the network does not read are left out. The entry "forecastlab" of the metadata is
    JSON. It holds the schema, the axes of all tensors, and for `step` the initial state.

    Args:
        model: the network.
        path: the file, which ends in .onnx.
        step: whether the file takes one row and the state before it, and gives the state after it.

    Raises:
        ConfigError: if the network cannot be exported; the message names the operation.
        DataError: if the file cannot be written, or if its results differ from the network's.
        ForecastlabError: if a package is not installed.
    """
    path = with_ending(path, ".onnx")
    onnx_ir, passes, runtime = (_module(name) for name in ("onnx_ir", "onnx_ir.passes.common", "onnxruntime"))
    _module("onnxscript")
    program = capture(model, step)
    try:
        with quiet():
            written = torch.onnx.export(
                program.exported,
                dynamo=True,
                verbose=False,
                input_names=list(program.inputs),
                output_names=list(program.outputs),
            )
    except Exception as error:
        raise ConfigError(f"the network cannot be exported to ONNX: {obstacle(error) or first_line(error)}") from error
    assert written is not None
    passes.RemoveUnusedNodesPass()(written.model)
    passes.ClearMetadataAndDocStringPass()(written.model)  # the metadata holds paths of this machine
    _name_axes(onnx_ir, written.model, program)
    written.model.metadata_props[KEY] = json.dumps(program.about)
    content: bytes = written.model_proto.SerializeToString()
    worst = program.check(_running(runtime, content))
    write(path, content)
    return Exported([path], [*program.lines(), difference(worst)])


def _name_axes(onnx_ir: Any, graph_of: Any, program: Program) -> None:
    """Gives the axes of the inputs and outputs their names, in place of torch's symbols."""
    for values, tensors in ((graph_of.graph.inputs, program.inputs), (graph_of.graph.outputs, program.outputs)):
        for value in values:
            value.shape = onnx_ir.Shape(tensors[value.name])


def _running(runtime: Any, content: bytes) -> Any:
    """A function that runs a file's content."""
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return [torch.from_numpy(part) for part in session.run(None, {k: v.numpy() for k, v in inputs.items()})]

    return run


def _module(name: str) -> Any:
    """A module of an extra."""
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise ForecastlabError(
            f"this needs {package}, which is not installed: pip install 'forecastlab[export]'"
        ) from None
