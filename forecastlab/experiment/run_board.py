"""`RunBoard`: what TensorBoard shows of a run beside its curves."""

import shlex
from collections.abc import Sequence

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.facts import Fact, as_text, day
from forecastlab.experiment.run_config import METRICS

LAYOUT = {
    "losses": {"training and validation": ["Multiline", ["train/loss$", "val/loss$"]]},
    "training": {
        name.replace("_", " "): ["Multiline", [f"train/{name}$"]] for name in ("gradient_norm", "learning_rate")
    },
    "test": {name: ["Multiline", [f"{name}$"]] for name in METRICS if name.startswith("test/")},
}
"""The charts under "Custom Scalars" by their headings, with regular expressions for the names of their curves."""


class RunBoard(Callback):
    """Gives TensorBoard a page of charts, with both losses in one and the test figures last, and texts about the run.

    The texts are the command and a table of the data. Each training adds its own, so that those of a resumed run stand
    one after the other, at the steps that they began with.

    Args:
        command: the words of the command line; None where there is none.
    """

    def __init__(self, command: Sequence[str] | None) -> None:
        self.command = command

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        held = data.facts(values=data.storage == "memory")  # rows in files are many, and would be read once more
        texts = {"run/data": as_text([*held, *_fold(data)])}
        if self.command is not None:
            texts["run/command"] = shlex.join(self.command)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_custom_scalars(LAYOUT)
                for name, text in texts.items():
                    logger.experiment.add_text(name, f"```\n{text}\n```", trainer.global_step)


def _fold(data: ForecastDataModule) -> list[Fact]:
    """The times of the fold that is trained."""
    ranges, name = data.ranges, "all" if data.fold == "all" else f"{data.fold} of {data.splits}"
    if data.fold_by == "series":
        return [("fold", f"{name}, counted so that every series ends with the last row")]
    parts = {"fit": ranges.fit, "validation": ranges.validation, "test": ranges.test}
    lines = [
        f"{part}: {day(data.times[rows.start], data.recipe)} .. {day(data.times[rows.stop - 1], data.recipe)}"
        for part, rows in parts.items()
        if rows
    ]
    return [("fold", f"{name}, targets"), *(("", f"  {line}") for line in lines)]
