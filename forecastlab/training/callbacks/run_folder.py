"""Where the files of a run go."""

from pathlib import Path

from lightning.pytorch import Callback, Trainer


class RunFolder(Callback):
    """Names the folder of a run: checkpoints, config, predictions and figures go there, whatever its loggers are.

    Without it they go where the first logger writes, or into the trainer's `default_root_dir`.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)


def named_folder(trainer: Trainer) -> Path | None:
    """The folder that a `RunFolder` names; None if there is none."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it elsewhere
    return next((callback.path for callback in callbacks if isinstance(callback, RunFolder)), None)


def folder_of(trainer: Trainer) -> Path:
    """The folder of a run, the first device's on all of them: so all of them must ask."""
    named = named_folder(trainer)
    if named is not None:
        return Path(trainer.strategy.broadcast(str(named)))
    return Path(trainer.log_dir or trainer.default_root_dir)
