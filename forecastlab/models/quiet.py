"""Training and scoring inside a program of the user's, which they leave as it was."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch.utilities.seed import isolate_rng

from forecastlab.experiment.environment import prepare
from forecastlab.network import factory
from forecastlab.runs.signals import stoppable

_TALKATIVE = ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed")
"""The loggers that say which devices there are, which seed is set and that the last epoch has ended."""
_SEED = "PL_GLOBAL_SEED"
"""Where Lightning keeps the seed for data loaders."""


@contextmanager
def within_a_program() -> Iterator[None]:
    """Runs Lightning without what it says of devices and seeds, and gives back random states, seeds and threads.

    Ctrl-C, or a notebook's stop button, within the block is a KeyboardInterrupt.
    """
    prepare(factory.allowed_imports())
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    seed, threads = os.environ.get(_SEED), torch.get_num_threads()
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with isolate_rng(), stoppable():
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        torch.set_num_threads(threads)
        os.environ.pop(_SEED, None)
        if seed is not None:
            os.environ[_SEED] = seed
