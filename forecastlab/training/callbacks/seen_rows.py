"""What is said of rows that a network has seen, before its score is shown."""

import sys

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from forecastlab.data.seen import Seen


class SeenRows(Callback):
    """Says on standard output what must stand by a score, and on standard error what a reader should know.

    Before a training that begins with the weights of another run, it says which rows of the fold these have seen.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        earlier = pl_module.trained_on[:-1]  # type: ignore[index]  # a Forecaster's
        if trainer.ckpt_path or not earlier:
            return
        for stage, then in (("test", "test will refuse them"), ("validation", "val/loss is too low for them")):
            found: Seen = data.seen(earlier, stage)
            if found.counted:
                _say(
                    f"forecastlab: model.weights_from was trained on {found.counted} of the {found.rows} {stage} rows "
                    f"of fold {found.fold} ({found.span}): {then}"
                )

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _tell(pl_module.seen)  # type: ignore[arg-type]  # a Forecaster's

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            _tell(pl_module.seen)  # type: ignore[arg-type]  # a Forecaster's


@rank_zero_only
def _tell(found: Seen | None) -> None:
    for note in [] if found is None else found.notes:
        print(note)
    for doubt in [] if found is None else found.doubts:
        _say(f"forecastlab: note: {doubt}")


@rank_zero_only
def _say(text: str) -> None:
    print(text, file=sys.stderr)
