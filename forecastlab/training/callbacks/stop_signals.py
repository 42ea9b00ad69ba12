"""Signals that end a training, on one device or on several."""

import signal
import threading

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.environments import SLURMEnvironment

from forecastlab.adapters.lightning import cluster_environment


class StopSignals(Callback):
    """Keeps the handler of SIGTERM that was there before the training, on SLURM also for the signal before its end.

    Lightning's own handlers let the devices wait for each other: one that a signal meets while it waits for the others
    already would do so for ever. With ours, which raises `Stopped`, each device stops by itself, and the first one
    writes what it has in memory. SLURM sends the second signal, SIGUSR1, to a job that asked for it with
    `--signal=SIGUSR1@90`.
    """

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore(trainer)

    def _restore(self, trainer: Trainer) -> None:
        if threading.current_thread() is not threading.main_thread() or self._handler is None:
            return
        signal.signal(signal.SIGTERM, self._handler)
        environment = cluster_environment(trainer)
        if trainer.state.fn == "fit" and isinstance(environment, SLURMEnvironment) and environment.auto_requeue:
            signal.signal(environment.requeue_signal or signal.SIGUSR1, self._handler)
