import random

import numpy as np
import torch

from forecastlab.training.callbacks import RandomState
from tests.series import trainer


def draws():
    """Numbers of all generators, the second of NumPy's normal pair and Python's among them."""
    return [torch.rand(3).tolist(), np.random.normal(size=3).tolist(), random.random(), random.gauss(0, 1)]


def round_trip(tmp_path, stage="fit"):
    """Saves the generators, draws, loads them, and draws again."""
    running, callback, checkpoint = trainer(), RandomState(), {}
    running.state.fn = stage
    draws()  # leaves the other half of each normal pair in the state
    callback.on_save_checkpoint(running, None, checkpoint)
    torch.save(checkpoint, tmp_path / "x.ckpt")
    first = draws()
    resumed = RandomState()
    resumed.on_load_checkpoint(running, None, torch.load(tmp_path / "x.ckpt", weights_only=True))
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(99)
    resumed.on_train_start(running, None)
    return first, draws(), resumed


def test_a_resumed_run_draws_what_the_saved_one_would_have_drawn(tmp_path):
    first, again, _ = round_trip(tmp_path)
    assert first == again


def test_a_checkpoint_that_is_only_evaluated_changes_no_generator(tmp_path):
    first, again, _ = round_trip(tmp_path, stage="test")
    assert first != again


def test_the_state_is_restored_once(tmp_path):
    first, _, resumed = round_trip(tmp_path)
    resumed.on_train_start(trainer(), None)
    assert draws() != first


def test_a_checkpoint_of_another_program_changes_nothing():
    callback, running = RandomState(), trainer()
    running.state.fn = "fit"
    callback.on_load_checkpoint(running, None, {})
    before = torch.get_rng_state()
    callback.on_train_start(running, None)
    assert torch.equal(torch.get_rng_state(), before)
