"""`forecastlab export`: a trained network for other programs."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from forecastlab.experiment.config_files import experiment_name, root_folder
from forecastlab.export.checkpoints import FORMATS, export_checkpoint
from forecastlab.runs.run import open_checkpoint


def export(args: Sequence[str]) -> None:
    """Writes the network of a checkpoint in another format, and prints what was done.

    Args:
        args: the command line after the sub-command.
    """
    given = parser().parse_args(args)
    path, _ = open_checkpoint(given.ckpt_path, root_folder(args), experiment_name(args))
    exported = export_checkpoint(path, given.format, given.step, given.output, args)
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
    parser.add_argument("--format", choices=FORMATS, default="safetensors", help="what is written")
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
    parser.add_argument("--trainer.default_root_dir", metavar="FOLDER", help="folder that lightning_logs is in")
    return parser
