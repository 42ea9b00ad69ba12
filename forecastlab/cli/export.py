"""`forecastlab export`: a trained network for other programs."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from forecastlab.cli.runs import Run, experiment_name, open_checkpoint, root_folder
from forecastlab.errors import ConfigError, DataError
from forecastlab.export.safetensors import save_safetensors
from forecastlab.forecaster import Forecaster

Save = Callable[[Forecaster, Path, Mapping[str, Any]], Sequence[Path]]
"""(network, where to, settings of its run) -> the files that were written."""

FORMATS: dict[str, Save] = {"safetensors": save_safetensors}
"""How a network is written in each format, whose name is also the ending of the file."""


def export(args: Sequence[str]) -> None:
    """Writes the network of a checkpoint in another format.

    Args:
        args: the command line after the sub-command.

    Raises:
        ConfigError: if there is no such checkpoint, or its weights are not trained.
        DataError: if it cannot be used, or the files cannot be written.
    """
    given = parser().parse_args(args)
    path, checkpoint = open_checkpoint(given.ckpt_path, root_folder(args), experiment_name(args))
    if not checkpoint["global_step"]:
        raise ConfigError(f"the weights in {path} are not trained: there is nothing to export")
    try:
        model = Forecaster.load(path)
        config = yaml.safe_load(checkpoint["config"])
    except (DataError, KeyError, TypeError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be exported: {error}") from None
    run = Run.of_checkpoint(path)
    folder = path.parent if run is None else run.folder / "export"
    output = given.output or folder / f"{path.stem}.{given.format}"
    for file in FORMATS[given.format](model, output, config if isinstance(config, dict) else {}):
        print(file)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="forecastlab export",
        description="Writes the network of a checkpoint for other programs. safetensors: the weights, and beside them "
        "a JSON file with everything else (network, columns, scaling, config); in Python, "
        "forecastlab.export.load_safetensors(FILE) loads both back.",
        allow_abbrev=False,
    )
    parser.add_argument("--ckpt_path", default="best", help="best or last of the newest run, or a path (default: best)")
    parser.add_argument("--format", choices=FORMATS, default="safetensors", help="default: %(default)s")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="default: export/ in the run's folder, named after the checkpoint"
    )
    parser.add_argument("--experiment", help="whose newest run is meant")
    parser.add_argument("--trainer.default_root_dir", metavar="FOLDER", help="where lightning_logs is")
    return parser
