"""What a resumed run is told wins over what its checkpoint holds."""

from copy import copy, deepcopy
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from forecastlab.errors import DataError
from forecastlab.training.callbacks.resumed_training import ResumedTraining


class GivenSettings(Callback):
    """Lets the settings of this call win over those that a checkpoint's states carry.

    The state of an optimizer holds its learning rate, that of a schedule its step size, that of early stopping its
    patience: restored as they are, they would silently undo what the resumed run was told. `ResumedTraining` finds
    those of optimizer and schedule. With the same settings as the saved run's, resuming stays exact.

    States that cannot be restored are refused before anything is: of these as of all callbacks.
    """

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Puts the states that are to be restored in the place of those in the checkpoint.

        Raises:
            DataError: if states in the checkpoint are damaged.
            ConfigError: if a schedule cannot go on with the given settings.
        """
        if trainer.state.fn != "fit" or "optimizer_states" not in checkpoint:
            return
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
            if isinstance(callback, EarlyStopping) and callback.state_key in checkpoint["callbacks"]:
                checkpoint["callbacks"][callback.state_key]["patience"] = callback.patience
            _try(callback, checkpoint["callbacks"].get(callback.state_key))
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
        most = trainer.max_epochs
        resumed = ResumedTraining(
            pl_module,
            checkpoint.get(pl_module.CHECKPOINT_HYPER_PARAMS_KEY, {}),
            more_epochs=most is None or most < 0 or epochs < most,
        )
        checkpoint["optimizer_states"], checkpoint["lr_schedulers"] = resumed.states(
            checkpoint["optimizer_states"], checkpoint["lr_schedulers"]
        )


def _try(callback: Callback, state: Any) -> None:
    """Restores a callback's state to a copy of it."""
    if not state:
        return
    try:
        copy(callback).load_state_dict(deepcopy(state))
    except Exception as error:  # of any kind: the callback may be somebody else's
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(
            f"the checkpoint cannot be resumed: callbacks.{callback.state_key} cannot be restored "
            f"({type(error).__name__}: {reason}). It is damaged; use another checkpoint of the run"
        ) from error
