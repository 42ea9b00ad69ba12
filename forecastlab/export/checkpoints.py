"""A checkpoint in another format."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from forecastlab.errors import ConfigError, DataError
from forecastlab.experiment.config_files import config_of
from forecastlab.export.onnx import save_onnx
from forecastlab.export.program import Exported
from forecastlab.export.safetensors import save_safetensors
from forecastlab.export.torch_program import save_torch
from forecastlab.runs.run import Run, load_checkpoint
from forecastlab.training.forecaster import Forecaster


class Format(NamedTuple):
    """How a network is written."""

    ending: str
    """Of the file."""
    program: Callable[[Forecaster, Path, bool], Exported] | None
    """(network, where to, whether step by step) -> what was done; None where the weights alone are written."""


FORMATS = {
    "safetensors": Format("safetensors", None),
    "onnx": Format("onnx", save_onnx),
    "torch": Format("pt2", save_torch),
}


def export_checkpoint(
    path: Path,
    format: str = "safetensors",
    step: bool = False,
    output: Path | None = None,
    args: Sequence[str] = (),
) -> Exported:
    """Writes the network of a checkpoint in another format.

    Args:
        path: the checkpoint.
        format: a key of `FORMATS`.
        step: whether the program takes one row and the state before it, for formats that compute.
        output: where to; None for export/ in the run's folder, or beside a checkpoint that lies in no run.
        args: options that were given besides: of what they name nothing needs to be said.

    Raises:
        ConfigError: if there is no such format, or the weights are not trained.
        DataError: if the checkpoint cannot be used, or the files cannot be written.
        ForecastlabError: if a package is missing that the format needs.
    """
    if format not in FORMATS:
        raise ConfigError(f"--format: expected one of {', '.join(FORMATS)}, got {format!r}")
    form = FORMATS[format]
    if step and form.program is None:
        raise ConfigError(f"--step is for onnx and torch: {format} holds weights, and computes nothing")
    checkpoint = load_checkpoint(path)
    if not checkpoint["global_step"]:
        raise ConfigError(f"the weights in {path} are not trained: there is nothing to export")
    try:
        model = Forecaster.load(path)
        config = yaml.safe_load(config_of(checkpoint, "export", args, path))
    except DataError as error:
        raise DataError(f"{path} cannot be exported: {error}") from None
    run = Run.of_checkpoint(path)
    folder = path.parent if run is None else run.folder / "export"
    output = output or folder / f"{path.stem}{'.step' if step else ''}.{form.ending}"
    if form.program is None:
        return Exported(save_safetensors(model, output, config), [])
    return form.program(model, output, step)
