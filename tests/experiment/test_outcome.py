from datetime import timedelta
from types import SimpleNamespace

import pytest
from lightning.pytorch.callbacks import Timer

from forecastlab.experiment.outcome import why_it_ended
from forecastlab.training.callbacks import EarlyStopping


def ended(*callbacks, **settings):
    """A trainer that ended after 31 of 300 epochs, unless told otherwise."""
    usual = {"current_epoch": 31, "max_epochs": 300, "max_steps": -1, "global_step": 310, "check_val_every_n_epoch": 1}
    return SimpleNamespace(callbacks=callbacks, **{**usual, **settings})


@pytest.fixture
def stopper():
    return EarlyStopping(monitor="val/loss", patience=20)


def test_a_training_that_stopped_early_says_how_long_it_waited(stopper):
    stopper.wait_count = 20
    told = "stopped early after 31 epochs: 20 epochs without improvement of val/loss"
    assert why_it_ended(ended(stopper)) == told
    rarely = ended(stopper, check_val_every_n_epoch=5)
    assert why_it_ended(rarely) == told.replace("20 epochs", "20 validations")


def test_a_threshold_is_named(stopper):
    stopper.stopping_reason_message = "Stopping threshold reached: val/loss = 0.1 < 0.2."
    assert why_it_ended(ended(stopper)).endswith("after 31 epochs: Stopping threshold reached: val/loss = 0.1 < 0.2.")


def test_the_bound_that_was_reached_is_named(stopper):
    assert why_it_ended(ended(stopper, current_epoch=300)).startswith("ended after 300 epochs: ")
    assert "trainer.max_epochs" in why_it_ended(ended(stopper, max_epochs=31))
    assert "310 steps" in why_it_ended(ended(stopper, max_steps=310))
    assert "trainer.max_time" in why_it_ended(ended(Timer(timedelta(seconds=0))))
    assert "trainer.max_time" not in why_it_ended(ended(Timer(timedelta(hours=1))))
