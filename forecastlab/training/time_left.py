"""How long a training still takes."""

import math
from collections.abc import Sequence
from statistics import median

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, Timer
from lightning.pytorch.trainer.states import RunningStage

from forecastlab.runs.live_line import duration


def time_left(trainer: Trainer, done: float, took: Sequence[float]) -> str:
    """What is said about the end of a training; empty before there is a measure of it.

    Nobody knows when a training stops early. So there are two bounds: the shortest time, in which no epoch is better
    than the best one so far, and the longest, in which all epochs that are allowed are trained.

    Args:
        trainer: that trains.
        done: epochs that are trained, and the share of the present one.
        took: seconds that each of the last epochs took; the median counts, for the first one may compile.
    """
    if not took:
        return ""
    shortest, longest = epochs_left(trainer, done)
    low, high = (median(took) * epochs for epochs in (shortest, longest))
    for timer in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        remaining = timer.time_remaining(RunningStage.TRAINING) if isinstance(timer, Timer) else None
        if remaining is not None:
            low, high = min(low, remaining), min(high, remaining)
    if math.isinf(high):
        return "no end is set" if math.isinf(low) else f"at least {duration(low)} left"
    if duration(low) == duration(high):
        return f"{duration(high)} left"
    return f"{duration(low)} to {duration(high)} left"


def epochs_left(trainer: Trainer, done: float) -> tuple[float, float]:
    """The fewest and the most epochs that a training still goes through; infinite where nothing bounds them.

    Args:
        trainer: that trains.
        done: epochs that are trained, and the share of the present one.
    """
    most = math.inf
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        most = trainer.max_epochs - done
    if trainer.max_steps >= 0:
        steps = max(1, math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches))
        most = min(most, (trainer.max_steps - trainer.global_step) / steps)
    least = most
    for stopper in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        if isinstance(stopper, EarlyStopping):
            checks = max(stopper.patience - stopper.wait_count, 0) * (trainer.check_val_every_n_epoch or 1)
            least = min(least, checks - (done - math.floor(done)))
    if trainer.min_epochs:
        least = min(most, max(least, trainer.min_epochs - done))
    return max(least, 0.0), max(most, 0.0)
