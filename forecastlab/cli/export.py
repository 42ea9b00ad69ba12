"""`forecastlab export`: a trained network for other programs."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from forecastlab.cli.configs import config_of, experiment_name, root_folder
from forecastlab.errors import ConfigError, DataError
from forecastlab.export.onnx import save_onnx
from forecastlab.export.program import Exported
from forecastlab.export.safetensors import save_safetensors
from forecastlab.export.torch_program import save_torch
from forecastlab.runs.run import Run, open_checkpoint
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


def export(args: Sequence[str]) -> None:
    """Writes the network of a checkpoint in another format.

    Args:
        args: the command line after the sub-command.

    Raises:
        ConfigError: if there is no such checkpoint, or its weights are not trained.
        DataError: if it cannot be used, or the files cannot be written.
        ForecastlabError: if a package is missing that the format needs.
    """
    given = parser().parse_args(args)
    if given.step and FORMATS[given.format].program is None:
        raise ConfigError(f"--step is for onnx and torch: {given.format} holds weights, and computes nothing")
    path, checkpoint = open_checkpoint(given.ckpt_path, root_folder(args), experiment_name(args))
    if not checkpoint["global_step"]:
        raise ConfigError(f"the weights in {path} are not trained: there is nothing to export")
    try:
        model = Forecaster.load(path)
        config = yaml.safe_load(config_of(checkpoint, "export", args, path))
    except DataError as error:
        raise DataError(f"{path} cannot be exported: {error}") from None
    run = Run.of_checkpoint(path)
    folder = path.parent if run is None else run.folder / "export"
    form = FORMATS[given.format]
    output = given.output or folder / f"{path.stem}{'.step' if given.step else ''}.{form.ending}"
    if form.program is None:
        exported = Exported(save_safetensors(model, output, config), [])
    else:
        exported = form.program(model, output, given.step)
    print(*exported.files, *exported.lines, sep="\n")


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="forecastlab export",
        description="Writes the network of a checkpoint for other programs. onnx: original units in and out, for any "
        "batch and, where the network allows, any number of rows; inputs by name, metadata say which. torch: the same "
        "as a program of torch.export, a JSON file beside it. safetensors: the weights, and beside them a JSON file "
        "with everything else (network, columns, scaling, config); in Python, "
        "forecastlab.export.load_safetensors(FILE) loads both back.",
        allow_abbrev=False,
    )
    parser.add_argument("--ckpt_path", default="best", help="best or last of the newest run, or a path (default: best)")
    parser.add_argument("--format", choices=FORMATS, default="safetensors", help="default: %(default)s")
    parser.add_argument(
        "--step",
        action="store_true",
        help="onnx and torch, of a network trained with lookback: full: takes one row and the state before it, gives "
        "the forecast and the state after it",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="default: export/ in the run's folder, named after the checkpoint"
    )
    parser.add_argument("--experiment", help="whose newest run is meant")
    parser.add_argument("--trainer.default_root_dir", metavar="FOLDER", help="where lightning_logs is")
    return parser
