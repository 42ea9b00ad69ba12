"""What is found out about a trainer's settings before anything is trained."""

import os
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.plugins.environments import TorchElasticEnvironment

from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError

MONITORED = {"early_stopping": ("val/loss", "train/loss"), "checkpoints": ("val/loss",)}
"""What a run can be judged by while it trains; the training loss of an epoch is known only after its validation."""


def checked_threads(threads: int) -> int:
    """The number of CPU threads.

    Raises:
        ConfigError: if it is not positive.
    """
    if threads < 1:
        raise ConfigError(f"threads must be positive, got {threads}")
    return threads


def as_begun(settings: Any) -> dict[str, Any]:
    """The devices, nodes and strategy of a trainer: for those at their defaults what torchrun began, if it did.

    By itself each process that torchrun begins would be a run of its own.

    Args:
        settings: the trainer's.
    """
    if not TorchElasticEnvironment.detect():
        return {}
    devices = int(os.environ["LOCAL_WORLD_SIZE"])
    nodes = int(os.environ["WORLD_SIZE"]) // devices
    begun = {"devices": ("auto", devices), "num_nodes": (1, nodes), "strategy": ("auto", "ddp")}
    return {name: value for name, (default, value) in begun.items() if settings[name] == default}


def require_possible(settings: Any, trainer: Trainer, data: ForecastDataModule) -> None:
    """Finds out what cannot work before processes are started for several devices.

    Args:
        settings: the trainer's, as given.
        trainer: what was built with them.
        data: what it is to train on.

    Raises:
        ConfigError: for a setting that cannot be used.
    """
    data.require_devices(trainer.world_size)
    asked = trainer.num_devices * trainer.num_nodes
    if TorchElasticEnvironment.detect() and (begun := int(os.environ["WORLD_SIZE"])) != asked:
        raise ConfigError(
            f"torchrun began {begun} processes, but trainer.devices and trainer.num_nodes ask for {asked}: leave them "
            "out"
        )
    if settings.overfit_batches:
        raise ConfigError(
            "trainer.overfit_batches is not supported: batches are cut by a sampler that it would replace; set "
            "trainer.limit_train_batches"
        )
    strategy = settings.strategy
    if isinstance(strategy, str) and strategy.endswith(("_spawn", "_fork", "_notebook")):
        raise ConfigError(f"trainer.strategy: {strategy} loses what its processes find out; use ddp")


def require_judge(**settings: Any) -> None:
    """Finds out whether a run can be judged as it is to be.

    Args:
        settings: those of `early_stopping` and of `checkpoints`.

    Raises:
        ConfigError: for a metric that is not known while a run trains, or a patience below 0.
    """
    for key, metrics in MONITORED.items():
        monitor = settings[key].monitor
        if monitor not in metrics:
            raise ConfigError(f"{key}.monitor: expected {' or '.join(metrics)}, got {monitor!r}")
    patience = settings["early_stopping"].patience
    if patience < 0:
        raise ConfigError(f"early_stopping.patience must be a number of epochs, 0 or more, got {patience}")
