import io
import sys
from types import SimpleNamespace

import pytest
import torch

import forecastlab
from forecastlab.runs.live_line import LiveLine
from forecastlab.training.callbacks import EarlyStopping, EpochLine
from tests.models.series import FEW, days


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream, **settings):
    """What a training of two epochs writes to a stream."""
    monkeypatch.setattr(sys, "stdout", stream)
    forecastlab.fit(days(120), "y", 3, settings={**FEW, **settings})
    return stream.getvalue()


def test_a_terminal_shows_the_last_epoch_with_its_losses_and_the_best(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    written = shown(monkeypatch, Terminal())
    last = written.split("\r")[-1]
    assert last.startswith("epoch 1 of at most 2  train/loss ")
    assert "  val/loss " in last
    assert "best " in last
    assert "  lr 0.0" in last
    assert last.endswith("\n")
    assert written.count("\n") == 1  # the line changes in place


def test_a_pipe_is_not_written_to_in_the_first_half_minute(monkeypatch):
    assert shown(monkeypatch, io.StringIO()) == ""


def test_a_notebook_is_shown_the_line(monkeypatch):
    notebook = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    assert "epoch 1 of at most 2" in shown(monkeypatch, notebook())


def test_it_can_be_switched_off(monkeypatch):
    assert shown(monkeypatch, Terminal(), **{"trainer.enable_progress_bar": False}) == ""


@pytest.fixture
def training():
    """An epoch line in a pipe, its clock, the trainer that it looks at, and what it has written."""
    now = SimpleNamespace(seconds=0.0)
    stream = io.StringIO()
    line = EpochLine()
    line.line = LiveLine(stream, lambda: now.seconds)
    stopper = EarlyStopping(monitor="val/loss", patience=20)
    trainer = SimpleNamespace(
        **{"current_epoch": 0, "max_epochs": 50, "min_epochs": None, "max_steps": -1, "global_step": 0},
        **{"num_training_batches": 10, "num_val_batches": [4], "accumulate_grad_batches": 1, "world_size": 1},
        **{"check_val_every_n_epoch": 1, "callbacks": [stopper], "state": SimpleNamespace(fn="fit")},
        callback_metrics={"train/loss": torch.tensor(0.5), "val/loss": torch.tensor(0.25)},
        checkpoint_callback=SimpleNamespace(best_score=0.2, best_epoch=0),
        optimizers=[SimpleNamespace(param_groups=[{"lr": 0.001}])],
    )
    return line, now, trainer, stream


BATCH = SimpleNamespace(index=torch.zeros(30, 2))


def test_within_a_long_epoch_the_batches_and_an_estimate_are_told(training):
    line, now, trainer, stream = training
    line.on_train_epoch_start(trainer, None)
    for batch in range(2):
        line.on_train_batch_start(trainer, None, BATCH, batch)
        now.seconds += 20
        line.on_train_batch_end(trainer, None, None, BATCH, batch)
    # a batch takes 20 s, an epoch 200 s: 49.8 epochs at the most, 19.8 at the least
    first, rest = stream.getvalue().split("  ", 1)
    assert first == "epoch 0 of at most 50, batch 2 of 10"
    assert rest.startswith("66 min to 2.8 h left  train/loss 0.5000  val/loss 0.2500  best 0.2000 in epoch 0  lr 0.001")
    line.on_validation_batch_end(trainer, None, None, BATCH, 2)
    assert stream.getvalue().count("\n") == 1  # half a minute is not over
    now.seconds += 30
    line.on_validation_batch_end(trainer, None, None, BATCH, 2)
    assert "epoch 0 of at most 50, validation batch 3 of 4" in stream.getvalue()


def test_short_epochs_are_told_by_time_with_their_speed(training):
    line, now, trainer, stream = training
    for epoch in range(10):
        trainer.current_epoch = epoch
        line.on_train_epoch_start(trainer, None)
        line.on_train_batch_end(trainer, None, None, BATCH, 9)  # 60 rows
        now.seconds += 6
        line.on_train_epoch_end(trainer, None)
    lines = stream.getvalue().splitlines()
    assert [text.partition("  ")[0] for text in lines] == ["epoch 4 of at most 50", "epoch 9 of at most 50"]
    assert lines[0].endswith("  10 rows/s")
    assert "  2 min to 4 min left  " in lines[1]  # 20 or 40 epochs of 6 s


def test_a_test_and_a_forecast_tell_their_batches(training):
    line, now, trainer, stream = training
    trainer.state.fn = "test"
    trainer.num_test_batches = trainer.num_predict_batches = [40]
    now.seconds = 31
    line.on_test_batch_end(trainer, None, None, BATCH, 6)
    now.seconds = 62
    line.on_predict_batch_end(trainer, None, None, BATCH, 7)
    assert stream.getvalue() == "test batch 7 of 40\nforecast batch 8 of 40\n"


def test_another_process_of_several_devices_says_nothing(training):
    line, now, trainer, stream = training
    line.disable()
    now.seconds = 31
    line.on_train_epoch_end(trainer, None)
    assert stream.getvalue() == ""
