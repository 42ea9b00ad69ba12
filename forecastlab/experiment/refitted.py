"""The weights that a run of `fold: all` ends with."""

from pathlib import Path

from forecastlab.runs.run import CHECKPOINTS, load_checkpoint
from forecastlab.training.callbacks.checkpoint_io import AtomicCheckpointIO
from forecastlab.training.callbacks.checkpoints import TO_RESUME

REFIT = "refit"
"""The folder, within that of the run, of the training on every row."""
MARK = "refitted"
"""The part of a checkpoint that tells weights that were trained on every row: for how many epochs."""


def finished(folder: Path) -> int | None:
    """Epochs of the training on every row, if the run's weights are its; what a killed process left is done.

    Args:
        folder: that of the run.
    """
    last = folder / CHECKPOINTS / "last.ckpt"
    epochs: int | None = load_checkpoint(last).get(MARK) if last.exists() else None
    if epochs is not None and (folder / REFIT).is_dir():
        install(folder)
    return epochs


def install(folder: Path) -> None:
    """Puts the weights that were trained on every row in the place of those that found the number of epochs.

    A process that is killed meanwhile leaves the old files or the new ones, and another call does what is left.

    Args:
        folder: that of the run.
    """
    trained = load_checkpoint(folder / REFIT / CHECKPOINTS / "last.ckpt")
    whole = {name: part for name, part in trained.items() if name not in TO_RESUME}
    for name in ("last.ckpt", "best.ckpt"):
        path = folder / CHECKPOINTS / name
        before = load_checkpoint(path)
        if MARK not in before:
            config = before["config"]  # that of the refit has no validation
            AtomicCheckpointIO().save_checkpoint({**whole, "config": config, MARK: trained["epoch"]}, path)
