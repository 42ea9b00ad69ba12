import math
from datetime import timedelta
from types import SimpleNamespace

from lightning.pytorch.callbacks import Timer

from forecastlab.training.callbacks import EarlyStopping
from forecastlab.training.time_left import epochs_left, time_left


def trainer(patience=None, waited=0, **settings):
    """What is asked of a trainer, of 100 epochs of 10 batches unless told otherwise."""
    stoppers = []
    if patience is not None:
        stoppers = [EarlyStopping(monitor="val/loss", patience=patience)]
        stoppers[0].wait_count = waited
    usual = {
        **{"max_epochs": 100, "min_epochs": None, "max_steps": -1, "global_step": 0},
        **{"num_training_batches": 10, "accumulate_grad_batches": 1, "check_val_every_n_epoch": 1},
    }
    return SimpleNamespace(callbacks=stoppers, **{**usual, **settings})


def test_without_early_stopping_all_epochs_are_left():
    assert epochs_left(trainer(), 40.0) == (60, 60)
    assert time_left(trainer(), 40.0, [2.0]) == "2 min left"


def test_early_stopping_ends_at_the_soonest_when_its_patience_is_over():
    assert epochs_left(trainer(patience=20, waited=5), 40.0) == (15, 60)
    assert time_left(trainer(patience=20, waited=5), 40.0, [2.0]) == "30 s to 2 min left"


def test_patience_counts_validations():
    assert epochs_left(trainer(patience=4, waited=1, check_val_every_n_epoch=10), 40.0) == (30, 60)


def test_a_part_of_an_epoch_is_done():
    assert epochs_left(trainer(patience=20, waited=5), 40.25) == (14.75, 59.75)


def test_patience_beyond_the_last_epoch_ends_nothing():
    assert epochs_left(trainer(patience=90), 40.0) == (60, 60)


def test_so_many_epochs_are_trained_as_must_be():
    assert epochs_left(trainer(patience=20, waited=18, min_epochs=50), 40.0) == (10, 60)


def test_steps_bound_the_training():
    assert epochs_left(trainer(max_epochs=-1, max_steps=1000, global_step=700), 70.0) == (30, 30)
    assert epochs_left(trainer(max_steps=500, global_step=400, accumulate_grad_batches=2), 80.0) == (20, 20)


def test_a_training_without_an_end_says_so():
    assert epochs_left(trainer(max_epochs=-1), 5.0) == (math.inf, math.inf)
    assert time_left(trainer(max_epochs=-1), 5.0, [1.0]) == "no end is set"
    assert time_left(trainer(max_epochs=-1, patience=20), 5.0, [1.0]) == "at least 20 s left"


def test_the_time_that_is_allowed_bounds_the_estimate():
    limited = trainer()
    limited.callbacks = [Timer(timedelta(seconds=30))]
    assert time_left(limited, 0.0, [100.0]) == "30 s left"  # it has not begun, so that all of it is left


def test_nothing_is_said_before_an_epoch_is_measured():
    assert time_left(trainer(), 0.0, []) == ""


def test_the_time_of_an_epoch_is_a_median():
    assert time_left(trainer(), 90.0, [60.0, 1.0, 1.0]) == "10 s left"  # the first one compiled
