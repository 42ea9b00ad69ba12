"""`forecastlab explain`: what a trained network looks at."""

import argparse
import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image

from forecastlab.cli.command_line import ForecastCLI
from forecastlab.data.trained_on import records_of
from forecastlab.evaluation.page import write
from forecastlab.explanation.explain import Explanation
from forecastlab.explanation.explain import explain as explain_network
from forecastlab.training.callbacks.run_folder import folder_of

FOLDER = "explain"
SUMMARY = "summary.txt"


class TrainedNetwork(ForecastCLI):
    """The network and the data of a command line of `test`; nothing is scored."""

    def _require_checkpoint(self, subcommand: str) -> None:
        super()._require_checkpoint("explain")

    def run_subcommand(self, subcommand: str) -> None:
        """Takes the trained weights and runs nothing."""
        self.model.load_state_dict(self.loaded["state_dict"])
        self.model.to(self.trainer.strategy.root_device)


def explain(args: Sequence[str]) -> None:
    """Explains the network of a checkpoint: prints what it looks at, and writes figures and tables.

    Args:
        args: the command line after the sub-command: the options below and all of `test`.
    """
    given, rest = parser().parse_known_args(args)
    cli = TrainedNetwork(["test", *rest, "--trainer.devices=1"])
    explanation = explain_network(
        cli.model,
        cli.datamodule,
        given.stage,
        series=given.series,
        target=given.target,
        repeats=given.repeats,
        block=given.block,
        origins=given.origins,
        steps=given.steps,
        threshold=given.threshold,
        seed=int(os.environ.get("PL_GLOBAL_SEED", "0")),  # seed_everything
    )
    folder = folder_of(cli.trainer) / FOLDER
    notes = cli.datamodule.seen(records_of(cli.loaded), given.stage).notes
    summary = "\n".join([*notes, explanation.summary])
    print(summary)
    _write(explanation, summary, folder)
    for logger in cli.trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            _show(explanation, logger, cli.loaded["global_step"] - 1)
    print(f"\nfigures    {os.path.relpath(folder)}")


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="forecastlab explain",
        description="What a trained network looks at: gates, states and attention over time, and the importance of its "
        "inputs. Figures and the table behind each go to the run's folder explain/, figures to TensorBoard too. Takes "
        "all options of test besides: --ckpt_path best (of the newest run), last or a path, --data..., --config.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--stage",
        choices=("test", "validation"),
        default="test",
        help="the rows of the fold that are forecast; those of the test explain, and must not choose (default: test)",
    )
    parser.add_argument("--series", metavar="NAME", help="the series of a panel (default: the first)")
    parser.add_argument(
        "--target", metavar="NAME", help="the target whose forecasts are explained (default: the first)"
    )
    parser.add_argument("--repeats", type=int, default=10, help="permutations of each feature (default: %(default)s)")
    parser.add_argument(
        "--block",
        type=int,
        metavar="ROWS",
        help="neighbouring rows that stay together when a feature is permuted, so that its course over a few steps "
        "stays a likely one; 1 permutes single rows (default: the lookback, at most the square root of the rows)",
    )
    parser.add_argument(
        "--origins",
        type=int,
        default=32,
        help="forecasts, evenly spaced, whose gradients are integrated (default: %(default)s)",
    )
    parser.add_argument(
        "--steps", type=int, default=32, help="points of each integral; more close its gap (default: %(default)s)"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.01,
        help="magnitude that a hidden unit must exceed to count as used (default: %(default)s)",
    )
    return parser


def _write(explanation: Explanation, summary: str, folder: Path) -> None:
    """Writes figures, tables and the summary; those of an earlier explanation, which may have been others, go."""
    for path in [*folder.glob("*.png"), *folder.glob("*.csv")]:
        with contextlib.suppress(OSError):  # writing there will say why it is not possible
            path.unlink()
    for finding in explanation.findings:
        write(finding.picture.png(), folder / f"{finding.picture.name}.png")
        write(finding.table.to_csv(index=False), folder / f"{finding.picture.name}.csv")
    write(summary + "\n", folder / SUMMARY)


def _show(explanation: Explanation, logger: TensorBoardLogger, step: int) -> None:
    """Shows the figures in TensorBoard, at the last step that the weights were trained on."""
    for finding in explanation.findings:
        with Image.open(io.BytesIO(finding.picture.png())) as image:
            pixels = np.asarray(image.convert("RGB"))
        logger.experiment.add_image(f"explain/{finding.picture.name}", pixels, step, dataformats="HWC")
    logger.experiment.flush()
