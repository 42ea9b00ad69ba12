"""The files of an explanation, and its figures in TensorBoard."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from lightning.pytorch.loggers import Logger, TensorBoardLogger

from forecastlab.explanation.explain import Explanation
from forecastlab.figures.drawing import pixels
from forecastlab.runs.files import write_output

SUMMARY = "summary.txt"


def write_explanation(explanation: Explanation, summary: str, folder: Path) -> None:
    """Writes figures, tables and the summary; those of an earlier explanation, which may have been others, go.

    Raises:
        ConfigError: if a file cannot be written.
    """
    for path in [*folder.glob("*.png"), *folder.glob("*.csv")]:
        with contextlib.suppress(OSError):  # writing there will say why it is not possible
            path.unlink()
    for finding in explanation.findings:
        write_output(finding.picture.png(), folder / f"{finding.picture.name}.png")
        write_output(finding.table.to_csv(index=False), folder / f"{finding.picture.name}.csv")
    write_output(summary + "\n", folder / SUMMARY)


def show_explanation(explanation: Explanation, loggers: Iterable[Logger], step: int) -> None:
    """Shows the figures in those of the loggers that are TensorBoard's.

    Args:
        explanation: the figures.
        loggers: of a run.
        step: the last one that the weights were trained on.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            for finding in explanation.findings:
                drawn = pixels(finding.picture.png())
                logger.experiment.add_image(f"explain/{finding.picture.name}", drawn, step, dataformats="HWC")
            logger.experiment.flush()
