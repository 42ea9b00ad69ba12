"""One trial of a study: the training of its folds, as `fit` does it, with nothing kept but the losses."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
from optuna.trial import TrialState

from forecastlab.errors import ConfigError, NotFiniteError
from forecastlab.evaluation.fold import require_unchanged
from forecastlab.experiment.config import Config
from forecastlab.experiment.environment import prepare
from forecastlab.experiment.experiment import Experiment
from forecastlab.runs.run import Run
from forecastlab.training.callbacks import Pruning
from forecastlab.training.callbacks.progress_report import ProgressReport
from forecastlab.tuning.study import EPOCHS, Address

NOTHING_KEPT = {"trainer.logger": False, "trainer.enable_checkpointing": False}


@dataclass(frozen=True)
class Trial:
    """What a process needs to know.

    Attributes:
        number: the trial's number in its study.
        trial_id: what the storage calls it.
        address: where the study is.
        configs: the config of each fold.
        folder: where its checkpoints and curves go.
        keep_weights: whether they are written.
        allow_import: packages that a class path may import from.
        fingerprint: of the data that the study is about.
    """

    number: int
    trial_id: int
    address: Address
    configs: dict[int | str, Config]
    folder: Path
    keep_weights: bool = False
    allow_import: tuple[str, ...] = ()
    fingerprint: str | None = None


def train(trial: Trial, report: Callable[[float, str], None]) -> None:
    """Trains the folds of a trial one after the other, and tells the study their mean validation loss.

    A trial whose loss is not finite counts as pruned: its values are bad ones, which the sampler should learn.

    Args:
        trial: what to train.
        report: told how far the training is.

    Raises:
        ConfigError: if nothing was validated, or the data are no longer those that the study is about.
    """
    prepare(trial.allow_import)
    study, _ = trial.address.open()
    shared = optuna.trial.Trial(study, trial.trial_id)
    losses: dict[str, float] = {}
    epochs = 0

    def judge(epoch: int, loss: float) -> bool:
        so_far = [*losses.values(), loss]
        shared.report(sum(so_far) / len(so_far), len(losses) * EPOCHS + epoch)
        return shared.should_prune()

    def progress(done: float, text: str, fold: int) -> None:
        report((fold + done) / len(trial.configs), text)

    try:
        for position, (fold, config) in enumerate(trial.configs.items()):
            pruning = Pruning(judge)
            run = Run(trial.folder.parent, trial.folder.name, f"fold_{fold}")
            if trial.keep_weights:
                run.folder.mkdir(parents=True)
            kept = {} if trial.keep_weights else NOTHING_KEPT
            arguments = config.with_values({**kept, "trainer.devices": 1}).arguments("fit")
            callbacks = [pruning, ProgressReport(partial(progress, fold=position))]
            fit = Experiment(arguments, run, callbacks, held=config.held).execute()
            require_unchanged(trial.fingerprint, fit.datamodule)
            epochs += fit.trainer.current_epoch
            shared.set_user_attr("epochs", epochs)
            if pruning.pruned:
                study.tell(trial.number, state=TrialState.PRUNED)
                return
            if pruning.best == float("inf"):
                raise ConfigError(f"fold {fold}: no epoch was trained and validated, so there is no loss")
            losses[str(fold)] = pruning.best
            shared.set_user_attr("losses", losses)
    except NotFiniteError as error:
        shared.set_user_attr("error", str(error).partition(";")[0])
        study.tell(trial.number, state=TrialState.PRUNED)
        return
    study.tell(trial.number, sum(losses.values()) / len(losses))
